//! Tokens as they are meant to be: issued, read back, and understood by other libraries.

use crate::forge::{NOW, POLICY, SECRET, claims, verify};
use jsonwebtoken::jwk::{Jwk, JwkSet, ThumbprintHash};
use jsonwebtoken::{DecodingKey, Validation};
use sealgate_token::jwt::{
    Algorithm, Claims, IssueError, KeyError, MAX_TOKEN_BYTES, Signer, SigningKey, TrustedClaims,
    Untrusted, VerifyingKey, issue_hs256, jwk_set,
};

fn assert_same(trusted: &TrustedClaims, claims: &Claims) {
    assert_eq!(trusted.issuer(), claims.iss);
    assert_eq!(trusted.key_id(), claims.sub);
    assert_eq!(trusted.prefix(), claims.prefix);
    assert_eq!(trusted.permissions(), claims.permissions);
    assert_eq!(trusted.is_admin(), claims.is_admin);
    assert_eq!(trusted.issued_at(), claims.iat);
    assert_eq!(trusted.expires_at(), claims.exp);
    assert_eq!(trusted.auth_time(), claims.auth_time);
    assert_eq!(trusted.jti(), claims.jti);
}

fn verify_server(token: &str, key: &VerifyingKey) -> TrustedClaims {
    Untrusted::parse(token)
        .and_then(|token| token.verify_server(key, &POLICY, NOW))
        .expect("a token of this key")
}

#[test]
fn an_hs256_token_has_the_contracts_header_and_reads_back() {
    let token = issue_hs256(&claims(), &SECRET).unwrap();
    assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."));
    let untrusted = Untrusted::parse(&token).unwrap();
    assert_eq!(untrusted.signer(), Signer::KeySecret);
    assert_eq!(untrusted.claimed_key_id(), claims().sub);
    assert_same(&verify(&token).unwrap(), &claims());
}

#[test]
fn claims_at_the_edges_of_what_is_allowed_read_back() {
    let edges = Claims {
        prefix: String::new(),
        permissions: "ä".repeat(255),
        is_admin: true,
        exp: 253_402_300_799,
        auth_time: 0,
        ..claims()
    };
    assert_same(
        &verify(&issue_hs256(&edges, &SECRET).unwrap()).unwrap(),
        &edges,
    );
}

#[test]
fn a_token_that_would_not_be_read_back_is_not_issued() {
    let longest = (1..MAX_TOKEN_BYTES)
        .map(|length| Claims {
            permissions: "p".repeat(length),
            ..claims()
        })
        .map_while(|claims| issue_hs256(&claims, &SECRET).ok())
        .last()
        .unwrap();
    assert!((MAX_TOKEN_BYTES - 1..=MAX_TOKEN_BYTES).contains(&longest.len()));
    assert!(verify(&longest).is_ok());
    let longer = Claims {
        permissions: "p".repeat(MAX_TOKEN_BYTES),
        ..claims()
    };
    assert_eq!(issue_hs256(&longer, &SECRET), Err(IssueError::TooLong));
}

#[test]
fn a_server_key_names_itself_in_the_header_and_its_token_reads_back() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (key, pkcs8) = SigningKey::generate(algorithm).unwrap();
        let token = key.issue(&claims()).unwrap();
        let untrusted = Untrusted::parse(&token).unwrap();
        assert_eq!(
            untrusted.signer(),
            Signer::Server {
                kid: key.kid(),
                algorithm
            }
        );
        assert_eq!(untrusted.claimed_key_id(), claims().sub);
        assert_same(&verify_server(&token, key.verifying_key()), &claims());

        let loaded = SigningKey::from_pkcs8(algorithm, &pkcs8).unwrap();
        assert_eq!(loaded.kid(), key.kid());
        let token = loaded.issue(&claims()).unwrap();
        assert_same(&verify_server(&token, key.verifying_key()), &claims());
    }
}

#[test]
fn a_key_is_for_one_algorithm() {
    let (_, ed25519) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let (_, p256) = SigningKey::generate(Algorithm::Es256).unwrap();
    for (algorithm, bytes) in [
        (Algorithm::EdDsa, p256.as_slice()),
        (Algorithm::EdDsa, b"".as_slice()),
        (Algorithm::Es256, ed25519.as_slice()),
        (Algorithm::Es256, &p256[..p256.len() - 1]),
    ] {
        let refused = SigningKey::from_pkcs8(algorithm, bytes).unwrap_err();
        assert_eq!(refused, KeyError::Rejected(algorithm));
    }
    let hs256 = SigningKey::from_pkcs8(Algorithm::Hs256, &ed25519).unwrap_err();
    assert_eq!(hs256, KeyError::NotAsymmetric);
    assert_eq!(
        SigningKey::generate(Algorithm::Hs256).unwrap_err(),
        KeyError::NotAsymmetric
    );
}

#[test]
fn a_public_key_is_a_point_of_the_curve_in_its_one_form() {
    let mut off_curve = [1; 65];
    off_curve[0] = 4;
    for bytes in [&off_curve[..], &[4; 64], &[2; 33], &[0; 65], &[]] {
        let refused = VerifyingKey::from_bytes(Algorithm::Es256, bytes).unwrap_err();
        assert_eq!(refused, KeyError::Rejected(Algorithm::Es256));
    }
    for bytes in [&[1; 31][..], &[1; 33], &[]] {
        let refused = VerifyingKey::from_bytes(Algorithm::EdDsa, bytes).unwrap_err();
        assert_eq!(refused, KeyError::Rejected(Algorithm::EdDsa));
    }
}

#[test]
fn a_signing_key_does_not_show_its_secret() {
    let (key, pkcs8) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(
        shown,
        format!(
            "SigningKey {{ public: VerifyingKey {{ algorithm: EdDsa, kid: Thumbprint({}), .. }}, .. }}",
            key.kid()
        )
    );
    assert!(!shown.contains(&format!("{:02x?}", &pkcs8[16..20])));
}

/// The claims as another service would declare them.
type Object = serde_json::Map<String, serde_json::Value>;

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
    });
    validation.set_issuer(&[POLICY.issuer]);
    // The library would read the clock.
    validation.validate_exp = false;
    validation
}

#[test]
fn other_libraries_verify_an_hs256_token() {
    let token = issue_hs256(&claims(), &SECRET).unwrap();
    let key = DecodingKey::from_secret(&SECRET);
    let decoded = jsonwebtoken::decode::<Object>(&token, &key, &validation(Algorithm::Hs256));
    assert_eq!(decoded.unwrap().claims["sub"], claims().sub.to_string());
}

#[test]
fn other_services_verify_by_the_published_keys() {
    let keys: Vec<SigningKey> = [Algorithm::EdDsa, Algorithm::Es256]
        .map(|algorithm| SigningKey::generate(algorithm).unwrap().0)
        .into();
    let published: JwkSet = serde_json::from_value(jwk_set(&keys)).unwrap();
    for key in &keys {
        let token = key.issue(&claims()).unwrap();
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let jwk: &Jwk = published.find(&kid).unwrap();
        assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), kid);
        let decoding = DecodingKey::from_jwk(jwk).unwrap();
        let decoded =
            jsonwebtoken::decode::<Object>(&token, &decoding, &validation(key.algorithm()));
        assert_eq!(decoded.unwrap().claims["jti"], claims().jti.to_string());
    }
}

#[test]
fn a_published_key_has_no_private_part() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (key, _) = SigningKey::generate(algorithm).unwrap();
        let jwk = key.jwk();
        assert_eq!(jwk["use"], "sig");
        assert_eq!(jwk["alg"], algorithm.name());
        assert_eq!(jwk["kid"], key.kid().to_string());
        let members: Vec<&String> = jwk.as_object().unwrap().keys().collect();
        let known = ["kty", "crv", "x", "y", "use", "alg", "kid"];
        assert!(
            members
                .iter()
                .all(|member| known.contains(&member.as_str())),
            "{members:?}"
        );
        // A retired key is published from its public half alone.
        assert_eq!(jwk_set([key.verifying_key()]), jwk_set([&key]));
    }
}
