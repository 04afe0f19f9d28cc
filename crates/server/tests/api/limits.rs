//! How often: keys within their window, addresses where no credential is needed.

use http::HeaderMap;
use sealgate_core::authority::Settings;
use sealgate_core::request::KeyRequest;
use sealgate_server::HttpSettings;
use serde_json::{Value, json};

use crate::support::{TestKey, World, get, patch, post, settings};

/// What may be read without a credential, and costs something.
const PUBLISHED: [&str; 5] = [
    "/",
    "/api/reference",
    "/api/openapi.json",
    "/.well-known/jwks.json",
    "/.well-known/paseto-keys.json",
];

async fn limited(world: &World, requests: u32, window_seconds: u32) -> TestKey {
    let request = KeyRequest {
        rate_limit: Some(requests),
        rate_limit_window_seconds: Some(window_seconds),
        ..KeyRequest::default()
    };
    world.key_of(request).await
}

fn told<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

#[tokio::test]
async fn the_headers_of_a_limited_key_tell_of_its_window() {
    let world = World::new().await;
    for (requests, window, reset, wait) in [
        (3_u32, 60_u32, ["20", "40", "60"], "20"),
        (3, 1, ["1", "1", "1"], "1"),
        (2, 3, ["2", "3", ""], "2"),
        (2, 2_592_000, ["1296000", "2592000", ""], "1296000"),
    ] {
        let key = limited(&world, requests, window).await;
        let profile = || get("/api/auth/profile").key(&key.text).send(&world);
        for (used, reset) in (1..=requests).zip(reset) {
            let answer = profile().await;
            answer.ok();
            let headers = &answer.headers;
            let (policy, left) = (format!(r#""key";q={requests};w={window}"#), requests - used);
            assert_eq!(told(headers, "ratelimit-limit"), requests.to_string());
            assert_eq!(told(headers, "ratelimit-remaining"), left.to_string());
            assert_eq!(told(headers, "ratelimit-reset"), reset);
            assert_eq!(told(headers, "ratelimit-policy"), policy);
            assert_eq!(
                told(headers, "ratelimit"),
                format!(r#""key";r={left};t={reset}"#)
            );
        }
        let answer = profile().await;
        let message = answer.error(429, "rate_limited");
        let unit = if window == 1 { "second" } else { "seconds" };
        assert_eq!(
            message,
            format!("This key may make {requests} requests in {window} {unit}")
        );
        assert_eq!(told(&answer.headers, "retry-after"), wait);
        assert_eq!(told(&answer.headers, "ratelimit-reset"), wait);
        assert_eq!(told(&answer.headers, "ratelimit-remaining"), "0");
        let wait: i64 = wait.parse().unwrap();
        world.clock.advance_millis(wait * 1_000);
        profile().await.ok();
    }
}

#[tokio::test]
async fn a_wait_in_whole_seconds_is_the_first_that_is_enough() {
    let world = World::new().await;
    // One comes back every 2.5 seconds.
    let key = limited(&world, 4, 10).await;
    let profile = || get("/api/auth/profile").key(&key.text).send(&world);
    for _ in 0..4 {
        profile().await.ok();
    }
    for (waited, told_now) in [(0, "3"), (499, "3"), (1, "2"), (999, "2"), (1, "1")] {
        world.clock.advance_millis(waited);
        let answer = profile().await;
        answer.error(429, "rate_limited");
        assert_eq!(told(&answer.headers, "retry-after"), told_now);
    }
    world.clock.advance_millis(999);
    profile().await.error(429, "rate_limited");
    world.clock.advance_millis(1);
    profile().await.ok();
}

#[tokio::test]
async fn a_limit_that_names_no_window_is_one_of_an_hour_as_it_always_was() {
    let world = World::new().await;
    let request = KeyRequest {
        rate_limit: Some(1),
        ..KeyRequest::default()
    };
    let key = world.key_of(request).await;
    let profile = || get("/api/auth/profile").key(&key.text).send(&world);
    let headers = profile().await.headers;
    assert_eq!(told(&headers, "ratelimit-policy"), r#""key";q=1;w=3600"#);
    let answer = profile().await;
    assert_eq!(
        answer.error(429, "rate_limited"),
        "This key may make 1 requests an hour"
    );
    assert_eq!(told(&answer.headers, "retry-after"), "3600");
}

#[tokio::test]
async fn the_window_of_a_limit_is_set_shown_and_changed_over_http() {
    let world = World::new().await;
    let body = json!({"name": "a", "rate_limit": 5, "rate_limit_window_seconds": 60});
    let request = post("/api/auth/keys").key(&world.admin.text).json(&body);
    let made = request.send(&world).await.ok();
    let limit = |key: &Value| {
        let part = |name: &str| key[name].as_u64();
        part("rate_limit").zip(part("rate_limit_window_seconds"))
    };
    assert_eq!(limit(&made["key"]), Some((5, 60)));
    let path = format!("/api/auth/keys/{}", made["key"]["key_id"].as_str().unwrap());
    for (body, changed) in [
        (json!({"rate_limit": 6}), Some((6, 60))),
        (json!({"rate_limit_window_seconds": 1}), Some((6, 1))),
        (json!({"rate_limit": null}), None),
        (json!({"rate_limit": 7}), Some((7, 3_600))),
    ] {
        let request = patch(&path).key(&world.admin.text).json(&body);
        assert_eq!(limit(&request.send(&world).await.ok()), changed, "{body}");
        let shown = get(&path).key(&world.admin.text).send(&world).await.ok();
        assert_eq!(limit(&shown), changed, "{body}");
    }
}

#[tokio::test]
async fn a_window_without_a_limit_or_out_of_bounds_is_named() {
    let world = World::new().await;
    let bounds = "the window of a limit is 1 second to 30 days";
    for (limit, window, says) in [
        (json!(null), json!(60), "there is no limit"),
        (json!(1), json!(0), bounds),
        (json!(1), json!(2_592_001), bounds),
        (json!(1), json!("1m"), "expected a whole number"),
    ] {
        let body = json!({"name": "a", "rate_limit": limit, "rate_limit_window_seconds": window});
        let request = post("/api/auth/keys").key(&world.admin.text).json(&body);
        let message = request.send(&world).await.error(400, "invalid_request");
        let expected = format!("rate_limit_window_seconds: {says}");
        assert!(message.starts_with(&expected), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_limit_that_is_changed_keeps_what_was_used_of_it() {
    let world = World::new().await;
    let key = limited(&world, 2, 60).await;
    let profile = || get("/api/auth/profile").key(&key.text).send(&world);
    for _ in 0..2 {
        profile().await.ok();
    }
    let path = format!("/api/auth/keys/{}", key.id);
    let body = json!({"rate_limit": 4, "rate_limit_window_seconds": 120});
    let request = patch(&path).key(&world.admin.text).json(&body);
    request.send(&world).await.ok();
    let answer = profile().await;
    answer.error(429, "rate_limited");
    assert_eq!(told(&answer.headers, "retry-after"), "30");
}

async fn world_with(public_per_minute: u32) -> World {
    let settings = Settings {
        public_per_minute,
        ..settings()
    };
    World::with(settings, HttpSettings::default()).await
}

#[tokio::test]
async fn an_address_reads_public_pages_and_documents_so_often() {
    let world = world_with(5).await;
    for (path, left) in PUBLISHED.into_iter().zip(["4", "3", "2", "1", "0"]) {
        let answer = get(path).send(&world).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(told(&answer.headers, "ratelimit-limit"), "5");
        assert_eq!(told(&answer.headers, "ratelimit-remaining"), left);
        assert_eq!(
            told(&answer.headers, "ratelimit-policy"),
            r#""address";q=5;w=60"#
        );
    }
    for path in PUBLISHED.into_iter().chain(["/.well-known/security.txt"]) {
        let answer = get(path).send(&world).await;
        assert_eq!(
            answer.error(429, "rate_limited"),
            "This address may make 5 requests a minute",
            "{path}"
        );
        assert_eq!(told(&answer.headers, "retry-after"), "12");
        assert_eq!(told(&answer.headers, "ratelimit-remaining"), "0");
        assert_eq!(world.refusals().await[0], "address_limited");
    }
    world.clock.advance_millis(12_000);
    assert_eq!(get("/").send(&world).await.status, 200);
    assert_eq!(get("/").send(&world).await.status, 429);
}

#[tokio::test]
async fn what_is_polled_and_what_has_a_guard_of_its_own_is_no_public_page() {
    let world = world_with(1).await;
    let key = world.key("api:read").await;
    assert_eq!(get("/").send(&world).await.status, 200);
    for _ in 0..5 {
        assert_eq!(get("/").send(&world).await.status, 429);
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = get(path).send(&world).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(!answer.headers.contains_key("ratelimit-limit"), "{path}");
        }
        let answer = get("/api/auth/profile").key(&key.text).send(&world).await;
        answer.ok();
        assert!(!answer.headers.contains_key("ratelimit-limit"));
        post("/api/key/generate").send(&world).await.ok();
        get("/nowhere").send(&world).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn an_ipv6_network_reads_as_one_address() {
    let world = world_with(1).await;
    let from = async |address: &str| get("/").from(address).send(&world).await.status;
    assert_eq!(from("[2001:db8::1]").await, 200);
    assert_eq!(from("[2001:db8::ffff:2]").await, 429);
    assert_eq!(from("[2001:db8:0:1::1]").await, 200);
    assert_eq!(from("203.0.113.9").await, 200);
    assert_eq!(from("203.0.113.10").await, 200);
    assert_eq!(from("203.0.113.9").await, 429);
}

#[tokio::test]
async fn without_a_limit_public_pages_are_read_as_often_as_anybody_likes() {
    let world = world_with(0).await;
    for _ in 0..1_000 {
        let answer = get("/").send(&world).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("ratelimit-limit"));
    }
}
