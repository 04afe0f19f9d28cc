//! The server away, and what comes in its place.

use std::time::Duration;

use bytes::Bytes;
use sealgate_client::{Mode, Verifier};
use sealgate_token::jwt::Algorithm;
use tokio::time::{sleep, timeout};

use crate::http::Call;
use crate::support::{Server, Service, eventually, options, settings};

const LIST: &str = "/.well-known/sealgate-revocations";
const KEYS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn tokens_are_honoured_until_the_list_is_too_old_and_again_when_the_server_is_back() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Local).await;
    let clock = std::sync::Arc::clone(&server.home.clock);
    let call = || service.get("/").token(&key.token);
    let (home, port) = server.stop().await;
    clock.advance_millis(9_000);
    assert_eq!(call().status().await, 200);
    clock.advance_millis(1_001);
    let refused = call().send().await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));
    // What is wrong by itself is wrong now too.
    assert_eq!(service.get("/").token("nonsense").status().await, 401);
    let _server = Box::pin(home.start(settings(Algorithm::EdDsa), port)).await;
    eventually("a fresh list", || async {
        (call().status().await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_is_accepted_before_keys_and_list_have_come() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    for missing in [LIST, KEYS] {
        server.wire().answer(missing, 503, "");
        let options = sealgate_client::VerifierOptions {
            mode: Mode::Local,
            ..options()
        };
        let verifier = Verifier::start_with_clock(server.sealgate(), options, server.clock());
        let verifier = verifier.unwrap();
        let service = Service::protected(verifier.clone()).await;
        let early = timeout(Duration::from_millis(700), verifier.ready()).await;
        assert!(early.is_err(), "{missing}");
        assert_eq!(service.get("/").token(&key.token).status().await, 503);
        server.wire().let_through(missing);
        timeout(Duration::from_secs(20), verifier.ready())
            .await
            .expect("ready");
        assert_eq!(service.get("/").token(&key.token).status().await, 200);
    }
}

/// The list as it is published now.
async fn list(server: &Server) -> Bytes {
    let answer = Call::new(server.address, "GET", LIST).send().await;
    assert_eq!(answer.status, 200);
    answer.body
}

/// Waits until the list was asked for some times more.
async fn asked_again(server: &Server, times: usize) {
    let asked = server.wire().count(LIST);
    eventually("more questions for the list", || async {
        (server.wire().count(LIST) >= asked + times).then_some(())
    })
    .await;
    // The answer has to arrive, too.
    sleep(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn a_list_that_was_tampered_with_is_not_taken() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let (revoked, key) = (server.key("api:read").await, server.key("api:read").await);
    server.revoke(&revoked).await;
    let good = String::from_utf8(list(&server).await.to_vec()).unwrap();
    let service = server.service(Mode::Local).await;
    let call = |token: &str| service.get("/").token(token);
    eventually("the revocation", || async {
        (call(&revoked.token).status().await == 401).then_some(())
    })
    .await;
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let mut altered = payload.to_owned();
    let position = altered.len() / 2;
    let other = if altered[position..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    altered.replace_range(position..=position, other);
    for bad in [
        format!("{header}.{altered}.{signature}"),
        format!("{signed}."),
        signed.to_owned(),
        revoked.token.clone(),
        String::new(),
        "{}".to_owned(),
    ] {
        server.wire().answer(LIST, 200, bad);
        asked_again(&server, 2).await;
        assert_eq!(call(&revoked.token).status().await, 401);
        assert_eq!(call(&key.token).status().await, 200);
    }
    // It is no contact with the server either: the last good list gets older.
    server.home.clock.advance_millis(10_001);
    asked_again(&server, 2).await;
    assert_eq!(call(&key.token).status().await, 503);
    server.wire().let_through(LIST);
    eventually("a good list", || async {
        (call(&key.token).status().await == 200).then_some(())
    })
    .await;
    assert_eq!(call(&revoked.token).status().await, 401);
}

#[tokio::test]
async fn an_older_list_brings_nothing_back_that_was_revoked() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let (revoked, key) = (server.key("api:read").await, server.key("api:read").await);
    let service = server.service(Mode::Local).await;
    let call = |token: &str| service.get("/").token(token);
    let old = list(&server).await;
    server.home.clock.advance_millis(2_000);
    server.revoke(&revoked).await;
    eventually("the revocation", || async {
        (call(&revoked.token).status().await == 401).then_some(())
    })
    .await;
    server.wire().answer(LIST, 200, old);
    asked_again(&server, 2).await;
    assert_eq!(call(&revoked.token).status().await, 401);
    assert_eq!(call(&key.token).status().await, 200);
}

#[tokio::test]
async fn a_server_that_tells_no_revocations_is_asked_about_each_token() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let (revoked, key) = (server.key("api:read").await, server.key("api:read").await);
    let service = server.service(Mode::LocalThenRemote).await;
    server.wire().answer(LIST, 503, "");
    server.home.clock.advance_millis(10_001);
    server.revoke(&revoked).await;
    for (key, status) in [(&key, 200), (&revoked, 401)] {
        let call = service.get("/").token(&key.token);
        assert_eq!(call.status().await, status);
    }
    assert_eq!(server.wire().count("/api/auth/verify"), 2);
}

#[tokio::test]
async fn what_goes_on_in_the_background_ends_with_the_last_verifier() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let verifier = server.verifier(Mode::Local).await;
    drop(verifier.clone());
    asked_again(&server, 1).await;
    drop(verifier);
    sleep(Duration::from_millis(200)).await;
    let asked = server.wire().count(LIST);
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(server.wire().count(LIST), asked);
}
