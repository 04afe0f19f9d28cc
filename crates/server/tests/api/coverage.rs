//! Every operation of the OpenAPI document, called without and with too weak a credential: a check
//! that somebody forgot shows here.

use serde_json::Value;

use crate::support::{PASSWORD, World, call};

/// Who needs no credential.
const PUBLIC: [&str; 14] = [
    "GET /",
    "GET /.well-known/jwks.json",
    "GET /.well-known/paseto-keys.json",
    "GET /.well-known/sealgate-revocations",
    "GET /.well-known/security.txt",
    "GET /api/openapi.json",
    "GET /api/reference",
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "POST /api/auth/login",
    "POST /api/key/generate",
    "POST /api/key/validate",
    "POST /api/login",
];

/// What any valid credential of the right kind may do.
const UNSCOPED: [&str; 6] = [
    "GET /api/auth/logout",
    "GET /api/auth/profile",
    "GET /api/profile",
    "POST /api/auth/logout",
    "POST /api/auth/token",
    "POST /api/auth/token/renew",
];

/// Method, path, and the operation itself.
fn operations() -> Vec<(String, String, Value)> {
    let document = serde_json::to_value(sealgate_server::openapi::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    let operations = paths.into_iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().clone();
        methods
            .into_iter()
            .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    operations.collect()
}

#[tokio::test]
async fn every_operation_but_the_public_ones_refuses_a_request_without_credential() {
    let world = World::new().await;
    let operations = operations();
    assert!(operations.len() > 15);
    for (method, path, operation) in operations {
        let name = format!("{method} {path}");
        let is_public = PUBLIC.contains(&name.as_str());
        assert_eq!(operation.get("security").is_none(), is_public, "{name}");
        let path = path.replace("{id}", &world.admin.id);
        let path = path.replace("{username}", "ada");
        let answer = call(&method, &path).send(&world).await;
        if is_public {
            assert!(answer.status != 401 && answer.status != 403, "{name}");
        } else if path == "/api/auth/verify" {
            assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 0));
        } else if name == "GET /api/profile" {
            assert_eq!(
                answer.error(401, "missing_token"),
                "Session token is required"
            );
        } else {
            assert_eq!(
                answer.error(401, "missing_api_key"),
                "API key or token is required"
            );
        }
    }
}

#[tokio::test]
async fn every_scoped_operation_refuses_a_caller_without_permission() {
    let world = World::new().await;
    let weak = world.key("nothing:here").await;
    for (method, path, operation) in operations() {
        let name = format!("{method} {path}");
        if PUBLIC.contains(&name.as_str()) || UNSCOPED.contains(&name.as_str()) {
            continue;
        }
        assert!(
            operation["responses"].get("403").is_some(),
            "{name} documents 403"
        );
        let path = path.replace("{id}", &world.admin.id);
        let path = path.replace("{username}", "ada");
        for request in [
            call(&method, &path).key(&weak.text),
            call(&method, &path).token(&weak.token),
        ] {
            assert_eq!(request.send(&world).await.status, 403, "{name}");
        }
    }
}

#[tokio::test]
async fn a_session_token_opens_no_route_of_managed_keys() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", None).await;
    let of_sessions = [
        "GET /api/auth/logout",
        "GET /api/auth/verify",
        "GET /api/profile",
        "POST /api/auth/logout",
        "POST /api/auth/token/renew",
        "POST /api/auth/verify",
    ];
    for (method, path, _) in operations() {
        let name = format!("{method} {path}");
        if PUBLIC.contains(&name.as_str()) || of_sessions.contains(&name.as_str()) {
            continue;
        }
        let path = path.replace("{id}", &world.admin.id);
        let path = path.replace("{username}", "ada");
        let answer = call(&method, &path).token(&token).send(&world).await;
        assert_eq!(
            answer.error(401, "invalid_token"),
            "A session token is not taken here: send an API key or an access token",
            "{name}"
        );
        assert_eq!(world.refusals().await[0], "session_token", "{name}");
    }
}

#[tokio::test]
async fn a_session_token_is_told_that_it_is_not_taken_whether_it_is_any_good_or_not() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let good = world.session("ada", None).await;
    let ended = world.session("ada", None).await;
    let logout = call("POST", "/api/auth/logout").token(&ended);
    logout.send(&world).await.ok();
    let ask = |token: &str| call("GET", "/api/auth/profile").token(token).send(&world);
    let refused = ask(&good).await;
    refused.error(401, "invalid_token");
    for token in [&ended, "v4.public.", "v4.public.nonsense"] {
        assert_eq!(ask(token).await.without_id(), refused.without_id());
    }
    for token in ["v4.local.nonsense", "v3.public.nonsense", "nonsense"] {
        let told = ask(token).await.error(401, "invalid_token");
        assert_eq!(told, "Invalid or expired token", "{token}");
    }
}

#[tokio::test]
async fn every_refusal_without_credential_is_in_the_audit_log() {
    let world = World::new().await;
    crate::support::get("/api/encrypt").send(&world).await;
    assert_eq!(world.refusals().await, ["no_credential"]);
}
