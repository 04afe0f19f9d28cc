//! What the operator's rules make of a request, asked over HTTP and by Envoy: both hear the same.

use sealgate_core::policy::RuleDraft;

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
        credentials: Some(vec![sealgate_core::policy::CredentialKind::Key]),
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
        let told = proxy.headers.get("cookie");
        assert_eq!(told.is_some(), path != "/orders", "{path}");
        assert!(told.is_none_or(|it| it == cookie), "{path}");
        assert_eq!(envoy.values("cookie"), [cookie], "{path}");
        assert_eq!(envoy.values("x-portals"), ["kept"]);
        for forged in ["x_portal.user", "x_shop", "x.auth.subject"] {
            assert!(envoy.values(forged).is_empty(), "{path}: {envoy:?}");
        }
    }
    let only = [headers[0], ("cookie", "portal=forged")];
    let (_, envoy) = by_both(&world, ("GET", "/orders", &only)).await;
    assert!(envoy.values("cookie").is_empty(), "{envoy:?}");
}
