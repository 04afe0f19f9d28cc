//! What a proxy tells of its client's request, and what the client can say in its place.

use sealgate_core::policy::RuleDraft;
use sealgate_server::{HttpSettings, OriginalHeaders};
use serde_json::json;

use super::{PATH, answer, status, verify, verify_for};
use crate::support::{Call, World, call};

#[tokio::test]
async fn the_method_that_is_told_counts_and_not_that_of_the_question() {
    let world = World::new().await;
    let reader = world.key("api:read").await;
    let asked = async |own: &str, told: &str| {
        let request = call(own, PATH).header("X-Forwarded-Method", told);
        status(&world, request.key(&reader.text)).await
    };
    assert_eq!(asked("GET", "POST").await, 403);
    assert_eq!(asked("HEAD", "DELETE").await, 403);
}

#[tokio::test]
async fn a_proxy_that_asks_with_the_clients_method_is_not_overruled_by_the_client() {
    let world = World::new().await;
    let reader = world.key("api:read").await;
    for name in ["X-Original-Method", "X-Forwarded-Method"] {
        for told in ["GET", "OPTIONS", "PUT"] {
            let request = call("POST", PATH).header(name, told).key(&reader.text);
            assert_eq!(status(&world, request).await, 400, "{name}: {told}");
            assert_eq!(world.refusals().await[0], "ambiguous_request");
        }
        let agreed = call("POST", PATH).header(name, "POST");
        assert_eq!(status(&world, agreed.key(&world.admin.text)).await, 200);
    }
}

#[tokio::test]
async fn where_the_proxys_headers_are_named_no_others_count() {
    let preflight = RuleDraft {
        path: "/*".to_owned(),
        methods: Some(vec!["OPTIONS".to_owned()]),
        anonymous: true,
        ..RuleDraft::default()
    };
    for (counting, own, headers, expected) in [
        (OriginalHeaders::Either, "GET", ["OPTIONS", ""], 200),
        (OriginalHeaders::XOriginal, "GET", ["OPTIONS", ""], 200),
        (OriginalHeaders::XOriginal, "GET", ["GET", "OPTIONS"], 401),
        (OriginalHeaders::XOriginal, "GET", ["", "OPTIONS"], 400),
        (OriginalHeaders::XForwarded, "GET", ["", "OPTIONS"], 200),
        (OriginalHeaders::XForwarded, "GET", ["OPTIONS", "GET"], 401),
        (OriginalHeaders::XForwarded, "GET", ["OPTIONS", ""], 400),
        // No path is told, which the rule would need.
        (OriginalHeaders::None, "GET", ["OPTIONS", "OPTIONS"], 400),
    ] {
        let world = World::with_http(HttpSettings {
            original_headers: counting,
            ..HttpSettings::default()
        })
        .await;
        world.rule(std::slice::from_ref(&preflight));
        let mut request = call(own, PATH);
        let names = [
            ("X-Original-Method", "X-Original-URI"),
            ("X-Forwarded-Method", "X-Forwarded-Uri"),
        ];
        for ((method, uri), told) in names.into_iter().zip(headers) {
            if !told.is_empty() {
                request = request.header(method, told).header(uri, "/x");
            }
        }
        assert_eq!(
            status(&world, request).await,
            expected,
            "{counting:?} {headers:?}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_sends_no_headers_is_asked_about_its_own_method_alone() {
    let world = World::with_http(HttpSettings {
        original_headers: OriginalHeaders::None,
        ..HttpSettings::default()
    })
    .await;
    let reader = world.key("api:read").await;
    for (own, expected) in [("GET", 200), ("HEAD", 200), ("POST", 403), ("DELETE", 403)] {
        let request = call(own, PATH)
            .header("X-Original-Method", "GET")
            .header("X-Forwarded-Method", "OPTIONS")
            .header("X-Original-URI", "no path");
        let answered = status(&world, request.key(&reader.text)).await;
        assert_eq!(answered, expected, "{own}");
    }
}

#[tokio::test]
async fn what_is_told_of_the_request_twice_or_in_two_ways_is_refused() {
    let world = World::new().await;
    let admin = world.admin.text.as_str();
    for headers in [
        [("X-Original-Method", "GET"), ("X-Original-Method", "GET")],
        [("X-Original-Method", "GET"), ("X-Forwarded-Method", "POST")],
        [("X-Original-Method", "GET, POST"), ("X-Original-URI", "/a")],
        [("X-Original-Method", ""), ("X-Original-URI", "/a")],
        [("X-Original-URI", "/a"), ("X-Original-URI", "/a")],
        [("X-Original-URI", "/a"), ("X-Forwarded-Uri", "/b")],
        [("X-Original-URI", "a"), ("X-Original-Method", "GET")],
    ] {
        let with = |request: Call| {
            let headers = headers.into_iter();
            headers.fold(request, |request, (name, value)| {
                request.header(name, value)
            })
        };
        let request = with(verify()).key(admin);
        assert_eq!(status(&world, request).await, 400, "{headers:?}");
        assert_eq!(status(&world, with(verify())).await, 400, "{headers:?}");
    }
    let refusals = world.refusals().await;
    assert!(refusals.iter().all(|reason| reason == "ambiguous_request"));
    let request = verify_for("GET").header("X-Original-Method", "GET");
    let refused = answer(&world, request.key(admin)).await;
    let event = &world.events().await[0];
    assert_eq!(
        (&event["path"], &event["status"]),
        (&json!(PATH), &json!(400))
    );
    assert_eq!(event["details"]["reason"], "ambiguous_request");
    assert!(refused.headers.contains_key("x-request-id"));
    let agreed = verify_for("GET")
        .header("X-Forwarded-Method", "GET")
        .header("X-Original-URI", "/a?b")
        .header("X-Forwarded-Uri", "/a?b");
    assert_eq!(status(&world, agreed.key(admin)).await, 200);
    let long = verify().header("X-Original-URI", format!("/{}", "a".repeat(15_000)));
    assert_eq!(status(&world, long.key(admin)).await, 200);
}
