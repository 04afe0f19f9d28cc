//! Server keys that change.

use std::time::Duration;

use sealgate_client::Mode;
use sealgate_token::jwt::Algorithm;

use crate::support::{Server, TestKey, caller, eventually, settings};

#[tokio::test]
async fn a_new_server_key_is_picked_up_without_a_restart_and_the_old_one_stays_good() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Local).await;
    assert_eq!(service.get("/").token(&key.token).status().await, 200);

    let (home, port) = server.stop().await;
    let server = Box::pin(home.start(settings(Algorithm::Es256), port)).await;
    // Keys were only just fetched: they are not fetched again for every token that comes along.
    server.home.clock.advance_millis(6_000);
    let exchange = server.post("/api/auth/token").key(&key.text);
    let token = exchange.send().await.ok()["token"].clone();
    let token = token.as_str().unwrap();
    eventually("the new key", || async {
        (service.get("/").token(token).status().await == 200).then_some(())
    })
    .await;
    eventually("the old key", || async {
        (service.get("/").token(&key.token).status().await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_a_server_to_ask_a_new_key_costs_nobody_a_refusal() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::LocalThenRemote).await;
    let (home, port) = server.stop().await;
    let server = Box::pin(home.start(settings(Algorithm::Es256), port)).await;
    let exchange = server.post("/api/auth/token").key(&key.text);
    let token = exchange.send().await.ok()["token"].clone();
    let call = service.get("/").token(token.as_str().unwrap());
    assert_eq!(call.status().await, 200);
}

/// A token that is issued now.
async fn exchanged(server: &Server, key: &TestKey) -> String {
    let exchange = server.post("/api/auth/token").key(&key.text);
    let token = exchange.send().await.ok()["token"].clone();
    token.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_server_key_that_was_withdrawn_at_once_is_dead_within_seconds_and_the_next_is_good() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Local).await;
    let call = |token: &str| service.get("/").token(token);
    assert_eq!(call(&key.token).status().await, 200);
    server.home.clock.advance_millis(6_000);
    let caller = caller();
    let rotated = server.authority.rotate_server_keys(true, &caller).await;
    rotated.unwrap();
    let refused = tokio::time::timeout(
        Duration::from_secs(4),
        eventually("the end of the key", || async {
            (call(&key.token).status().await == 401).then_some(())
        }),
    );
    refused.await.expect("within seconds");
    let token = exchanged(&server, &key).await;
    assert_eq!(call(&token).status().await, 200);
}

#[tokio::test]
async fn a_server_key_that_was_announced_is_good_from_its_first_token_on() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Local).await;
    let call = |token: &str| service.get("/").token(token);
    let caller = caller();
    let rotated = server.authority.rotate_server_keys(false, &caller).await;
    rotated.unwrap();
    let before = exchanged(&server, &key).await;
    assert_eq!(call(&before).status().await, 200);
    // It signs when it has been published for two hours.
    server.home.clock.advance_millis(7_201_000);
    let after = exchanged(&server, &key).await;
    eventually("a list that is fresh by the clock that jumped", || async {
        (call(&after).status().await != 503).then_some(())
    })
    .await;
    assert_eq!(call(&after).status().await, 200);
}
