//! Access tokens for a service's own requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sealgate_client::{AuthorizeError, AuthorizeLayer, Error, ManagedKey, Mode, TokenSource};
use sealgate_core::authority::Settings;
use sealgate_token::jwt::Algorithm;
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _};

use crate::support::{Server, TestKey, eventually, settings};

const EXCHANGE: &str = "/api/auth/token";
const RENEW: &str = "/api/auth/token/renew";

fn source(server: &Server, key: &TestKey) -> TokenSource {
    let key = ManagedKey::new(key.text.as_str()).unwrap();
    TokenSource::with_clock(server.sealgate(), key, server.clock())
}

fn advance(server: &Server, seconds: i64) {
    server.home.clock.advance_millis(seconds * 1_000);
}

#[tokio::test]
async fn a_key_is_exchanged_once_and_its_token_is_kept() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let tokens = source(&server, &server.key("api:read").await);
    assert_eq!(server.wire().count(EXCHANGE), 0);
    let first = tokens.token().await.unwrap();
    advance(&server, 1_700);
    assert_eq!(tokens.clone().token().await.unwrap(), first);
    assert_eq!(server.wire().count(EXCHANGE), 1);
    assert_eq!(server.wire().count(RENEW), 0);
    let service = server.service(Mode::Remote).await;
    assert_eq!(service.get("/").token(first.expose()).status().await, 200);
}

#[tokio::test]
async fn many_that_ask_at_once_share_one_exchange() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let tokens = source(&server, &server.key("api:read").await);
    for round in 1..=2 {
        let mut asking = JoinSet::new();
        for _ in 0..50 {
            let tokens = tokens.clone();
            asking.spawn(async move { tokens.token().await.unwrap() });
        }
        let given = asking.join_all().await;
        assert!(given.iter().all(|token| *token == given[0]));
        assert_eq!(server.wire().count(EXCHANGE), round);
        // All of them hear that it is refused, and one of them is the first to do so.
        for token in &given {
            tokens.invalidate(token);
        }
    }
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_before_it_expires() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let tokens = source(&server, &server.key("api:read").await);
    let first = tokens.token().await.unwrap();
    advance(&server, 2_200);
    // Nobody waits for the next one.
    assert_eq!(tokens.token().await.unwrap(), first);
    let second = eventually("a renewed token", || async {
        let token = tokens.token().await.unwrap();
        (token != first).then_some(token)
    })
    .await;
    assert_eq!(server.wire().count(RENEW), 1);
    assert_eq!(server.wire().count(EXCHANGE), 1);
    advance(&server, 1_500);
    assert_eq!(tokens.token().await.unwrap(), second);
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced_by_an_exchange() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let tokens = source(&server, &server.key("api:read").await);
    let first = tokens.token().await.unwrap();
    advance(&server, 3_600);
    assert_ne!(tokens.token().await.unwrap(), first);
    assert_eq!(server.wire().count(EXCHANGE), 2);
    assert_eq!(server.wire().count(RENEW), 0);
}

#[tokio::test]
async fn at_the_end_of_a_line_of_renewals_the_key_begins_another() {
    let settings = Settings {
        token_seconds: 100,
        token_max_seconds: 250,
        ..settings(Algorithm::EdDsa)
    };
    let server = Server::start(settings).await;
    let tokens = source(&server, &server.key("api:read").await);
    let mut token = tokens.token().await.unwrap();
    for (renewals, exchanges) in [(1, 1), (2, 1), (3, 2)] {
        advance(&server, 70);
        token = eventually("another token", || async {
            let next = tokens.token().await.unwrap();
            (next != token).then_some(next)
        })
        .await;
        assert_eq!(server.wire().count(RENEW), renewals);
        assert_eq!(server.wire().count(EXCHANGE), exchanges);
    }
}

#[tokio::test]
async fn a_revoked_key_gives_no_token_and_the_server_is_not_asked_again_and_again() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    server.revoke(&key).await;
    let tokens = source(&server, &key);
    let refused = Err(Error::Refused { status: 401 });
    for _ in 0..20 {
        assert_eq!(tokens.token().await, refused);
    }
    assert_eq!(server.wire().count(EXCHANGE), 1);
    advance(&server, 1);
    assert_eq!(tokens.token().await, refused);
    assert_eq!(server.wire().count(EXCHANGE), 2);
}

#[tokio::test]
async fn a_token_is_used_to_its_end_while_the_server_is_away() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let tokens = source(&server, &server.key("api:read").await);
    let first = tokens.token().await.unwrap();
    let clock = Arc::clone(&server.home.clock);
    let (home, port) = server.stop().await;
    clock.advance_millis(2_200_000);
    for _ in 0..10 {
        assert_eq!(tokens.token().await.unwrap(), first);
        clock.advance_millis(10_000);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    clock.advance_millis(1_400_000);
    let error = tokens.token().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    let _server = Box::pin(home.start(settings(Algorithm::EdDsa), port)).await;
    clock.advance_millis(31_000);
    assert_ne!(tokens.token().await.unwrap(), first);
}

#[tokio::test]
async fn a_limit_of_the_server_is_respected() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let tokens = source(&server, &server.key("api:read").await);
    server.wire().answer(EXCHANGE, 429, "");
    let limited = tokens.token().await.unwrap_err();
    assert!(matches!(limited, Error::TooManyRequests { .. }));
    server.wire().let_through(EXCHANGE);
    advance(&server, 4);
    assert_eq!(tokens.token().await.unwrap_err(), limited);
    advance(&server, 1);
    tokens.token().await.unwrap();
    assert_eq!(server.wire().count(EXCHANGE), 2);
}

#[tokio::test]
async fn outgoing_requests_carry_a_token_and_after_a_401_another_one() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let tokens = source(&server, &key);
    let service = server.service(Mode::Remote).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = AuthorizeLayer::new(tokens.clone()).layer(client);
    let request = || {
        let uri = format!("http://{}/orders", service.address);
        // What stood there is replaced: two would be refused.
        let request = Request::get(uri).header("Authorization", "Bearer stale");
        request.body(Full::default()).unwrap()
    };
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    let token = tokens.token().await.unwrap();
    let log_out = server.post("/api/auth/logout").token(token.expose());
    assert_eq!(log_out.status().await, 200);
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = client.clone().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(server.wire().count(EXCHANGE), 2);

    let elsewhere = Request::get("http://api.example.com/").body(Full::default());
    let error = client.oneshot(elsewhere.unwrap()).await.unwrap_err();
    assert!(
        matches!(&error, AuthorizeError::Token(Error::Plaintext { host }) if host == "api.example.com")
    );
}
