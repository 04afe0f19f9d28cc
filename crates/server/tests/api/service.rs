//! What the endpoints are for: tokens, the profile, encryption, and what Sealgate says of itself.

use sealgate_core::authority::Settings;
use sealgate_core::clock::Timestamp;
use sealgate_core::request::KeyRequest;
use sealgate_server::HttpSettings;
use sealgate_token::jwt::Algorithm;
use serde_json::json;

use crate::support::{START, World, get, post};

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_as_the_guide_shows() {
    let world = World::new().await;
    let key = world.key("api:read api:write").await;
    let answer = post("/api/auth/token").key(&key.text).send(&world).await;
    let body = answer.ok();
    assert_eq!(answer.headers["cache-control"], "no-store");
    let token = body["token"].as_str().unwrap();
    assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."));
    assert_eq!(
        body,
        json!({
            "token": token,
            "expires_in": 3600,
            "token_type": "Bearer",
            "key_id": key.id,
            "permissions": "api:read api:write",
            "is_admin": false
        })
    );
    get("/api/encrypt").token(token).send(&world).await.ok();
}

#[tokio::test]
async fn a_token_is_renewed_with_a_later_expiry_and_never_past_the_longest_lifetime() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let mut token = key.token;
    for _ in 0..47 {
        world.clock.advance_millis(1_800_000);
        let answer = post("/api/auth/token/renew")
            .token(&token)
            .send(&world)
            .await
            .ok();
        assert_eq!(answer["token_type"], "Bearer");
        assert!(answer["expires_in"].as_i64().unwrap() <= 3_600);
        token = answer["token"].as_str().unwrap().to_owned();
    }
    world.clock.advance_millis(1_800_000);
    let answer = post("/api/auth/token/renew")
        .token(&token)
        .send(&world)
        .await;
    answer.error(401, "invalid_token");
}

#[tokio::test]
async fn the_profile_shows_the_calling_key_and_nothing_secret() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    for request in [
        get("/api/auth/profile").key(&key.text),
        get("/api/auth/profile").token(&key.token),
    ] {
        let body = request.send(&world).await.ok();
        assert_eq!(body["key_id"], key.id);
        assert_eq!(body["prefix"], key.text[..8]);
        assert_eq!(body["permissions"], "api:read");
        assert!(!body.to_string().contains(&key.text[9..]));
        assert!(body.get("hash").is_none() && body.get("salt").is_none());
    }
}

#[tokio::test]
async fn what_a_key_seals_it_opens_again_and_no_other_key_does() {
    let world = World::new().await;
    let key = world.key("api:read api:write").await;
    let other = world.key("api:write").await;
    let offer = get("/api/encrypt").key(&key.text).send(&world).await.ok();
    assert_eq!(offer["algorithm"], "AES-256-GCM-SIV");
    assert_eq!(offer["key_version"], 0);
    assert_eq!(offer["limits"]["max_body_bytes"], 1_048_576);

    let body = json!({"plaintext": "attack at dawn"});
    let sealed = post("/api/encrypt")
        .key(&key.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(sealed["key_id"], key.id);
    let ciphertext = sealed["ciphertext"].as_str().unwrap();
    assert!(ciphertext.starts_with("sg1."));

    let body = json!({"ciphertext": ciphertext});
    let opened = post("/api/decrypt")
        .token(&key.token)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(
        opened,
        json!({"plaintext": "attack at dawn", "key_id": key.id})
    );

    let refused = post("/api/decrypt")
        .key(&other.text)
        .json(&body)
        .send(&world)
        .await;
    let altered = json!({"ciphertext": ciphertext.replacen("sg1.AAAAA", "sg1.AAAAB", 1)});
    assert_ne!(altered, body);
    let altered = post("/api/decrypt")
        .key(&key.text)
        .json(&altered)
        .send(&world)
        .await;
    assert_eq!(
        refused.error(400, "invalid_request"),
        altered.error(400, "invalid_request")
    );
    let offer = get("/api/encrypt").key(&key.text).send(&world).await.ok();
    assert_eq!(offer["key_version"], 1);
}

#[tokio::test]
async fn the_longest_plaintext_goes_there_and_back() {
    let world = World::new().await;
    let key = world.key("api:read api:write").await;
    let offer = get("/api/encrypt").key(&key.text).send(&world).await.ok();
    let longest = offer["limits"]["max_plaintext_bytes"].as_u64().unwrap();
    let text = "a".repeat(usize::try_from(longest).unwrap());
    let body = json!({"plaintext": text});
    let sealed = post("/api/encrypt")
        .key(&key.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    let body = json!({"ciphertext": sealed["ciphertext"]});
    let opened = post("/api/decrypt")
        .key(&key.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(opened["plaintext"], text);
    let body = json!({"plaintext": text + "a"});
    let refused = post("/api/encrypt")
        .key(&key.text)
        .json(&body)
        .send(&world)
        .await;
    refused.error(400, "invalid_request");
}

#[tokio::test]
async fn a_served_request_is_counted_under_its_route() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    for _ in 0..3 {
        get("/api/encrypt").key(&key.text).send(&world).await.ok();
    }
    post("/api/encrypt")
        .key(&key.text)
        .json(&json!({}))
        .send(&world)
        .await;
    world.authority.write_uses().await.unwrap();
    let path = format!("/api/auth/keys/{}/logs", key.id);
    let logs = get(&path).key(&world.admin.text).send(&world).await.ok();
    let counted = &logs["events"][0];
    assert_eq!(counted["action"], "requests.counted");
    assert_eq!(
        (&counted["method"], &counted["path"]),
        (&json!("GET"), &json!("/api/encrypt"))
    );
    assert_eq!(counted["details"]["count"], 3);
    assert_eq!(counted["address"], "192.0.2.7");
}

#[tokio::test]
async fn a_request_of_an_honoured_key_that_ends_in_an_error_is_counted_with_its_status() {
    let world = World::new().await;
    let key = world.key("api:write").await;
    for _ in 0..3 {
        let answer = post("/api/decrypt")
            .key(&key.text)
            .json(&json!({"ciphertext": "sg1.AAAA"}))
            .send(&world)
            .await;
        answer.error(400, "invalid_request");
    }
    world.authority.write_uses().await.unwrap();
    let path = format!("/api/auth/keys/{}/logs", key.id);
    let logs = get(&path).key(&world.admin.text).send(&world).await.ok();
    let counted = &logs["events"][0];
    assert_eq!(counted["path"], "/api/decrypt");
    assert_eq!(counted["status"], 400);
    assert_eq!(counted["details"]["count"], 3);
}

#[tokio::test]
async fn every_served_request_is_recorded_where_the_settings_want_it() {
    let settings = Settings {
        audit_all_requests: true,
        ..Settings::default()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    let key = world.key("api:read").await;
    let answer = get("/api/encrypt")
        .key(&key.text)
        .header("User-Agent", "test/1")
        .send(&world);
    let answer = answer.await;
    answer.ok();
    let events = world.events().await;
    assert_eq!(events[0]["action"], "request.served");
    assert_eq!(events[0]["user_agent"], "test/1");
    assert_eq!(
        answer.headers["x-request-id"],
        *events[0]["request_id"].as_str().unwrap()
    );

    world.authority.store().close().await;
    let answer = get("/api/encrypt").key(&key.text).send(&world).await;
    answer.error(503, "service_unavailable");
}

#[tokio::test]
async fn a_limited_key_is_told_what_is_left_and_refused_when_nothing_is() {
    let world = World::new().await;
    let key = world
        .key_of(KeyRequest {
            rate_limit: Some(2),
            ..KeyRequest::default()
        })
        .await;
    let profile = || get("/api/auth/profile").key(&key.text).send(&world);
    for left in ["1", "0"] {
        let answer = profile().await;
        answer.ok();
        assert_eq!(answer.headers["ratelimit-limit"], "2");
        assert_eq!(answer.headers["ratelimit-remaining"], left);
    }
    let answer = profile().await;
    answer.error(429, "rate_limited");
    let seconds: i64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(seconds, 1_800);
    assert_eq!(answer.headers["ratelimit-remaining"], "0");
    assert_eq!(
        answer.headers["ratelimit-reset"],
        answer.headers["retry-after"]
    );
    assert_eq!(world.refusals().await, ["rate_limited"]);
    world.clock.advance_millis(seconds * 1_000);
    profile().await.ok();
}

#[tokio::test]
async fn a_key_without_limit_hears_of_none() {
    let world = World::new().await;
    let answer = get("/api/auth/profile")
        .key(&world.admin.text)
        .send(&world)
        .await;
    assert!(
        !answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("ratelimit"))
    );
}

#[tokio::test]
async fn probes_tell_that_the_process_lives_and_whether_it_can_answer() {
    let world = World::with_http(HttpSettings {
        metrics: std::sync::Arc::new(|| "sealgate_up 1\n".to_owned()),
        ..HttpSettings::default()
    })
    .await;
    assert_eq!(
        get("/healthz").send(&world).await.ok(),
        json!({"status": "ok"})
    );
    assert_eq!(
        get("/readyz").send(&world).await.ok(),
        json!({"status": "ready", "checks": {"keys": "ok", "store": "ok"}})
    );
    let metrics = get("/metrics").send(&world).await;
    assert_eq!(metrics.text(), "sealgate_up 1\n");
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );

    world.authority.store().close().await;
    world.clock.advance_millis(60_000);
    get("/healthz").send(&world).await.ok();
    let answer = get("/readyz").send(&world).await;
    let message = answer.error(503, "service_unavailable");
    assert!(message.contains("store"), "{message}");
    assert_eq!(answer.headers["retry-after"], "1");
    let refused = get("/api/auth/profile")
        .key(&world.admin.text)
        .send(&world)
        .await;
    refused.error(503, "service_unavailable");
}

#[tokio::test]
async fn the_security_contact_is_told_where_one_is_set() {
    let world = World::new().await;
    let path = "/.well-known/security.txt";
    get(path).send(&world).await.error(404, "not_found");
    let world = World::with_http(HttpSettings {
        security_contact: vec!["mailto:security@example.com".into()],
        security_expires: Timestamp::parse("2027-01-01T00:00:00Z").unwrap(),
        ..HttpSettings::default()
    })
    .await;
    let answer = get(path).send(&world).await;
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(
        answer.text(),
        "Contact: mailto:security@example.com\nExpires: 2027-01-01T00:00:00Z\n"
    );
}

#[tokio::test]
async fn public_keys_are_published_where_tokens_are_signed_with_them() {
    let path = "/.well-known/jwks.json";
    let world = World::new().await;
    let answer = get(path).send(&world).await;
    let keys = answer.ok();
    // Access tokens are HS256: it signs lists of revocations.
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(keys["keys"][0]["alg"], "EdDSA");
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
    let settings = Settings {
        algorithm: Algorithm::EdDsa,
        ..Settings::default()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    let keys = get(path).send(&world).await.ok();
    assert_eq!(keys["keys"][0]["kty"], "OKP");
    assert!(keys["keys"][0].get("d").is_none());
    get("/api/auth/profile")
        .token(&world.admin.token)
        .send(&world)
        .await
        .ok();
}

#[tokio::test]
async fn the_reference_and_its_document_are_served_with_a_policy_of_their_own() {
    let world = World::new().await;
    let page = get("/api/reference").send(&world).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let document = get("/api/openapi.json").send(&world).await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let index = get("/").send(&world).await.ok();
    assert_eq!(index["reference"], "/api/reference");
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_request() {
    let world = World::new().await;
    let answer = get("/api/encrypt")
        .key("nonsense")
        .header("User-Agent", "probe/1")
        .send(&world);
    let answer = answer.await;
    let event = &world.events().await[0];
    assert_eq!(event["action"], "request.refused");
    assert_eq!(event["details"]["reason"], "malformed_credential");
    assert_eq!(event["time"], START.to_string());
    assert_eq!(event["status"], 401);
    assert_eq!(event["user_agent"], "probe/1");
    assert_eq!(
        (&event["method"], &event["path"]),
        (&json!("GET"), &json!("/api/encrypt"))
    );
    assert_eq!(
        answer.headers["x-request-id"],
        *event["request_id"].as_str().unwrap()
    );
}

#[tokio::test]
async fn whoever_has_the_published_keys_or_the_list_of_revocations_gets_no_body() {
    let world = World::new().await;
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/paseto-keys.json",
        "/.well-known/sealgate-revocations",
    ] {
        let first = get(path).send(&world).await;
        assert_eq!(first.status, 200, "{path}");
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        let again = get(path).header("if-none-match", &tag).send(&world).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        for name in ["etag", "cache-control"] {
            assert_eq!(again.headers[name], first.headers[name], "{path}");
        }
        let other = get(path).header("if-none-match", "\"other\"");
        assert_eq!(other.send(&world).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_poll_of_the_list_costs_little_and_is_outside_of_the_limits_by_address() {
    let settings = Settings {
        anonymous_per_minute: 1,
        ..Settings::default()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    let path = "/.well-known/sealgate-revocations";
    let first = get(path).send(&world).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    for _ in 0..100 {
        let again = get(path).header("if-none-match", &tag).send(&world).await;
        assert_eq!(again.status, 304);
    }
    let key = world.key("api:read").await;
    let id = key.id.clone();
    world
        .authority
        .revoke(
            &id,
            None,
            &sealgate_core::authority::Caller::command_line("tester"),
        )
        .await
        .unwrap();
    let told = get(path).header("if-none-match", &tag).send(&world).await;
    assert_eq!(told.status, 200, "at once, in the process that did it");
}
