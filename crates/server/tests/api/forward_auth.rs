//! `/api/auth/verify`: what a reverse proxy hears of each credential, and never a body.

mod told;

use std::time::Duration;

use sealgate_core::authority::Settings;
use sealgate_core::request::KeyRequest;
use sealgate_server::HttpSettings;
use serde_json::json;

use crate::support::{
    Answer, Call, OTHER_SEAL_KEY, PASSWORD, SEAL_KEY, TestKey, World, call, get, post, settings,
};

const PATH: &str = "/api/auth/verify";
const IDENTITY: [&str; 5] = [
    "x-auth-kind",
    "x-auth-key-id",
    "x-auth-subject",
    "x-auth-permissions",
    "x-auth-environment",
];

fn verify() -> Call {
    get(PATH)
}

/// What a proxy asks about a request with this method.
fn verify_for(method: &str) -> Call {
    verify().header("X-Original-Method", method)
}

/// Sends it, and checks what all answers have in common; gives the status.
async fn status(world: &World, call: Call) -> u16 {
    answer(world, call).await.status.as_u16()
}

async fn answer(world: &World, call: Call) -> Answer {
    let answer = call.send(world).await;
    assert!(answer.body.is_empty(), "{answer:?}");
    assert_eq!(answer.headers["content-length"], "0", "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{answer:?}");
    for name in ["content-type", "allow"] {
        assert!(!answer.headers.contains_key(name), "{answer:?}");
    }
    let is_let_through = answer.status == 200;
    // What is let through leaves no line that could be found by it.
    let is_to_be_found = answer.headers.contains_key("x-request-id");
    assert_eq!(is_to_be_found, !is_let_through, "{answer:?}");
    for name in IDENTITY {
        let values = answer.headers.get_all(name).iter().count();
        assert_eq!(values, usize::from(is_let_through), "{name}: {answer:?}");
    }
    let is_challenged = answer.headers.contains_key("www-authenticate");
    assert_eq!(is_challenged, answer.status == 401, "{answer:?}");
    answer
}

/// The identity that a proxy is told.
async fn identity(world: &World, call: Call) -> [String; 5] {
    let answer = answer(world, call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    IDENTITY.map(|name| answer.headers[name].to_str().unwrap().to_owned())
}

fn path_of(key: &TestKey, action: &str) -> String {
    format!("/api/auth/keys/{}{action}", key.id)
}

#[tokio::test]
async fn a_key_and_its_token_are_let_through_with_who_they_are() {
    let world = World::new().await;
    let key = world.key("api:read x:y").await;
    let id = key.id.as_str();
    for (request, kind) in [
        (verify().key(&key.text), "key"),
        (verify().token(&key.token), "token"),
    ] {
        let expected = [kind, id, id, "api:read x:y", "production"];
        assert_eq!(identity(&world, request).await, expected);
    }
}

#[tokio::test]
async fn an_administrator_may_do_everything() {
    let world = World::new().await;
    let request = KeyRequest {
        permissions: Some("x:y".to_owned()),
        is_admin: true,
        ..KeyRequest::default()
    };
    let admin = world.key_of(request).await;
    for request in [
        verify_for("POST").key(&admin.text),
        verify_for("POST").token(&admin.token),
    ] {
        assert_eq!(identity(&world, request).await[3], "*");
    }
}

#[tokio::test]
async fn a_token_is_told_with_what_it_and_its_key_both_may() {
    let world = World::new().await;
    let key = world.key("api:* x:y").await;
    let change = json!({"permissions": "api:read x:y z:z"});
    let request = patch_of(&key).json(&change).key(&world.admin.text);
    request.send(&world).await.ok();
    let permissions = async |request| identity(&world, request).await[3].clone();
    assert_eq!(
        permissions(verify().token(&key.token)).await,
        "api:read x:y"
    );
    assert_eq!(
        permissions(verify().key(&key.text)).await,
        "api:read x:y z:z"
    );
    let request = verify_for("POST").token(&key.token);
    assert_eq!(status(&world, request).await, 403);
}

fn patch_of(key: &TestKey) -> Call {
    call("PATCH", &path_of(key, ""))
}

#[tokio::test]
async fn a_session_is_let_through_with_the_users_name() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let seal = world.key("session:seal").await;
    for (seal_key, key_id) in [
        (None, "-"),
        (Some(SEAL_KEY), "-"),
        (Some(seal.text.as_str()), seal.id.as_str()),
    ] {
        let token = world.session("ada", seal_key).await;
        for method in ["GET", "POST", "DELETE"] {
            let request = verify_for(method).token(&token);
            let request = match seal_key {
                Some(text) => request.seal_key(text),
                None => request,
            };
            let expected = ["session", key_id, "ada", "-", "production"];
            assert_eq!(identity(&world, request).await, expected, "{method}");
        }
    }
}

#[tokio::test]
async fn another_seal_key_than_the_logins_is_a_401_and_no_500() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", Some(SEAL_KEY)).await;
    for (request, reason) in [
        (verify().seal_key(OTHER_SEAL_KEY), "wrong_seal_key"),
        (verify(), "wrong_seal_key"),
        (verify().seal_key("nonsense"), "malformed_seal_key"),
        (
            verify().seal_key(SEAL_KEY).seal_key(SEAL_KEY),
            "duplicate_credential",
        ),
    ] {
        let answer = answer(&world, request.token(&token)).await;
        assert_eq!(answer.status, 401, "{reason}");
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"ApiKey realm="sealgate", header="x-gomaluum-key""#
        );
        let event = &world.events().await[0];
        assert_eq!(event["details"]["reason"], reason);
        assert_eq!(event["status"], 401);
    }
}

#[tokio::test]
async fn what_is_over_is_stopped() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let admin = world.admin.text.as_str();
    let (revoked, sealing) = (world.key("api:read").await, world.key("session:seal").await);
    let ended = world.session("ada", None).await;
    let orphan = world.session("ada", Some(&sealing.text)).await;
    let requests = || {
        [
            verify().key(&revoked.text),
            verify().token(&revoked.token),
            verify().token(&ended),
            verify().token(&orphan).seal_key(&sealing.text),
        ]
    };
    for request in requests() {
        assert_eq!(status(&world, request).await, 200);
    }
    for key in [&revoked, &sealing] {
        let revoke = post(&path_of(key, "/revoke")).key(admin);
        revoke.send(&world).await.ok();
    }
    let logout = post("/api/auth/logout").token(&ended);
    logout.send(&world).await.ok();
    for request in requests() {
        assert_eq!(status(&world, request).await, 401);
    }
}

#[tokio::test]
async fn what_is_no_credential_is_stopped_with_the_challenges() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let (text, long) = (key.text.as_str(), "a".repeat(15_000));
    let bearer = format!("Bearer {}", key.token);
    for (request, reason) in [
        (verify(), "no_credential"),
        (verify().key("nonsense"), "malformed_credential"),
        (verify().key(&long), "malformed_credential"),
        (verify().key(text).key(text), "duplicate_credential"),
        (verify().token("nonsense"), "malformed"),
        (verify().token("v4.public.nonsense"), "malformed"),
        (
            verify().header("Authorization", "Basic YTpi"),
            "malformed_credential",
        ),
        (
            verify().token(&key.token).header("Authorization", &bearer),
            "duplicate_credential",
        ),
    ] {
        assert_eq!(status(&world, request).await, 401, "{reason}");
        assert_eq!(world.refusals().await[0], reason);
    }
}

#[tokio::test]
async fn of_two_credentials_both_have_to_be_good_and_the_token_says_who_it_is() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let (one, other) = (world.key("api:read").await, world.key("api:write").await);
    let session = world.session("ada", None).await;
    let request = verify().token(&one.token).key(&other.text);
    assert_eq!(identity(&world, request).await[..2], ["token", &one.id]);
    let request = verify_for("POST").token(&one.token).key(&other.text);
    assert_eq!(status(&world, request).await, 403);
    let request = verify().token(&session).key(&other.text);
    assert_eq!(identity(&world, request).await[2], "ada");
    for request in [
        verify().token(&one.token).key("nonsense"),
        verify().token("nonsense").key(&one.text),
        verify().token(&session).key("nonsense"),
        verify().token("v4.public.nonsense").key(&one.text),
    ] {
        assert_eq!(status(&world, request).await, 401);
    }
}

#[tokio::test]
async fn a_safe_method_needs_to_read_and_any_other_to_write() {
    let world = World::new().await;
    let (reader, writer) = (world.key("api:read").await, world.key("api:write").await);
    for (method, of_reader, of_writer) in [
        ("GET", 200, 403),
        ("HEAD", 200, 403),
        ("OPTIONS", 200, 403),
        ("TRACE", 200, 403),
        ("POST", 403, 200),
        ("PUT", 403, 200),
        ("PATCH", 403, 200),
        ("DELETE", 403, 200),
        ("PROPFIND", 403, 200),
        ("get", 403, 200),
    ] {
        for (key, expected) in [(&reader, of_reader), (&writer, of_writer)] {
            let own = call(method, PATH).key(&key.text);
            assert_eq!(status(&world, own).await, expected, "{method}");
            for name in ["X-Original-Method", "X-Forwarded-Method"] {
                let told = verify().header(name, method).token(&key.token);
                assert_eq!(status(&world, told).await, expected, "{name}: {method}");
            }
        }
    }
    assert_eq!(world.refusals().await[0], "missing_permission");
}

#[tokio::test]
async fn a_limited_key_is_told_what_is_left_and_stopped_when_nothing_is() {
    let world = World::new().await;
    let request = KeyRequest {
        rate_limit: Some(2),
        ..KeyRequest::default()
    };
    let key = world.key_of(request).await;
    for left in ["1", "0"] {
        let answer = answer(&world, verify().key(&key.text)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["ratelimit-remaining"], left);
    }
    let answer = answer(&world, verify().key(&key.text)).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["ratelimit-limit"], "2");
    assert_eq!(answer.headers["ratelimit-remaining"], "0");
    assert_eq!(
        answer.headers["ratelimit-reset"],
        answer.headers["retry-after"]
    );
    assert_eq!(world.refusals().await, ["rate_limited"]);
}

#[tokio::test]
async fn a_session_that_a_limited_key_seals_counts_against_its_limit() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let request = KeyRequest {
        permissions: Some("session:seal".to_owned()),
        rate_limit: Some(2),
        ..KeyRequest::default()
    };
    let seal = world.key_of(request).await;
    let token = world.session("ada", Some(&seal.text)).await;
    let verify = || verify().token(&token).seal_key(&seal.text);
    let first = answer(&world, verify()).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.headers["ratelimit-remaining"], "0");
    let second = answer(&world, verify()).await;
    assert_eq!(second.status, 429);
    assert!(second.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn each_use_is_counted_under_the_rule_and_each_refusal_recorded() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let (key, seal) = (world.key("api:*").await, world.key("session:seal").await);
    let token = world.session("ada", Some(&seal.text)).await;
    for method in ["GET", "GET", "PUT", "MADEUP"] {
        let request = call(method, PATH).key(&key.text);
        assert_eq!(status(&world, request).await, 200);
    }
    let request = verify().token(&token).seal_key(&seal.text);
    assert_eq!(status(&world, request).await, 200);
    world.authority.write_uses().await.unwrap();
    let counted = async |key: &TestKey, route: &str| {
        let path = path_of(key, "/logs");
        let logs = get(&path).key(&world.admin.text).send(&world).await.ok();
        let events = logs["events"].as_array().unwrap().clone();
        let counted = events.iter().find(|event| {
            let (method, status) = (&event["method"], &event["status"]);
            event["path"] == "*" && format!("{} {status}", method.as_str().unwrap()) == route
        });
        counted.map(|event| event["details"]["count"].clone())
    };
    assert_eq!(counted(&key, "GET null").await, Some(json!(2)));
    assert_eq!(counted(&key, "PUT null").await, Some(json!(1)));
    assert_eq!(counted(&key, "other null").await, Some(json!(1)));
    assert_eq!(counted(&seal, "GET null").await, Some(json!(1)));

    let refused = answer(&world, verify().key("nonsense")).await;
    let event = &world.events().await[0];
    assert_eq!(event["action"], "request.refused");
    assert_eq!(
        (&event["path"], &event["status"]),
        (&json!(PATH), &json!(401))
    );
    assert_eq!(
        refused.headers["x-request-id"],
        *event["request_id"].as_str().unwrap()
    );
}

#[tokio::test]
async fn where_every_request_is_recorded_nothing_passes_without_its_record() {
    let settings = Settings {
        audit_all_requests: true,
        ..settings()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    world.user("ada", PASSWORD).await;
    let (key, token) = (
        world.key("api:read").await,
        world.session("ada", None).await,
    );
    for (request, actor) in [
        (verify().key(&key.text), key.id.as_str()),
        (verify().token(&token), "ada"),
    ] {
        assert_eq!(status(&world, request).await, 200);
        let event = &world.events().await[0];
        assert_eq!(event["action"], "request.served");
        assert!(event["actor"].to_string().contains(actor), "{event}");
    }
    world.authority.store().close().await;
    for request in [verify().key(&key.text), verify().token(&token)] {
        let answer = answer(&world, request).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn a_browser_that_asks_before_it_calls_is_no_way_through() {
    let world = World::with_http(HttpSettings {
        cors_origins: vec!["*".to_owned()],
        ..HttpSettings::default()
    })
    .await;
    let preflight = |path: &str| {
        call("OPTIONS", path)
            .header("Origin", "https://example.com")
            .header("Access-Control-Request-Method", "POST")
    };
    assert_eq!(preflight("/api/encrypt").send(&world).await.status, 200);
    assert_eq!(status(&world, preflight(PATH)).await, 401);
}

#[tokio::test]
async fn what_takes_too_long_has_no_body_either() {
    let http = HttpSettings {
        request_timeout: Duration::ZERO,
        ..HttpSettings::default()
    };
    // A record has to be durable first, and no time is left for that.
    let settings = Settings {
        audit_all_requests: true,
        ..settings()
    };
    let world = World::with(settings, http).await;
    // A timer has a millisecond's grain, and a record can be quicker than that.
    for _ in 0..100 {
        let answer = answer(&world, verify().key(&world.admin.text)).await;
        if answer.status == 503 {
            assert_eq!(answer.headers["retry-after"], "1");
            return;
        }
    }
    panic!("no record took longer than the time there was");
}

#[tokio::test]
async fn a_body_that_comes_along_is_left_unread() {
    let world = World::new().await;
    let key = world.key("api:write").await;
    let request = post(PATH).key(&key.text).body(vec![b'a'; 2 * 1024 * 1024]);
    assert_eq!(status(&world, request).await, 200);
}
