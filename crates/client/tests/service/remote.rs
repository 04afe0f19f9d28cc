//! Credentials that the server verifies.

use axum::Router;
use axum::response::IntoResponse as _;
use http::header::AUTHORIZATION;
use sealgate_client::{
    Identity, Mode, Sealgate, SealgateOptions, Verifier, VerifierOptions, VerifyLayer,
};
use sealgate_core::request::KeyRequest;
use sealgate_token::jwt::Algorithm;

use crate::support::{
    OTHER_SEAL_KEY, SEAL_KEY, Server, Service, answers, options, settings, tells_who_calls,
};

const VERIFY: &str = "/api/auth/verify";

#[tokio::test]
async fn a_key_is_verified_by_the_server_and_its_method_decides() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    for mode in [Mode::Remote, Mode::LocalThenRemote] {
        let service = server.service(mode).await;
        let told = service.get("/orders").key(&key.text).send().await.ok();
        assert_eq!(told["kind"], "key");
        assert_eq!(told["key_id"], key.id.as_str());
        assert_eq!(told["subject"], key.id.as_str());
        assert_eq!(told["permissions"], "api:read");
        assert_eq!(told["environment"], "production");
        assert_eq!(service.post("/orders").key(&key.text).status().await, 403);
        // What a client writes about its method is its own business.
        let forged = service.post("/").key(&key.text);
        let forged = forged.header("X-Forwarded-Method", "GET");
        assert_eq!(forged.status().await, 403);
    }
}

#[tokio::test]
async fn a_token_of_a_keys_own_secret_is_verified_by_the_server() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read api:write").await;
    let service = server.service(Mode::Remote).await;
    let told = service.post("/orders").token(&key.token).send().await.ok();
    assert_eq!(told["kind"], "token");
    assert_eq!(told["permissions"], "api:read api:write");
    let altered = format!("{}A", &key.token[..key.token.len() - 1]);
    assert_ne!(altered, key.token);
    let refused = service.get("/").token(&altered).send().await;
    assert_eq!(refused.status, 401);
    assert!(refused.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Remote).await;
    assert_eq!(service.get("/").key(&key.text).status().await, 200);
    server.revoke(&key).await;
    assert_eq!(service.get("/").key(&key.text).status().await, 401);
    assert_eq!(service.get("/").token(&key.token).status().await, 401);
}

#[tokio::test]
async fn a_session_is_verified_by_the_server_with_its_seal_key() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let session = server.session("ada@example.com", Some(SEAL_KEY)).await;
    let service = server.service(Mode::Remote).await;
    let call = || service.post("/").token(&session);
    let told = call().seal_key(SEAL_KEY).send().await.ok();
    assert_eq!(told["kind"], "session");
    assert_eq!(told["subject"], "ada@example.com");
    assert_eq!(told["permissions"], "");
    assert_eq!(call().seal_key(OTHER_SEAL_KEY).status().await, 401);
    assert_eq!(call().status().await, 401);
}

#[tokio::test]
async fn a_used_up_limit_is_passed_on_with_when_to_come_back() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let limited = KeyRequest {
        rate_limit: Some(2),
        ..KeyRequest::default()
    };
    let key = server.key_of(limited).await;
    let service = server.service(Mode::Remote).await;
    for _ in 0..2 {
        assert_eq!(service.get("/").key(&key.text).status().await, 200);
    }
    let refused = service.get("/").key(&key.text).send().await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait > 0);
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
}

#[tokio::test]
async fn the_server_hears_the_address_of_the_services_own_client() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let only = |address: &str| KeyRequest {
        allowed_ips: vec![address.to_owned()],
        ..KeyRequest::default()
    };
    let (elsewhere, here) = (
        server.key_of(only("203.0.113.9")).await,
        server.key_of(only("127.0.0.1")).await,
    );
    let service = server.service(Mode::Remote).await;
    let call = |key: &str| service.get("/").key(key);
    assert_eq!(call(&here.text).status().await, 200);
    assert_eq!(call(&elsewhere.text).status().await, 401);
}

#[tokio::test]
async fn without_a_credential_nobody_is_asked_and_nobody_gets_in_unless_anonymous() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read").await;
    let verifier = server.verifier(Mode::Remote).await;
    let service = Service::protected(verifier.clone()).await;
    assert_eq!(service.get("/").status().await, 401);
    for value in ["Basic YTpi", "Bearer", "Bearer "] {
        let call = service.get("/").header(AUTHORIZATION.as_str(), value);
        assert_eq!(call.status().await, 401, "{value}");
    }
    let layer = VerifyLayer::new(verifier).allow_anonymous();
    let open = Service::start(tells_who_calls(layer)).await;
    assert!(open.get("/").send().await.ok().is_null());
    assert_eq!(server.wire().count(VERIFY), 0);
    assert_eq!(open.get("/").key("nonsense").status().await, 401);
    let told = open.get("/").key(&key.text).send().await.ok();
    assert_eq!(told["kind"], "key");
}

#[tokio::test]
async fn a_permission_that_is_named_is_needed_whatever_the_method() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let session = server.session("ada", Some(SEAL_KEY)).await;
    let (reader, orders) = (
        server.key("api:*").await,
        server.key("api:read orders:*").await,
    );
    let layer = VerifyLayer::new(server.verifier(Mode::Remote).await);
    let layer = layer.require("orders:read").unwrap();
    let service = Service::start(tells_who_calls(layer)).await;
    assert_eq!(service.get("/").key(&orders.text).status().await, 200);
    assert_eq!(service.get("/").key(&reader.text).status().await, 403);
    let call = service.get("/").token(&session).seal_key(SEAL_KEY);
    assert_eq!(call.status().await, 403);
}

#[tokio::test]
async fn the_server_hears_the_whole_path_of_a_nested_router() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read").await;
    let (told, ear) = std::sync::mpsc::channel();
    let listener = Service::start(Router::new().fallback(
        move |request: axum::extract::Request| {
            let uri = request.headers()["x-forwarded-uri"].clone();
            told.send(uri.to_str().unwrap().to_owned()).unwrap();
            async { http::StatusCode::UNAUTHORIZED }
        },
    ))
    .await;
    let url = format!("http://{}", listener.address);
    let verifier = remote(&url);
    let inner = tells_who_calls(VerifyLayer::new(verifier));
    let service = Service::start(Router::new().nest("/api/{version}", inner)).await;
    let call = service.get("/api/v1/orders/7?page=2").key(&key.text);
    assert_eq!(call.status().await, 401);
    assert_eq!(ear.recv().unwrap(), "/api/v1/orders/7");
}

fn remote(url: &str) -> Verifier {
    let options = VerifierOptions {
        mode: Mode::Remote,
        ..options()
    };
    let sealgate = Sealgate::new(url, &SealgateOptions::default()).unwrap();
    Verifier::start(sealgate, options).unwrap()
}

#[tokio::test]
async fn while_the_server_is_away_nobody_gets_in_and_afterwards_everybody_does() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Remote).await;
    assert_eq!(service.get("/").key(&key.text).status().await, 200);
    let (home, port) = server.stop().await;
    let refused = service.get("/").key(&key.text).send().await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.headers["retry-after"], "1");
    let _server = Box::pin(home.start(settings(Algorithm::Hs256), port)).await;
    assert_eq!(service.get("/").key(&key.text).status().await, 200);
}

#[tokio::test]
async fn what_is_not_sealgate_lets_nobody_in() {
    for (status, expected) in [(200, 503), (204, 503), (302, 503), (500, 503), (404, 503)] {
        let page = answers(move || {
            let status = http::StatusCode::from_u16(status).unwrap();
            (status, "<html>Welcome</html>").into_response()
        })
        .await;
        let verifier = remote(&format!("http://{}", page.address));
        let service = Service::protected(verifier).await;
        assert_eq!(
            service.get("/").key("k").status().await,
            expected,
            "{status}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_not_waited_for_and_not_kept() {
    let endless = answers(|| {
        let body = vec![b'x'; 1024 * 1024];
        axum::response::Response::new(body.into())
    })
    .await;
    let verifier = remote(&format!("http://{}", endless.address));
    let service = Service::protected(verifier).await;
    assert_eq!(service.get("/").key("k").status().await, 503);

    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let quick = SealgateOptions {
        timeout: std::time::Duration::from_millis(200),
        ..SealgateOptions::default()
    };
    let options = VerifierOptions {
        mode: Mode::Remote,
        ..options()
    };
    let sealgate = Sealgate::new(&url, &quick).unwrap();
    let verifier = Verifier::start(sealgate, options).unwrap();
    let service = Service::protected(verifier).await;
    assert_eq!(service.get("/").key("k").status().await, 503);
}

#[tokio::test]
async fn a_handler_that_wants_an_identity_answers_401_where_the_layer_lets_everybody_through() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read").await;
    let layer = VerifyLayer::new(server.verifier(Mode::Remote).await).allow_anonymous();
    let who = axum::routing::get(|caller: Identity| async move { caller.subject });
    let service = Service::start(Router::new().route("/", who).layer(layer)).await;
    assert_eq!(service.get("/").status().await, 401);
    assert_eq!(service.get("/").key(&key.text).send().await.body, key.id);
}
