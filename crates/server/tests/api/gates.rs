//! What the operator's rules make of a request, asked over HTTP and by Envoy: both hear the same.

use http::HeaderName;
use sealgate_core::key::Environment;
use sealgate_core::policy::{CredentialKind, RuleDraft};
use sealgate_core::request::KeyRequest;
use sealgate_server::{HttpSettings, IdentityHeaders};
use serde_json::json;

use crate::ext_authz::question::{Decision, ask};
use crate::support::{Answer, World, get};

const PATH: &str = "/api/auth/verify";

fn rule(path: &str) -> RuleDraft {
    RuleDraft {
        path: path.to_owned(),
        ..RuleDraft::default()
    }
}

fn injecting(path: &str, headers: &[&str]) -> RuleDraft {
    RuleDraft {
        inject: headers.iter().map(|&it| it.to_owned()).collect(),
        credentials: Some(vec![CredentialKind::Key]),
        ..rule(path)
    }
}

/// A request as both gates hear of it: its method, its path, and its headers.
type Request<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

async fn by_both(world: &World, (method, path, headers): Request<'_>) -> (Answer, Decision) {
    let verify = get(PATH)
        .header("X-Forwarded-Method", method)
        .header("X-Forwarded-Uri", path);
    let (mut proxy, mut envoy) = (verify, ask(method).path(path));
    for (name, value) in headers {
        proxy = proxy.header(name, value);
        envoy = envoy.header(name, value);
    }
    (proxy.send(world).await, envoy.send(world).await)
}

#[tokio::test]
async fn what_one_rule_adds_nobody_forges_where_another_decides() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    world.rule(&[
        injecting(
            "/portal/*",
            &["X-Portal-User: {subject}", "Cookie: portal=x"],
        ),
        injecting("/shop/*", &["X-Shop: {key_id}", "Cookie: shop=y"]),
    ]);
    let headers = [
        ("x-api-key", key.text.as_str()),
        ("x-portal-user", "forged"),
        ("x_portal.user", "forged"),
        ("x-shop", "forged"),
        ("x_shop", "forged"),
        ("x.auth.subject", "forged"),
        ("x-portals", "kept"),
        ("cookie", "portal=forged; theme=dark; shop=forged"),
    ];
    let id = key.id.as_str();
    for (path, portal, shop, cookie) in [
        ("/portal/a", id, "-", "theme=dark; portal=x"),
        ("/shop/a", "-", id, "theme=dark; shop=y"),
        ("/orders", "-", "-", "theme=dark"),
    ] {
        let (proxy, envoy) = by_both(&world, ("GET", path, &headers)).await;
        for (name, value) in [("x-portal-user", portal), ("x-shop", shop)] {
            assert_eq!(proxy.headers[name], value, "{path}");
            let expected = [value].into_iter().filter(|it| *it != "-");
            let expected: Vec<&str> = expected.collect();
            assert_eq!(envoy.values(name), expected, "{path}");
        }
        assert_eq!(proxy.headers["cookie"], cookie, "{path}");
        assert_eq!(envoy.values("cookie"), [cookie], "{path}");
        assert_eq!(envoy.values("x-portals"), ["kept"]);
        for forged in ["x_portal.user", "x_shop", "x.auth.subject"] {
            assert!(envoy.values(forged).is_empty(), "{path}: {envoy:?}");
        }
    }
    let only = [headers[0], ("cookie", "portal=forged")];
    let (proxy, envoy) = by_both(&world, ("GET", "/orders", &only)).await;
    assert_eq!(proxy.headers["cookie"], "-");
    assert!(envoy.values("cookie").is_empty(), "{envoy:?}");
    let others = [headers[0], ("cookie", "a=1"), ("cookie", "b=2; c=3")];
    let (proxy, _) = by_both(&world, ("GET", "/orders", &others)).await;
    assert_eq!(proxy.headers["cookie"], "a=1; b=2; c=3");
    world.rule(&[injecting("/portal/*", &["X-Portal-User: {subject}"])]);
    let (proxy, _) = by_both(&world, ("GET", "/orders", &others)).await;
    assert!(!proxy.headers.contains_key("cookie"), "{proxy:?}");
}

#[tokio::test]
async fn every_kind_of_rule_is_the_same_over_http_and_for_envoy() {
    let world = World::new().await;
    let (reader, other) = (world.key("api:read").await, world.key("x:y").await);
    world.rule(&[
        RuleDraft {
            deny: true,
            ..rule("/closed/*")
        },
        RuleDraft {
            anonymous: true,
            ..rule("/open")
        },
        RuleDraft {
            credentials: Some(vec![CredentialKind::Token]),
            ..rule("/tokens")
        },
        RuleDraft {
            permissions: Some("x:y".to_owned()),
            ..rule("/special")
        },
        RuleDraft {
            environment: Some(Environment::Testing),
            ..rule("/testing")
        },
        injecting("/portal", &["X-Portal-User: {subject}"]),
    ]);
    let bearer = format!("Bearer {}", reader.token);
    let key = ("x-api-key", reader.text.as_str());
    let token = ("authorization", bearer.as_str());
    let other = ("x-api-key", other.text.as_str());
    for (path, headers, status, reason) in [
        ("/closed/a", vec![key], 403, "route_closed"),
        ("/open", vec![], 200, ""),
        ("/open", vec![key], 200, ""),
        (
            "/open",
            vec![("x-api-key", "x")],
            401,
            "malformed_credential",
        ),
        ("/tokens", vec![key], 403, "credential_kind_not_allowed"),
        ("/tokens", vec![token], 200, ""),
        ("/special", vec![key], 403, "missing_permission"),
        ("/special", vec![other], 200, ""),
        ("/testing", vec![key], 403, "route_environment"),
        ("/x/../closed", vec![key], 400, "ambiguous_request"),
        ("/portal", vec![key], 200, ""),
        ("/elsewhere", vec![], 401, "no_credential"),
        ("/elsewhere", vec![key], 200, ""),
    ] {
        let (proxy, envoy) = by_both(&world, ("GET", path, &headers)).await;
        let context = format!("{path} {headers:?}: {proxy:?} {envoy:?}");
        assert_eq!(proxy.status, status, "{context}");
        assert_eq!(envoy.status, u32::from(status), "{context}");
        let of_refusals = ["www-authenticate", "retry-after", "cache-control"];
        let names = match status {
            200 => &crate::ext_authz::IDENTITY[..],
            _ => &of_refusals,
        };
        for name in names.iter().chain(&["x-portal-user"]) {
            let told = proxy.headers.get_all(*name).iter();
            let told = told.map(|it| it.to_str().unwrap());
            // A proxy is told to overwrite what Envoy is told to remove.
            let told = told.filter(|it| *name != "x-portal-user" || *it != "-");
            assert_eq!(
                envoy.values(name),
                told.collect::<Vec<_>>(),
                "{name}: {context}"
            );
        }
        if status != 200 {
            assert_eq!(world.refusals().await[0], reason, "{context}");
        }
    }
}

#[tokio::test]
async fn names_of_identity_headers_that_were_chosen_are_the_ones_that_nobody_forges() {
    let name = HeaderName::from_static;
    let world = World::with_http(HttpSettings {
        identity_headers: IdentityHeaders {
            kind: name("x-caller-kind"),
            key_id: name("x-caller-key"),
            subject: name("x-caller"),
            permissions: name("x-caller-may"),
            environment: name("x-caller-of"),
        },
        ..HttpSettings::default()
    });
    let world = world.await;
    let key = world.key("api:read").await;
    let headers = [
        ("x-api-key", key.text.as_str()),
        ("x-caller", "forged"),
        ("x.caller", "forged"),
        ("x_caller_kind", "forged"),
        ("x-auth-subject", "a name like any other"),
    ];
    let (proxy, envoy) = by_both(&world, ("GET", "/orders", &headers)).await;
    for (name, value) in [("x-caller", key.id.as_str()), ("x-caller-kind", "key")] {
        assert_eq!(proxy.headers[name], value);
        assert_eq!(envoy.values(name), [value]);
    }
    assert!(!proxy.headers.contains_key("x-auth-subject"));
    for forged in ["x.caller", "x_caller_kind"] {
        assert!(envoy.values(forged).is_empty(), "{envoy:?}");
    }
}

#[tokio::test]
async fn a_key_beside_a_token_is_counted_and_a_limit_of_both_is_charged_once() {
    let world = World::new().await;
    let request = KeyRequest {
        rate_limit: Some(3),
        ..KeyRequest::default()
    };
    let (one, limited) = (world.key("api:read").await, world.key_of(request).await);
    let verify = |token: &str| get(PATH).token(token).key(&limited.text);
    let answer = verify(&limited.token).send(&world).await;
    assert_eq!(answer.headers["ratelimit-remaining"], "2", "{answer:?}");
    let answer = verify(&one.token).send(&world).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = get(PATH).key(&limited.text).send(&world).await;
    assert_eq!(answer.headers["ratelimit-remaining"], "0", "{answer:?}");
    let answer = verify(&one.token).send(&world).await;
    assert_eq!(answer.status, 429, "{answer:?}");

    world.authority.write_uses().await.unwrap();
    for (key, count) in [(&one, 1), (&limited, 3)] {
        let path = format!("/api/auth/keys/{}/logs", key.id);
        let logs = get(&path).key(&world.admin.text).send(&world).await.ok();
        let events = logs["events"].as_array().unwrap();
        let counted = events.iter().find(|event| event["path"] == "*").unwrap();
        assert_eq!(counted["details"]["count"], json!(count), "{logs}");
    }
}
