//! Services that are handed tokens: they ask whether one is good, and revoke one, as OAuth has it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate_core::authority::{Authority, Caller};
use sealgate_core::key::Environment;
use sealgate_core::request::{KeyPatch, KeyRequest};
use serde_json::{Value, json};

use crate::support::{
    Answer, Call, PASSWORD, SEAL_KEY, START, TestKey, World, call, delete, get, patch, post,
};

const INTROSPECT: &str = "/api/auth/introspect";
const REVOKE: &str = "/api/auth/revoke";

fn form(path: &str, body: impl Into<String>) -> Call {
    post(path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body.into())
}

async fn ask(world: &World, who: &TestKey, token: &str) -> Answer {
    let asked = form(INTROSPECT, format!("token={token}"));
    asked.key(&who.text).send(world).await
}

async fn revoke(world: &World, who: &TestKey, token: &str) -> Answer {
    let asked = form(REVOKE, format!("token={token}&token_type_hint=unheard_of"));
    asked.key(&who.text).send(world).await
}

async fn is_active(world: &World, who: &TestKey, token: &str) -> bool {
    ask(world, who, token).await.ok()["active"] == true
}

/// A world with a service that may ask, and a client.
async fn world_with_service() -> (World, TestKey, TestKey) {
    let world = World::new().await;
    let service = world.key("token:introspect").await;
    let client = world.key("api:read api:write").await;
    (world, service, client)
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let json = URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[tokio::test]
async fn an_access_token_is_told_in_the_members_that_oauth_names() {
    let (world, service, client) = world_with_service().await;
    let answer = ask(&world, &service, &client.token).await;
    assert_eq!(
        answer.ok(),
        json!({
            "active": true,
            "kind": "access_token",
            "scope": "api:read api:write",
            "client_id": client.id,
            "token_type": "Bearer",
            "exp": START.as_seconds() + 3_600,
            "iat": START.as_seconds(),
            "sub": client.id,
            "iss": "sealgate",
            "jti": claims_of(&client.token)["jti"],
        })
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_session_is_told_without_its_seal_key_and_without_its_data() {
    let (world, service, _) = world_with_service().await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", Some(SEAL_KEY)).await;
    let mut told = ask(&world, &service, &token).await.ok();
    let jti = told.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().unwrap().len(), 36);
    let start = START.as_seconds();
    assert_eq!(
        told,
        json!({
            "active": true,
            "kind": "session_token",
            "username": "ada",
            "token_type": "Bearer",
            "exp": start + 28_800,
            "iat": start,
            "nbf": start,
            "sub": "ada",
            "aud": "gomaluum",
            "iss": "gomaluum",
        })
    );
}

#[tokio::test]
async fn a_managed_key_is_told_too() {
    let (world, service, client) = world_with_service().await;
    let expected = json!({
        "active": true,
        "kind": "api_key",
        "scope": "api:read api:write",
        "client_id": client.id,
        "iat": START.as_seconds(),
        "sub": client.id,
        "iss": "sealgate",
    });
    assert_eq!(ask(&world, &service, &client.text).await.ok(), expected);
    let admin = ask(&world, &service, &world.admin.text).await.ok();
    assert_eq!(admin["scope"], "*");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_the_answer_is_the_same_to_the_byte() {
    let (world, service, client) = world_with_service().await;
    world.user("ada", PASSWORD).await;
    let caller = Caller::command_line("test");
    let authority: &Authority = &world.authority;
    let mut bad = vec![
        "nonsense".to_owned(),
        "v4.public.nonsense".to_owned(),
        "v4.local.nonsense".to_owned(),
        "a.b.c".to_owned(),
        "%00%FF".to_owned(),
        format!("{}x", client.token),
        format!("{}x", client.text),
        client.text.to_lowercase(),
        "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3".to_owned(),
    ];
    for kind in ["revoked", "disabled"] {
        let key = world.key("api:read").await;
        if kind == "revoked" {
            authority.revoke(&key.id, None, &caller).await.unwrap();
        } else {
            let off = KeyPatch {
                is_active: Some(false),
                ..KeyPatch::default()
            };
            authority.update(&key.id, off, &caller).await.unwrap();
        }
        bad.extend([key.text, key.token]);
    }
    let expired = KeyRequest {
        expires_in_days: Some(1),
        ..KeyRequest::default()
    };
    let elsewhere = KeyRequest {
        environment: Some(Environment::Testing),
        ..KeyRequest::default()
    };
    for request in [expired, elsewhere] {
        let key = world.key_of(request).await;
        bad.extend([key.text, key.token]);
    }
    let logged_out = world.key("api:read").await.token;
    let (ended, of_gone) = (
        world.session("ada", None).await,
        world.session("ada", Some(SEAL_KEY)).await,
    );
    for token in [&logged_out, &ended] {
        let logout = post("/api/auth/logout").token(token);
        logout.send(&world).await.ok();
    }
    let gone = delete("/api/users/ada").key(&world.admin.text);
    gone.send(&world).await;
    bad.extend([logged_out, ended, of_gone, client.token.clone()]);
    world.clock.advance_millis(86_400_000);
    authority.sync().await.unwrap();

    let expected = ask(&world, &service, "x").await;
    assert_eq!(expected.body, r#"{"active":false}"#);
    for token in bad {
        let answer = ask(&world, &service, &token).await;
        assert_eq!(answer.status, 200, "{token}");
        assert_eq!(answer.body, expected.body, "{token}");
        let headers = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("x-request-id");
            headers
        };
        assert_eq!(headers(&answer), headers(&expected), "{token}");
    }
    assert!(world.refusals().await.is_empty());
}

#[tokio::test]
async fn administrators_and_who_has_the_permission_may_and_nobody_else() {
    let (world, service, client) = world_with_service().await;
    let asked = |path| form(path, format!("token={}", client.token));
    let area = world.key("token:*").await;
    for who in [&service, &area, &world.admin] {
        for request in [
            asked(INTROSPECT).key(&who.text),
            asked(INTROSPECT).token(&who.token),
        ] {
            assert_eq!(request.send(&world).await.ok()["active"], true);
        }
    }
    for path in [INTROSPECT, REVOKE] {
        for request in [
            asked(path).key(&client.text),
            asked(path).token(&client.token),
        ] {
            let message = request.send(&world).await.error(403, "permission_denied");
            assert_eq!(message, "This key lacks the permission token:introspect");
        }
        asked(path).send(&world).await.error(401, "missing_api_key");
        call("GET", path)
            .key(&service.text)
            .send(&world)
            .await
            .error(405, "method_not_allowed");
    }
    // A token that was issued before its key had the permission has it not.
    let body = json!({"permissions": "token:introspect"});
    let path = format!("/api/auth/keys/{}", client.id);
    let changed = patch(&path).key(&world.admin.text).json(&body);
    changed.send(&world).await.ok();
    let request = asked(INTROSPECT).token(&client.token);
    request.send(&world).await.error(403, "permission_denied");
}

#[tokio::test]
async fn a_form_has_its_parameters_once_and_says_that_it_is_one() {
    let (world, service, client) = world_with_service().await;
    for path in [INTROSPECT, REVOKE] {
        for (body, message) in [
            ("", "token: is missing"),
            ("token=", "token: is missing"),
            ("token_type_hint=access_token", "token: is missing"),
            ("token=a&token=b", "token: is there more than once"),
            ("token=a&x=1&x=1", "x: is there more than once"),
        ] {
            let answer = form(path, body).key(&service.text).send(&world).await;
            assert_eq!(answer.error(400, "invalid_request"), message, "{body}");
        }
        let body = json!({"token": client.token});
        let as_json = post(path).key(&service.text).json(&body);
        let message = as_json.send(&world).await;
        assert_eq!(
            message.error(415, "unsupported_media_type"),
            "send the body as a form, with Content-Type: application/x-www-form-urlencoded"
        );
        let unsaid = post(path).key(&service.text).body("token=a".to_owned());
        let answer = unsaid.send(&world).await;
        answer.error(415, "unsupported_media_type");
        let long = form(path, format!("token={}", "a".repeat(65_536)));
        let answer = long.key(&service.text).send(&world).await;
        answer.error(413, "payload_too_large");
    }
    let more = format!("more=1&token={}&token_type_hint=", client.token);
    let answer = form(INTROSPECT, more).key(&service.text).send(&world).await;
    assert_eq!(answer.ok()["active"], true);
}

#[tokio::test]
async fn to_ask_is_a_use_of_who_asks_and_none_of_what_is_asked_about() {
    let (world, service, _) = world_with_service().await;
    let client = world
        .key_of(KeyRequest {
            permissions: Some("api:read".to_owned()),
            rate_limit: Some(1),
            allowed_ips: vec!["203.0.113.0/24".to_owned()],
            ..KeyRequest::default()
        })
        .await;
    for token in [&client.text, &client.token, &client.text] {
        let answer = ask(&world, &service, token).await;
        assert_eq!(answer.ok()["active"], true);
        assert!(!answer.headers.contains_key("ratelimit-limit"));
    }
    world.authority.write_uses().await.unwrap();
    let count = async |key: &TestKey| world.authority.key(&key.id).await.unwrap().use_count;
    assert_eq!((count(&service).await, count(&client).await), (3, 0));
    let request = get("/api/encrypt").key(&client.text).from("203.0.113.9");
    request.send(&world).await.ok();
}

#[tokio::test]
async fn a_revoked_access_token_is_dead_here_at_once_and_elsewhere_after_the_next_look() {
    let (world, service, client) = world_with_service().await;
    let second = Box::pin(world.second()).await;
    assert!(is_active(&second, &service, &client.token).await);
    let answer = revoke(&world, &service, &client.token).await;
    assert_eq!(answer.ok(), json!({}));
    assert_eq!(answer.headers["cache-control"], "no-store");
    second.authority.sync().await.unwrap();
    for process in [&world, &second] {
        assert!(!is_active(process, &service, &client.token).await);
        let refused = get("/api/encrypt").token(&client.token).send(process).await;
        refused.error(401, "invalid_token");
        let by_key = get("/api/encrypt").key(&client.text);
        by_key.send(process).await.ok();
    }
    let events = world.events().await;
    let event = events.iter().find(|it| it["action"] == "token.revoked");
    let event = event.unwrap();
    assert_eq!(event["actor"], format!("key:{}", service.id));
    assert_eq!(event["key_id"], client.id);
    assert_eq!(event["address"], "192.0.2.7");
    assert_eq!(
        event["details"]["jti"],
        claims_of(&client.token)["jti"].clone()
    );
}

#[tokio::test]
async fn a_revoked_session_token_ends_its_session_everywhere() {
    let (world, service, _) = world_with_service().await;
    world.user("ada", PASSWORD).await;
    let first = world.session("ada", None).await;
    let renewed = post("/api/auth/token/renew").token(&first);
    let renewed = crate::support::token_of(&renewed.send(&world).await);
    let second = Box::pin(world.second()).await;
    revoke(&world, &service, &renewed).await.ok();
    second.authority.sync().await.unwrap();
    for process in [&world, &second] {
        for token in [&first, &renewed] {
            assert!(!is_active(process, &service, token).await);
            let profile = get("/api/profile").token(token).send(process).await;
            profile.error(401, "invalid_token");
        }
    }
    let events = world.events().await;
    let event = events.iter().find(|it| it["action"] == "session.ended");
    let event = event.unwrap();
    assert_eq!(event["actor"], format!("key:{}", service.id));
    assert_eq!(event["details"]["username"], "ada");
}

#[tokio::test]
async fn to_revoke_what_is_not_good_is_no_error_and_leaves_no_record() {
    let (world, service, client) = world_with_service().await;
    revoke(&world, &service, &client.token).await.ok();
    let before = world.events().await.len();
    for token in [client.token.as_str(), "nonsense", "v4.public.x", "a.b.c"] {
        let answer = revoke(&world, &service, token).await;
        assert_eq!(answer.ok(), json!({}), "{token}");
    }
    assert_eq!(world.events().await.len(), before);
}

#[tokio::test]
async fn a_managed_key_is_told_to_be_revoked_elsewhere_and_lives_on() {
    let (world, service, client) = world_with_service().await;
    for who in [&service, &world.admin] {
        let answer = revoke(&world, who, &client.text).await;
        assert_eq!(
            answer.error(400, "unsupported_token_type"),
            "A managed key is revoked by its identifier: POST /api/auth/keys/{id}/revoke"
        );
    }
    let request = get("/api/encrypt").key(&client.text);
    request.send(&world).await.ok();
}
