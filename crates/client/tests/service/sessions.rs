//! Session tokens that are verified and opened here.

use sealgate_client::{Mode, SessionOptions, VerifierOptions};
use sealgate_token::jwt::Algorithm;

use crate::support::{
    OTHER_SEAL_KEY, SEAL_KEY, Server, Service, caller, eventually, options, settings,
};

const VERIFY: &str = "/api/auth/verify";

#[tokio::test]
async fn a_session_is_opened_with_its_seal_key_and_no_other() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let session = server.session("ada", Some(SEAL_KEY)).await;
    let service = server.service(Mode::LocalThenRemote).await;
    let call = || service.post("/").token(&session);
    let told = call().seal_key(SEAL_KEY).send().await.ok();
    assert_eq!(told["kind"], "session");
    assert_eq!(told["subject"], "ada");
    assert_eq!(told["user_data"]["username"], "ada");
    assert_eq!(call().seal_key(OTHER_SEAL_KEY).status().await, 401);
    let twice = call().seal_key(SEAL_KEY).seal_key(SEAL_KEY);
    assert_eq!(twice.status().await, 401);
    assert_eq!(server.wire().count(VERIFY), 0);
    // Without one it would be the default key, which is for the server to know.
    assert_eq!(call().status().await, 401);
    assert_eq!(server.wire().count(VERIFY), 1);
}

#[tokio::test]
async fn hexadecimal_seal_keys_are_the_same_in_either_case() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let session = server.session("ada", Some(OTHER_SEAL_KEY)).await;
    let service = server.service(Mode::Local).await;
    for key in [OTHER_SEAL_KEY.to_owned(), OTHER_SEAL_KEY.to_uppercase()] {
        let call = service.get("/").token(&session).seal_key(&key);
        assert_eq!(call.status().await, 200, "{key}");
    }
}

#[tokio::test]
async fn sessions_under_the_default_key_or_a_managed_one_are_for_the_server() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let sealing = server.key("session:seal").await;
    let under_default = server.session("ada", None).await;
    let under_managed = server.session("eve", Some(&sealing.text)).await;
    let (local, both) = (
        server.service(Mode::Local).await,
        server.service(Mode::LocalThenRemote).await,
    );
    for (service, status) in [(&local, 401), (&both, 200)] {
        let call = service.get("/").token(&under_default);
        assert_eq!(call.status().await, status);
        let call = service.get("/").token(&under_managed);
        assert_eq!(call.seal_key(&sealing.text).status().await, status);
    }
    server.revoke(&sealing).await;
    let call = both.get("/").token(&under_managed).seal_key(&sealing.text);
    assert_eq!(call.status().await, 401);
}

#[tokio::test]
async fn a_session_that_was_logged_out_is_refused_with_all_of_its_renewals() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let session = server.session("ada", Some(SEAL_KEY)).await;
    let renew = server.post("/api/auth/token/renew").token(&session);
    let renewed = renew.seal_key(SEAL_KEY).send().await.ok();
    let renewed = renewed["data"]["token"].as_str().unwrap().to_owned();
    let other = server.log_in("ada", Some(SEAL_KEY)).await;
    let service = server.service(Mode::Local).await;
    let call = |token: &str| service.get("/").token(token).seal_key(SEAL_KEY);
    for token in [&session, &renewed, &other] {
        assert_eq!(call(token).status().await, 200);
    }
    server.log_out(&session).await;
    eventually("the logout", || async {
        (call(&renewed).status().await == 401).then_some(())
    })
    .await;
    assert_eq!(call(&session).status().await, 401);
    assert_eq!(call(&other).status().await, 200);
}

#[tokio::test]
async fn a_session_for_another_audience_or_from_another_issuer_is_refused() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let session = server.session("ada", Some(SEAL_KEY)).await;
    for (audience, issuer) in [("elsewhere", "gomaluum"), ("gomaluum", "elsewhere")] {
        let options = VerifierOptions {
            mode: Mode::Local,
            sessions: Some(SessionOptions {
                audience: audience.to_owned(),
                issuer: issuer.to_owned(),
            }),
            ..options()
        };
        let service = Service::protected(server.verifier_with(options).await).await;
        let call = service.get("/").token(&session).seal_key(SEAL_KEY);
        assert_eq!(call.status().await, 401, "{audience} {issuer}");
    }
}

#[tokio::test]
async fn an_altered_session_token_is_refused() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let session = server.session("ada", Some(SEAL_KEY)).await;
    let service = server.service(Mode::Local).await;
    for position in [20, session.len() / 2] {
        let mut altered = session.clone();
        let other = if altered[position..].starts_with('A') {
            "B"
        } else {
            "A"
        };
        altered.replace_range(position..=position, other);
        let call = service.get("/").token(&altered).seal_key(SEAL_KEY);
        assert_eq!(call.status().await, 401);
    }
}

#[tokio::test]
async fn a_key_that_was_withdrawn_at_once_opens_nothing_within_seconds() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let session = server.session("ada", Some(SEAL_KEY)).await;
    let service = server.service(Mode::Local).await;
    let call = |token: &str| service.get("/").token(token).seal_key(SEAL_KEY);
    assert_eq!(call(&session).status().await, 200);
    let caller = caller();
    let rotated = server.authority.rotate_session_keys(true, &caller);
    rotated.await.unwrap();
    let refused = tokio::time::timeout(
        std::time::Duration::from_secs(4),
        eventually("the end of the key", || async {
            (call(&session).status().await == 401).then_some(())
        }),
    );
    refused.await.expect("within seconds");
    // What the new key signs is honoured as soon as keys and list have it.
    server.home.clock.advance_millis(6_000);
    let session = server.log_in("ada", Some(SEAL_KEY)).await;
    eventually("the new key", || async {
        (call(&session).status().await == 200).then_some(())
    })
    .await;
}
