//! Tokens that Sealgate would not issue, signed as if it had.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use sealgate_token::jwt::{Claims, InvalidToken, Policy, TrustedClaims, Untrusted};
use uuid::Uuid;

pub const NOW: i64 = 1_790_000_000;
pub const SECRET: [u8; 32] = [7; 32];
pub const POLICY: Policy<'static> = Policy::new("sealgate");
pub const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub fn claims() -> Claims {
    Claims {
        iss: POLICY.issuer.to_owned(),
        sub: Uuid::from_u128(0x0198_c5f2_7d1a_7b3c_9e4f_0123_4567_89ab),
        prefix: "aB3dE5fG".to_owned(),
        permissions: "api:read api:write".to_owned(),
        is_admin: false,
        iat: NOW,
        exp: NOW + 3600,
        auth_time: NOW - 60,
        jti: Uuid::from_u128(0x0198_c5f2_8e2b_7c4d_8f50_fedc_ba98_7654),
    }
}

/// The claims as JSON text, to be altered.
pub fn payload() -> String {
    let token = sealgate_token::jwt::issue_hs256(&claims(), &SECRET).expect("good claims");
    let payload = token.split('.').nth(1).expect("three parts");
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    String::from_utf8(json).expect("text")
}

/// A token of this header and payload with the right HS256 signature over them.
pub fn sign(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    seal_parts(
        &URL_SAFE_NO_PAD.encode(header),
        &URL_SAFE_NO_PAD.encode(payload),
    )
}

/// The same of parts that are encoded already, well or badly.
pub fn seal_parts(header: &str, payload: &str) -> String {
    let message = format!("{header}.{payload}");
    let key = EncodingKey::from_secret(&SECRET);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{message}.{}", signature.expect("a signature"))
}

pub fn verify(token: &str) -> Result<TrustedClaims, InvalidToken> {
    verify_at(token, NOW)
}

pub fn verify_at(token: &str, now: i64) -> Result<TrustedClaims, InvalidToken> {
    Untrusted::parse(token)?.verify_hs256(&SECRET, &POLICY, now)
}
