//! HTTP itself: paths, methods, lengths, time limits, what goes wrong inside, and headers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::Full;
use hyper::body::Frame;
use sealgate_server::HttpSettings;
use serde_json::json;

use crate::support::{World, call, get, post};

/// A body whose length nobody knows beforehand: so many pieces of 1 KiB, then the end, or nothing
/// more for ever.
struct Pieces {
    left: usize,
    then_stall: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return if self.then_stall {
                Poll::Pending
            } else {
                Poll::Ready(None)
            };
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1024])))))
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let world = World::new().await;
    for path in [
        "/nowhere",
        "/api",
        "/api/",
        "/api/auth/keys/",
        "/api/auth/login/",
        "//",
        "/api/encrypt/",
    ] {
        let answer = get(path).send(&world).await;
        assert_eq!(answer.error(404, "not_found"), "no such path", "{path}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_answered_with_those_it_does() {
    let world = World::new().await;
    for (method, path, allowed) in [
        ("DELETE", "/api/auth/keys", "GET,HEAD,POST"),
        ("GET", "/api/auth/token", "POST"),
        ("PUT", "/api/auth/keys/x", "GET,HEAD,PATCH"),
        ("PUT", "/api/users/x", "GET,HEAD,PATCH,DELETE"),
        ("GET", "/api/auth/login", "POST"),
        ("POST", "/api/profile", "GET,HEAD"),
        ("POST", "/healthz", "GET,HEAD"),
        ("OPTIONS", "/api/encrypt", "GET,HEAD,POST"),
        ("TRACE", "/", "GET,HEAD"),
        ("MADEUP", "/", "GET,HEAD"),
    ] {
        let answer = call(method, path).send(&world).await;
        answer.error(405, "method_not_allowed");
        assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_and_wants_the_same_credential() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let answer = call("HEAD", "/api/encrypt")
        .key(&key.text)
        .send(&world)
        .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    let answer = call("HEAD", "/api/encrypt").send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 0));
    let answer = call("HEAD", "/nowhere").send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0));
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let world = World::new().await;
    let admin = &world.admin.text;
    for (path, limit) in [
        ("/api/auth/keys", 65_536),
        ("/api/encrypt", 1_048_576),
        ("/api/decrypt", 1_048_576),
    ] {
        let said = Body::new(Full::from(vec![b' '; limit + 1]));
        let left = limit / 1024 + 1;
        let unsaid = Body::new(Pieces {
            left,
            then_stall: true,
        });
        for body in [said, unsaid] {
            let request = post(path)
                .key(admin)
                .header("Content-Type", "application/json")
                .body(body);
            let message = request.send(&world).await.error(413, "payload_too_large");
            assert!(message.contains(&limit.to_string()), "{message}");
        }
        let just_fits = Body::new(Pieces {
            left: limit / 1024,
            then_stall: false,
        });
        let request = post(path)
            .key(admin)
            .header("Content-Type", "application/json")
            .body(just_fits);
        request.send(&world).await.error(400, "invalid_request");
    }
    // Where no body is wanted, a long one is refused too.
    let request = post("/api/auth/token").key(admin).body(vec![b' '; 65_537]);
    request.send(&world).await.error(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_answered() {
    let world = World::with_http(HttpSettings {
        request_timeout: Duration::from_millis(20),
        ..HttpSettings::default()
    })
    .await;
    let stalled = Body::new(Pieces {
        left: 1,
        then_stall: true,
    });
    let request = post("/api/auth/keys").key(&world.admin.text).body(stalled);
    request.send(&world).await.error(408, "request_timeout");
}

#[tokio::test]
async fn a_panic_is_answered_and_nothing_of_it_is_told() {
    let world = World::with_http(HttpSettings {
        metrics: Arc::new(|| panic!("hunter2")),
        ..HttpSettings::default()
    })
    .await;
    let answer = get("/metrics").send(&world).await;
    answer.error(500, "internal_error");
    assert!(!answer.text().contains("hunter2"));
    get("/healthz").send(&world).await.ok();
}

#[tokio::test]
async fn every_answer_has_an_identifier_of_our_own_and_the_protecting_headers() {
    let world = World::new().await;
    let sent = "550e8400-e29b-41d4-a716-446655440000";
    let mut seen = std::collections::HashSet::new();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("DELETE", "/"),
        ("GET", "/api/encrypt"),
        ("GET", "/api/reference"),
    ] {
        let answer = call(method, path)
            .header("X-Request-Id", sent)
            .send(&world)
            .await;
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_ne!(id, sent);
        assert!(seen.insert(id.to_owned()));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers[name], value, "{path}");
        }
        assert!(answer.headers.contains_key("content-security-policy"));
        assert!(!answer.headers.contains_key("strict-transport-security"));
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn browsers_are_told_to_insist_on_tls_where_there_is_tls() {
    let world = World::with_http(HttpSettings {
        tls: true,
        ..HttpSettings::default()
    })
    .await;
    let answer = get("/nowhere").send(&world).await;
    assert_eq!(
        answer.headers["strict-transport-security"],
        "max-age=31536000"
    );
}

#[tokio::test]
async fn pages_of_the_origins_that_are_named_may_call_and_no_others() {
    let world = World::with_http(HttpSettings {
        cors_origins: vec!["https://console.example".into()],
        ..HttpSettings::default()
    })
    .await;
    let preflight = |origin| {
        call("OPTIONS", "/api/auth/keys")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "x-api-key, content-type")
    };
    let answer = preflight("https://console.example").send(&world).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://console.example"
    );
    let allowed = answer.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    for header in [
        "authorization",
        "content-type",
        "x-api-key",
        "x-gomaluum-key",
    ] {
        assert!(allowed.contains(header), "{allowed}");
    }
    let answer = preflight("https://evil.example").send(&world).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));

    let request = get("/api/encrypt").header("Origin", "https://console.example");
    let answer = request.send(&world).await;
    answer.error(401, "missing_api_key");
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://console.example"
    );
    let exposed = answer.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    for header in ["x-request-id", "retry-after", "ratelimit-remaining"] {
        assert!(exposed.contains(header), "{exposed}");
    }
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );
}

#[tokio::test]
async fn a_star_lets_every_origin_call() {
    let world = World::with_http(HttpSettings {
        cors_origins: vec!["*".into()],
        ..HttpSettings::default()
    })
    .await;
    let answer = get("/")
        .header("Origin", "https://anywhere.example")
        .send(&world)
        .await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.ok()["service"], json!("Sealgate"));
}
