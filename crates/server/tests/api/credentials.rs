//! Who gets in, and what those hear who do not.

use sealgate_core::key::Environment;
use sealgate_core::request::KeyRequest;
use sealgate_server::HttpSettings;
use serde_json::json;

use crate::support::{TestKey, World, get, patch, post};

/// A key in each state in which it is not honoured, with the reason for the log.
async fn dishonoured(world: &World) -> Vec<(&'static str, TestKey)> {
    let admin = &world.admin.text;
    let revoked = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}/revoke", revoked.id);
    post(&path).key(admin).send(world).await.ok();
    let disabled = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}", disabled.id);
    patch(&path)
        .key(admin)
        .json(&json!({"is_active": false}))
        .send(world)
        .await
        .ok();
    let rotated = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}/rotate", rotated.id);
    post(&path).key(admin).send(world).await.ok();
    let of = async |request| world.key_of(request).await;
    let expired = KeyRequest {
        expires_in_days: Some(1),
        ..KeyRequest::default()
    };
    let elsewhere = KeyRequest {
        environment: Some(Environment::Testing),
        ..KeyRequest::default()
    };
    let from_there = KeyRequest {
        allowed_ips: vec!["10.0.0.0/8".into()],
        ..KeyRequest::default()
    };
    let keys = vec![
        ("key_revoked", revoked),
        ("key_disabled", disabled),
        ("key_rotated", rotated),
        ("key_expired", of(expired).await),
        ("other_environment", of(elsewhere).await),
        ("address_not_allowed", of(from_there).await),
    ];
    world.clock.advance_millis(2 * 86_400_000);
    keys
}

#[tokio::test]
async fn a_refused_key_looks_the_same_whatever_the_reason() {
    let world = World::new().await;
    let foreign = World::new().await;
    let mut keys = dishonoured(&world).await;
    for _ in 0..40 {
        // Other seeds' keys: the same generator goes on where this world's stopped.
        foreign.key("api:read").await;
    }
    let unknown = foreign.key("api:read").await;
    let mut mistyped = unknown.clone();
    mistyped.text.replace_range(
        20..21,
        if &unknown.text[20..21] == "a" {
            "b"
        } else {
            "a"
        },
    );
    keys.extend([("unknown_key", unknown), ("mistyped_key", mistyped)]);

    let malformed = get("/api/encrypt")
        .key("nonsense")
        .send(&world)
        .await
        .without_id();
    assert_eq!(malformed.1["message"], "Invalid API key");
    assert_eq!(world.refusals().await, ["malformed_credential"]);
    for (reason, key) in keys {
        let answer = get("/api/encrypt").key(&key.text).send(&world).await;
        assert_eq!(answer.error(401, "invalid_api_key"), "Invalid API key");
        assert_eq!(answer.without_id(), malformed, "{reason}");
        let event = &world.events().await[0];
        assert_eq!(event["details"]["reason"], reason);
    }
}

#[tokio::test]
async fn a_refused_token_looks_the_same_whatever_the_reason() {
    let world = World::new().await;
    let keys = dishonoured(&world).await;
    let malformed = get("/api/encrypt")
        .token("nonsense")
        .send(&world)
        .await
        .without_id();
    assert_eq!(malformed.1["message"], "Invalid or expired token");
    for (reason, key) in keys {
        let answer = get("/api/encrypt").token(&key.token).send(&world).await;
        assert_eq!(answer.without_id(), malformed, "{reason}");
    }
}

#[tokio::test]
async fn a_401_names_the_credentials_that_are_taken() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let bearer = r#"Bearer realm="sealgate""#;
    let invalid = r#"Bearer realm="sealgate", error="invalid_token""#;
    let api_key = r#"ApiKey realm="sealgate", header="X-API-Key""#;
    for (request, challenges) in [
        (get("/api/encrypt"), vec![bearer, api_key]),
        (get("/api/encrypt").key("x"), vec![bearer, api_key]),
        (get("/api/encrypt").token("x"), vec![invalid, api_key]),
        (post("/api/auth/token").token(&key.token), vec![api_key]),
        (post("/api/auth/token/renew").key(&key.text), vec![bearer]),
    ] {
        let answer = request.send(&world).await;
        assert_eq!(answer.status, 401);
        let found: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(found, challenges);
    }
}

#[tokio::test]
async fn a_key_is_exchanged_and_a_token_renewed_never_the_other_way_round() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let answer = post("/api/auth/token").token(&key.token).send(&world).await;
    assert_eq!(answer.error(401, "missing_api_key"), "API key is required");
    let answer = post("/api/auth/token/renew")
        .key(&key.text)
        .send(&world)
        .await;
    assert_eq!(
        answer.error(401, "missing_token"),
        "Access token is required"
    );
}

#[tokio::test]
async fn of_two_credentials_both_have_to_be_good_and_the_token_says_who_calls() {
    let world = World::new().await;
    let (one, other) = (world.key("api:read").await, world.key("api:read").await);
    let profile = || get("/api/auth/profile");
    let answer = profile()
        .token(&one.token)
        .key(&other.text)
        .send(&world)
        .await
        .ok();
    assert_eq!(answer["key_id"], one.id);
    let answer = profile()
        .token(&one.token)
        .key("nonsense")
        .send(&world)
        .await;
    answer.error(401, "invalid_api_key");
    let answer = profile()
        .token("nonsense")
        .key(&one.text)
        .send(&world)
        .await;
    answer.error(401, "invalid_token");
    let answer = profile()
        .header("Authorization", "Basic YTpi")
        .key(&one.text)
        .send(&world)
        .await;
    answer.error(401, "invalid_token");
}

#[tokio::test]
async fn headers_that_can_hold_no_credential_are_refused_and_recorded() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let bearer = format!("Bearer {}", key.token);
    let get = || get("/api/encrypt");
    for (request, slug, reason) in [
        (
            get().key(&key.text).key(&key.text),
            "invalid_api_key",
            "duplicate_credential",
        ),
        (
            get().token(&key.token).token(&key.token),
            "invalid_token",
            "duplicate_credential",
        ),
        (
            get().header("x-api-key", b"\xff\xfe\xfd"),
            "invalid_api_key",
            "malformed_credential",
        ),
        (
            get().header("authorization", b"Bearer \xff"),
            "invalid_token",
            "malformed_credential",
        ),
        (
            get().header("x-api-key", "clé"),
            "invalid_api_key",
            "malformed_credential",
        ),
        (get().key(""), "invalid_api_key", "malformed_credential"),
        (
            get().header("authorization", ""),
            "invalid_token",
            "malformed_credential",
        ),
        (
            get().header("authorization", "Bearer"),
            "invalid_token",
            "malformed_credential",
        ),
        (
            get().header("authorization", "Basic YTpi"),
            "invalid_token",
            "malformed_credential",
        ),
        (
            get().header("authorization", &key.text),
            "invalid_token",
            "malformed_credential",
        ),
        (
            get().key(&format!("{0}, {0}", key.text)),
            "invalid_api_key",
            "malformed_credential",
        ),
        (
            get().key(&format!("{} ", key.text)),
            "invalid_api_key",
            "malformed_credential",
        ),
        (
            get().key(&bearer),
            "invalid_api_key",
            "malformed_credential",
        ),
        (get().token(&key.text), "invalid_token", "malformed"),
        (
            get().token("v4.public.eyJhIjoxfQ"),
            "invalid_token",
            "session_token",
        ),
        (
            get().key(&"a".repeat(10_000)),
            "invalid_api_key",
            "malformed_credential",
        ),
        (
            get().token(&"a".repeat(10_000)),
            "invalid_token",
            "too_long",
        ),
    ] {
        let answer = request.send(&world).await;
        answer.error(401, slug);
        let event = &world.events().await[0];
        assert_eq!(event["details"]["reason"], reason);
        assert_eq!(event["status"], 401);
    }
}

#[tokio::test]
async fn a_caller_without_the_permission_is_told_which() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let body = json!({"plaintext": "a"});
    let answer = post("/api/encrypt")
        .key(&key.text)
        .json(&body)
        .send(&world)
        .await;
    let message = answer.error(403, "permission_denied");
    assert_eq!(message, "This key lacks the permission api:write");
    assert_eq!(world.refusals().await, ["missing_permission"]);
    let answer = get("/api/auth/keys").key(&key.text).send(&world).await;
    answer.error(403, "admin_required");
    assert_eq!(world.refusals().await, ["not_admin", "missing_permission"]);
    let events = world.events().await;
    assert_eq!(events[0]["key_id"], key.id);
}

#[tokio::test]
async fn wildcards_are_permissions_and_all_permissions_make_no_administrator() {
    let world = World::new().await;
    for permissions in ["api:*", "*"] {
        let key = world.key(permissions).await;
        get("/api/encrypt").key(&key.text).send(&world).await.ok();
        let answer = get("/api/auth/keys").key(&key.text).send(&world).await;
        answer.error(403, "admin_required");
    }
}

#[tokio::test]
async fn the_clients_address_is_the_peers_unless_a_trusted_proxy_says_otherwise() {
    let world = World::with_http(HttpSettings {
        trusted_proxies: vec!["203.0.113.0/24".parse().unwrap()],
        ..HttpSettings::default()
    })
    .await;
    let key = world
        .key_of(KeyRequest {
            allowed_ips: vec!["10.0.0.0/8".into()],
            ..KeyRequest::default()
        })
        .await;
    let profile = || get("/api/auth/profile").key(&key.text);
    profile().from("10.1.2.3").send(&world).await.ok();
    let spoofed = profile()
        .from("192.0.2.7")
        .header("X-Forwarded-For", "10.1.2.3");
    spoofed.send(&world).await.error(401, "invalid_api_key");
    let proxied = profile()
        .from("203.0.113.1")
        .header("X-Forwarded-For", "10.1.2.3");
    proxied.send(&world).await.ok();
    let appended = profile()
        .from("203.0.113.1")
        .header("X-Forwarded-For", "10.1.2.3, 192.0.2.7");
    appended.send(&world).await.error(401, "invalid_api_key");
}
