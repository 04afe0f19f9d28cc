//! A managed key as seal key: it has to be honoured, may do it, and is used by it.

use sealgate_core::key::Environment;
use sealgate_core::request::KeyRequest;
use serde_json::json;

use crate::support::{Answer, PASSWORD, TestKey, World, get, log_in, patch, post};

async fn world_with_ada() -> (World, TestKey) {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let key = world.key("session:seal").await;
    (world, key)
}

async fn profile(world: &World, token: &str, key: &TestKey) -> Answer {
    let request = get("/api/profile").token(token).seal_key(&key.text);
    request.send(world).await
}

/// That profile, renewal and login are all refused as with an unknown key.
async fn assert_refused(world: &World, token: &str, key: &TestKey, reason: &str) {
    for request in [
        get("/api/profile").token(token),
        post("/api/auth/token/renew").token(token),
        log_in("ada", PASSWORD),
    ] {
        let answer = request.seal_key(&key.text).send(world).await;
        assert_eq!(answer.error(401, "invalid_api_key"), "Invalid API key");
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"ApiKey realm="sealgate", header="x-gomaluum-key""#
        );
        assert_eq!(world.refusals().await[0], reason);
    }
}

#[tokio::test]
async fn a_revoked_seal_key_ends_its_sessions_in_every_process() {
    let (world, key) = world_with_ada().await;
    let second = world.second().await;
    let token = world.session("ada", Some(&key.text)).await;
    for world in [&world, &second] {
        profile(world, &token, &key).await.ok();
    }
    let path = format!("/api/auth/keys/{}/revoke", key.id);
    post(&path).key(&world.admin.text).send(&world).await.ok();
    second.authority.sync().await.unwrap();
    assert_refused(&world, &token, &key, "key_revoked").await;
    assert_refused(&second, &token, &key, "key_revoked").await;
}

#[tokio::test]
async fn a_disabled_seal_key_does_not_seal_until_it_is_switched_on_again() {
    let (world, key) = world_with_ada().await;
    let token = world.session("ada", Some(&key.text)).await;
    let path = format!("/api/auth/keys/{}", key.id);
    let switch = |is_active| {
        let body = json!({"is_active": is_active});
        patch(&path).key(&world.admin.text).json(&body)
    };
    switch(false).send(&world).await.ok();
    assert_refused(&world, &token, &key, "key_disabled").await;
    switch(true).send(&world).await.ok();
    profile(&world, &token, &key).await.ok();
}

#[tokio::test]
async fn a_session_does_not_outlive_its_seal_key() {
    let (world, _) = world_with_ada().await;
    let key = world
        .key_of(KeyRequest {
            permissions: Some("session:seal".to_owned()),
            expires_in_days: Some(1),
            ..KeyRequest::default()
        })
        .await;
    world.clock.advance_millis(86_400_000 - 10_000);
    let token = world.session("ada", Some(&key.text)).await;
    profile(&world, &token, &key).await.ok();
    world.clock.advance_millis(10_000);
    let answer = profile(&world, &token, &key).await;
    answer.error(401, "invalid_token");
    assert_eq!(world.refusals().await[0], "expired");
    let login = log_in("ada", PASSWORD).seal_key(&key.text);
    login.send(&world).await.error(401, "invalid_api_key");
    assert!(world.refusals().await.contains(&"key_expired".to_owned()));
}

#[tokio::test]
async fn a_rotated_seal_key_opens_until_its_grace_is_over() {
    let (world, key) = world_with_ada().await;
    let token = world.session("ada", Some(&key.text)).await;
    let path = format!("/api/auth/keys/{}/rotate", key.id);
    let body = json!({"grace_seconds": 60});
    let rotate = post(&path).key(&world.admin.text).json(&body);
    rotate.send(&world).await.ok();
    profile(&world, &token, &key).await.ok();
    world.clock.advance_millis(60_000);
    assert_refused(&world, &token, &key, "key_rotated").await;
}

#[tokio::test]
async fn a_key_without_the_permission_is_told_which() {
    let (world, _) = world_with_ada().await;
    let weak = world.key("api:read").await;
    let answer = log_in("ada", PASSWORD)
        .seal_key(&weak.text)
        .send(&world)
        .await;
    assert_eq!(
        answer.error(403, "permission_denied"),
        "This key lacks the permission session:seal"
    );
    let event = &world.events().await[0];
    assert_eq!(event["key_id"], weak.id);
    assert_eq!(event["details"]["needed"], "session:seal");

    let key = world.key("session:seal").await;
    let token = world.session("ada", Some(&key.text)).await;
    let path = format!("/api/auth/keys/{}", key.id);
    let less = patch(&path)
        .key(&world.admin.text)
        .json(&json!({"permissions": "api:read"}));
    less.send(&world).await.ok();
    let answer = profile(&world, &token, &key).await;
    answer.error(403, "permission_denied");
}

#[tokio::test]
async fn a_key_that_is_not_taken_here_does_not_seal_here() {
    let (world, _) = world_with_ada().await;
    let seal = || KeyRequest {
        permissions: Some("session:seal".to_owned()),
        ..KeyRequest::default()
    };
    let of_testing = KeyRequest {
        environment: Some(Environment::Testing),
        ..seal()
    };
    let from_elsewhere = KeyRequest {
        allowed_ips: vec!["10.0.0.0/8".to_owned()],
        ..seal()
    };
    for (request, reason) in [
        (of_testing, "other_environment"),
        (from_elsewhere, "address_not_allowed"),
    ] {
        let key = world.key_of(request).await;
        let login = log_in("ada", PASSWORD).seal_key(&key.text);
        login.send(&world).await.error(401, "invalid_api_key");
        assert_eq!(world.refusals().await[0], reason);
    }
}

#[tokio::test]
async fn the_limit_of_a_seal_key_is_told_and_holds() {
    let (world, _) = world_with_ada().await;
    let key = world
        .key_of(KeyRequest {
            permissions: Some("session:seal".to_owned()),
            rate_limit: Some(3),
            ..KeyRequest::default()
        })
        .await;
    let login = log_in("ada", PASSWORD).seal_key(&key.text);
    let answer = login.send(&world).await;
    assert_eq!(answer.headers["ratelimit-remaining"], "2");
    let token = crate::support::token_of(&answer);
    let answer = profile(&world, &token, &key).await;
    assert_eq!(answer.headers["ratelimit-remaining"], "1");
    let renewal = post("/api/auth/token/renew").token(&token);
    let answer = renewal.seal_key(&key.text).send(&world).await;
    assert_eq!(answer.headers["ratelimit-remaining"], "0");
    let answer = profile(&world, &token, &key).await;
    assert_eq!(
        answer.error(429, "rate_limited"),
        "This key may make 3 requests an hour"
    );
    assert_eq!(answer.headers["ratelimit-limit"], "3");
    let wait: i64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    world.clock.advance_millis(wait * 1_000);
    profile(&world, &token, &key).await.ok();
}

#[tokio::test]
async fn uses_of_a_seal_key_are_counted_under_their_routes() {
    let (world, key) = world_with_ada().await;
    let token = world.session("ada", Some(&key.text)).await;
    profile(&world, &token, &key).await.ok();
    let renewal = post("/api/auth/token/renew").token(&token);
    renewal.seal_key(&key.text).send(&world).await.ok();
    world.authority.write_uses().await.unwrap();
    let path = format!("/api/auth/keys/{}", key.id);
    let shown = get(&path).key(&world.admin.text).send(&world).await.ok();
    assert_eq!(shown["use_count"], 3);
    let logs = get(&format!("{path}/logs")).key(&world.admin.text);
    let logs = logs.send(&world).await.ok();
    let events = logs["events"].as_array().unwrap().iter();
    let counted = events.filter(|event| event["action"] == "requests.counted");
    let mut routes: Vec<_> = counted
        .map(|event| (event["method"].clone(), event["path"].clone()))
        .collect();
    routes.sort_by_key(|(_, path)| path.to_string());
    assert_eq!(
        routes,
        [
            (json!("POST"), json!("/api/auth/login")),
            (json!("POST"), json!("/api/auth/token/renew")),
            (json!("GET"), json!("/api/profile")),
        ]
    );
}
