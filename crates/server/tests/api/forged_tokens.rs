//! Tokens that Sealgate did not issue, or not so: each is signed as well as a forger could wish,
//! with the key's own secret, so that only what is wrong with it can be the reason.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sealgate_core::key::KeyId;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{START, TestKey, World, get};

fn encode(text: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// A token of this header and these claims, signed with HS256 and the key's secret.
fn sign(world: &World, key: &TestKey, header: &str, claims: &str) -> String {
    let id = KeyId(key.id.parse().unwrap());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let (_, secret) = world
        .authority
        .keyring()
        .held_with_token_secret(id)
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", encode(mac.finalize().into_bytes()))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims(key: &TestKey) -> Value {
    let payload = key.token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn refused(world: &World, token: &str, reason: &str) {
    let answer = get("/api/encrypt").token(token).send(world).await;
    let message = answer.error(401, "invalid_token");
    assert_eq!(message, "Invalid or expired token");
    let event = &world.events().await[0];
    assert_eq!(event["details"]["reason"], reason, "{token}");
}

#[tokio::test]
async fn a_token_signed_by_hand_with_the_right_claims_would_pass() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let token = sign(&world, &key, HEADER, &claims(&key).to_string());
    get("/api/encrypt").token(&token).send(&world).await.ok();
}

#[tokio::test]
async fn a_header_other_than_ours_is_refused() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let claims = claims(&key).to_string();
    for (header, reason) in [
        (r#"{"alg":"none","typ":"JWT"}"#, "unknown_algorithm"),
        (r#"{"alg":"None","typ":"JWT"}"#, "unknown_algorithm"),
        (r#"{"alg":"HS512","typ":"JWT"}"#, "unknown_algorithm"),
        (r#"{"alg":"RS256","typ":"JWT"}"#, "unknown_algorithm"),
        (r#"{"typ":"JWT","alg":"HS256"}"#, "non_canonical_header"),
        (
            r#"{"alg":"HS256","typ":"JWT","crit":["x"],"x":1}"#,
            "unknown_critical",
        ),
        (r#"{"alg":"HS256","typ":"JWT","jwk":{}}"#, "embedded_key"),
        (r#"{"alg":"HS256","typ":"JWT","x":1}"#, "unknown_header"),
        (r#"{"alg":"HS256","alg":"HS256","typ":"JWT"}"#, "duplicate"),
        ("{", "malformed"),
    ] {
        refused(&world, &sign(&world, &key, header, &claims), reason).await;
    }
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&claims));
    refused(&world, &unsigned, "malformed").await;
}

#[tokio::test]
async fn claims_of_another_type_or_out_of_range_are_refused() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let now = START.as_seconds();
    for (claim, value, reason) in [
        ("exp", json!("1700003600"), "wrong_type"),
        ("exp", json!(-1), "wrong_type"),
        ("exp", json!(1e300), "wrong_type"),
        ("exp", json!(u64::MAX), "wrong_type"),
        ("exp", json!(null), "wrong_type"),
        ("exp", json!(now - 3_600), "expired"),
        ("iat", json!(now + 3_600), "not_yet_valid"),
        ("iss", json!("somebody"), "wrong_issuer"),
        ("is_admin", json!("true"), "wrong_type"),
        ("permissions", json!(["api:read"]), "wrong_type"),
        ("nbf", json!(now), "unknown_claim"),
    ] {
        let mut claims = claims(&key);
        claims[claim] = value.clone();
        let token = sign(&world, &key, HEADER, &claims.to_string());
        refused(&world, &token, reason).await;
    }
}

#[tokio::test]
async fn a_claim_that_is_missing_or_there_twice_is_refused() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let mut without = claims(&key);
    without.as_object_mut().unwrap().remove("exp");
    let token = sign(&world, &key, HEADER, &without.to_string());
    refused(&world, &token, "missing").await;
    let twice = claims(&key)
        .to_string()
        .replace('{', r#"{"is_admin":true,"#);
    let token = sign(&world, &key, HEADER, &twice);
    refused(&world, &token, "duplicate").await;
}

#[tokio::test]
async fn a_token_of_another_keys_identifier_is_refused() {
    let world = World::new().await;
    let (key, other) = (world.key("api:read").await, world.key("api:read").await);
    let mut swapped = claims(&key);
    swapped["kid"] = json!(other.id);
    refused(
        &world,
        &sign(&world, &key, HEADER, &swapped.to_string()),
        "key_mismatch",
    )
    .await;
    swapped["sub"] = json!(other.id);
    refused(
        &world,
        &sign(&world, &key, HEADER, &swapped.to_string()),
        "bad_signature",
    )
    .await;
    let nobody = json!("550e8400-e29b-41d4-a716-446655440000");
    (swapped["sub"], swapped["kid"]) = (nobody.clone(), nobody);
    refused(
        &world,
        &sign(&world, &key, HEADER, &swapped.to_string()),
        "unknown_key",
    )
    .await;
}

#[tokio::test]
async fn another_spelling_of_the_same_token_is_refused() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let token = &key.token;
    // The last character of 43 holds two bits that stand for nothing: the next letter differs in
    // them alone.
    let last = token.as_bytes()[token.len() - 1] + 1;
    let stray = format!("{}{}", &token[..token.len() - 1], char::from(last));
    refused(&world, &stray, "non_canonical_encoding").await;
    refused(&world, &format!("{token}="), "bad_signature").await;
    refused(&world, &format!("{token}."), "malformed").await;
    refused(
        &world,
        &token.replacen('.', ". ", 1),
        "non_canonical_encoding",
    )
    .await;
    refused(&world, &token[..token.len() - 4], "bad_signature").await;
}

#[tokio::test]
async fn a_token_cannot_give_its_key_more_than_the_key_has() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let mut more = claims(&key);
    more["is_admin"] = json!(true);
    more["permissions"] = json!("*");
    let token = sign(&world, &key, HEADER, &more.to_string());
    let answer = get("/api/auth/keys").token(&token).send(&world).await;
    answer.error(403, "admin_required");
}
