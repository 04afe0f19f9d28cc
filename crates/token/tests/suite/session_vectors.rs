//! One whole session token, byte for byte as the documentation shows it, for those who write a reader
//! of their own.

use sealgate_token::paseto::{
    SessionClaims, SessionDataKey, SessionPolicy, SessionSigningKey, SessionVerifyingKey,
    UntrustedSession,
};
use uuid::Uuid;

/// The key of the official test vectors, so nobody takes it for a secret.
const SECRET: &str = "k4.secret.tMv7Q99M4hByfZU-SnEzB_oZu32fhQQUONnhG5QqN3Qeudu7vAR8A_1wYE4AcfCYfhayi3VyJcEfAEFdDiCxog";
const PUBLIC: &str = "k4.public.Hrnbu7wEfAP9cGBOAHHwmH4Wsot1ciXBHwBBXQ4gsaI";
const KID: &str = "k4.pid.yh4-bJYjOYAG6CWy0zsfPmpKylxS7uAWrxqVmBN2KAiJ";
const SEAL_KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";
const JTI: &str = "01a3185c-5000-7c4d-8f50-fedcba987654";
const USER_DATA: &str = concat!(
    r#"{"username":"aisyah","display_name":"Aisyah binti Ahmad","email":"aisyah@example.edu","#,
    r#""roles":["student"],"attributes":{}}"#,
);
/// 2027-01-15T08:00:00Z.
const NOW: i64 = 1_800_000_000;
const INNER: &str = "v4.local.vlh2UGq5ys-dSrnSGL-ck50xWWtXvqBSO8LdohsCmg0pTUIP4xsJt263u1J0ROwVD8yekp08bpEEMZUyyCV-9-zU9sl90rPdW6c3JdWqhPOrPafy0slMVL-YeBB3Q6HBanH2t5hEhCshANB3qCj-c-c6WfOTzLLu0tzSEkT9cdsRMoqtvakJTzp40TPrOWL4j2Y1JZrL7RtY6zfO7P9f0DFwH0Dskw1fOE1AxMfkWpN7qvdmUvwing1D";
const OUTER: &str = concat!(
    "v4.public.eyJhdWQiOiJnb21hbHV1bSIsImlzcyI6ImdvbWFsdXVtIiwic3ViIjoiYWlzeWFoIiwiaWF0IjoiMjAy",
    "Ny0wMS0xNVQwODowMDowMFoiLCJuYmYiOiIyMDI3LTAxLTE1VDA4OjAwOjAwWiIsImV4cCI6IjIwMjctMDEtMTVUMT",
    "Y6MDA6MDBaIiwianRpIjoiMDFhMzE4NWMtNTAwMC03YzRkLThmNTAtZmVkY2JhOTg3NjU0Iiwic2lkIjoiMDFhMzE4",
    "NWMtNTAwMC03YzRkLThmNTAtZmVkY2JhOTg3NjU0IiwiYXV0aF90aW1lIjoiMjAyNy0wMS0xNVQwODowMDowMFoiLC",
    "JlcG9jaCI6MTc5MDAwMDAwMDAwMCwiZGF0YSI6InY0LmxvY2FsLnZsaDJVR3E1eXMtZFNyblNHTC1jazUweFdXdFh2",
    "cUJTTzhMZG9oc0NtZzBwVFVJUDR4c0p0MjYzdTFKMFJPd1ZEOHlla3AwOGJwRUVNWlV5eUNWLTktelU5c2w5MHJQZF",
    "c2YzNKZFdxaFBPclBhZnkwc2xNVkwtWWVCQjNRNkhCYW5IMnQ1aEVoQ3NoQU5CM3FDai1jLWM2V2ZPVHpMTHUwdHpT",
    "RWtUOWNkc1JNb3F0dmFrSlR6cDQwVFByT1dMNGoyWTFKWnJMN1J0WTZ6Zk83UDlmMERGd0gwRHNrdzFmT0UxQXhNZm",
    "tXcE43cXZkbVV2d2luZzFEIn0xcDXOS0gsl3paCunlBu7eDB3WIUVz2J2WgsixjeitWYjkglT9aITJvztMAlAtd8ne",
    "L_ImBX1jLR-1h386gBwG.eyJraWQiOiJrNC5waWQueWg0LWJKWWpPWUFHNkNXeTB6c2ZQbXBLeWx4Uzd1QVdyeHFWb",
    "UJOMktBaUoifQ",
);

#[test]
fn the_documented_token_is_issued_byte_for_byte() {
    let key = SessionSigningKey::from_paserk(SECRET).unwrap();
    let claims = SessionClaims {
        aud: "gomaluum".to_owned(),
        iss: "gomaluum".to_owned(),
        sub: "aisyah".to_owned(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 28_800,
        jti: JTI.parse().unwrap(),
        sid: JTI.parse().unwrap(),
        auth_time: NOW,
        epoch: 1_790_000_000_000,
        data: INNER.to_owned(),
    };
    assert_eq!(key.verifying_key().paserk(), PUBLIC);
    assert_eq!(key.kid(), KID);
    assert_eq!(key.issue(&claims).unwrap(), OUTER);
}

#[test]
fn the_documented_token_verifies_and_opens() {
    let key = SessionVerifyingKey::from_paserk(PUBLIC).unwrap();
    let untrusted = UntrustedSession::parse(OUTER).unwrap();
    assert_eq!(untrusted.claimed_kid(), KID);
    let policy = SessionPolicy::new("gomaluum", "gomaluum");
    let session = untrusted.verify(&key, &policy, NOW).unwrap();
    assert_eq!(session.jti(), JTI.parse::<Uuid>().unwrap());
    let opened = SessionDataKey::derive(SEAL_KEY.as_bytes()).open(session.jti(), session.data());
    assert_eq!(*opened.unwrap(), USER_DATA);
}
