//! Session tokens that Sealgate would not issue, signed by `pasetors` as if it had.

use pasetors::Public;
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use sealgate_token::jwt::InvalidToken;
use sealgate_token::paseto::{
    SessionClaims, SessionDataKey, SessionPolicy, SessionSigningKey, TrustedSession,
    UntrustedSession,
};
use uuid::Uuid;

/// 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
pub const POLICY: SessionPolicy<'static> = SessionPolicy::new("gomaluum", "gomaluum");
pub const SEAL_KEY: &[u8] = b"gomaluum-default-key-2024";
pub const USER_DATA: &str = r#"{"username":"aisyah","roles":["student"]}"#;
pub const JTI: Uuid = Uuid::from_u128(0x019b_f000_8e2b_7c4d_8f50_fedc_ba98_7654);
/// Of an earlier token.
pub const SID: Uuid = Uuid::from_u128(0x019b_ef00_8e2b_7c4d_8f50_0123_4567_89ab);

pub fn key() -> SessionSigningKey {
    SessionSigningKey::from_seed(&[7; 32]).expect("a key")
}

pub fn claims() -> SessionClaims {
    SessionClaims {
        aud: POLICY.audience.to_owned(),
        iss: POLICY.issuer.to_owned(),
        sub: "aisyah".to_owned(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 28_800,
        jti: JTI,
        sid: SID,
        auth_time: NOW - 60,
        epoch: 1_790_000_000_000,
        data: SessionDataKey::derive(SEAL_KEY)
            .seal(JTI, USER_DATA)
            .expect("an inner token"),
    }
}

pub fn token() -> String {
    key().issue(&claims()).expect("a token")
}

/// The claims as JSON text, to be altered.
pub fn payload() -> String {
    let token = token();
    let token = UntrustedToken::<Public, V4>::try_from(&token).expect("a token");
    String::from_utf8(token.untrusted_payload().to_vec()).expect("text")
}

pub fn footer() -> String {
    format!(r#"{{"kid":"{}"}}"#, key().kid())
}

/// A token of this payload and footer with the right signature over them.
pub fn sign(payload: impl AsRef<[u8]>, footer: impl AsRef<[u8]>) -> String {
    let secret = AsymmetricSecretKey::<V4>::from(key().to_bytes().as_slice()).expect("a key");
    PublicToken::sign(&secret, payload.as_ref(), Some(footer.as_ref()), None).expect("a token")
}

pub fn verify(token: &str) -> Result<TrustedSession, InvalidToken> {
    verify_at(token, NOW)
}

pub fn verify_at(token: &str, now: i64) -> Result<TrustedSession, InvalidToken> {
    UntrustedSession::parse(token)?.verify(key().verifying_key(), &POLICY, now)
}

/// Whether `pasetors` finds the signature right.
pub fn pasetors_verifies(token: &str) -> bool {
    let public = AsymmetricPublicKey::<V4>::from(key().verifying_key().as_bytes()).expect("a key");
    UntrustedToken::<Public, V4>::try_from(token)
        .and_then(|token| PublicToken::verify(&public, &token, None, None))
        .is_ok()
}
