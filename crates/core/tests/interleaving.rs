//! The races that decide whether a revocation holds, each forced to its worst order by a store that
//! stops where the test says.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use sealgate_core::audit::Origin;
use sealgate_core::authority::{Authority, Created, Identity, Settings};
use sealgate_core::error::{Error, Reason};
use sealgate_core::key::Status;
use sealgate_core::request::KeyRequest;
use sealgate_token::jwt::Algorithm;
use support::gate::Gate;
use support::{
    HERE, PASSWORD, Site, add_user, bear, create, log_in, operator, present, quick, reason, request,
};
use tokio::task::JoinHandle;

/// A server that has loaded its keys, and the gate before its store.
async fn gated(site: &Site) -> (Arc<Gate>, Arc<Authority>) {
    let gate = Gate::before(site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    (gate, Arc::new(server))
}

/// Presents a key in a task of its own.
fn presenting(
    server: &Arc<Authority>,
    created: &Arc<Created>,
) -> JoinHandle<Result<Identity, Error>> {
    let (server, created) = (Arc::clone(server), Arc::clone(created));
    tokio::spawn(async move { present(&server, &created).await })
}

#[tokio::test]
async fn a_look_up_that_read_before_a_revoke_cannot_bring_the_key_back() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let elsewhere = site.command_line().await;
    let created = Arc::new(create(&elsewhere, "raced").await);
    gate.is_closed.store(true, SeqCst);

    // The server has never heard of the key: it asks, reads it active, and is stopped there.
    let asking = presenting(&server, &created);
    gate.somebody_waits().await;

    // Meanwhile the key is revoked elsewhere and this server reads of it.
    elsewhere
        .revoke(&created.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    server.sync().await.unwrap();

    // The look-up goes on with what it read.
    gate.open();
    assert_eq!(
        reason(asking.await.unwrap()),
        Reason::KeyIs(Status::Revoked)
    );
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Revoked)
    );
}

#[tokio::test]
async fn loading_that_read_before_a_revoke_cannot_bring_the_key_back() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.authority(gate.clone(), Settings::default()));
    server.start().await.unwrap();
    let elsewhere = site.command_line().await;
    let created = create(&elsewhere, "raced").await;
    gate.is_closed.store(true, SeqCst);

    // Loading reads the key active, and is stopped there.
    let loading = tokio::spawn({
        let server = server.clone();
        async move { server.load_keys().await }
    });
    gate.somebody_waits().await;
    assert!(server.keyring().is_empty());
    elsewhere
        .revoke(&created.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    server.sync().await.unwrap();

    gate.open();
    loading.await.unwrap().unwrap();
    assert!(server.is_loaded());
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Revoked)
    );
}

#[tokio::test]
async fn of_a_store_of_many_pages_every_key_is_loaded() {
    let site = Site::new();
    let elsewhere = site.command_line().await;
    let requests = |count| (0..count).map(|number| request(&format!("k{number}")));
    let mut created = Vec::new();
    // Less than a page, then a few, and a part of one.
    for count in [3_000, 12_000] {
        let made = elsewhere
            .create_many(requests(count).collect(), &operator())
            .await
            .unwrap();
        created.extend(made);
        let gate = Gate::before(&site).await;
        let server = site.server_with(gate.clone(), Settings::default()).await;
        assert_eq!(server.keyring().len(), created.len());
        for key in created.iter().step_by(997) {
            assert!(present(&server, key).await.is_ok());
        }
        assert_eq!(gate.questions.load(SeqCst), 0);
    }
}

#[tokio::test]
async fn a_look_up_that_read_before_the_feed_was_lost_is_asked_again() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let asking = presenting(&server, &created);
    gate.somebody_waits().await;

    // What it read may be of a store that is no more. Reading all keys anew is stopped too.
    gate.is_lost_once.store(true, SeqCst);
    let syncing = tokio::spawn({
        let server = server.clone();
        async move { server.sync().await }
    });
    gate.somebody_waits().await;
    assert!(server.keyring().is_empty() && !server.is_loaded());

    gate.open();
    assert!(asking.await.unwrap().is_ok());
    syncing.await.unwrap().unwrap();
    assert_eq!(gate.questions.load(SeqCst), 2);
    assert!(server.is_loaded() && present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn keys_to_be_read_anew_are_read_once_the_store_is_back() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    let created = create(&server, "k").await;
    gate.is_lost_once.store(true, SeqCst);
    gate.cannot_load.store(true, SeqCst);
    assert!(server.sync().await.is_err());
    assert!(!server.is_loaded());
    assert!(
        present(&server, &created).await.is_ok(),
        "the store is asked"
    );
    assert!(server.sync().await.is_err());
    gate.cannot_load.store(false, SeqCst);
    server.sync().await.unwrap();
    assert!(server.is_loaded());
}

#[tokio::test]
async fn requests_that_wait_for_news_after_a_pause_share_one_reading_of_the_feed() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let created = Arc::new(create(&server, "k").await);
    site.clock.advance_millis(60_000);
    let asking: Vec<_> = (0..100).map(|_| presenting(&server, &created)).collect();
    for asked in asking {
        assert!(asked.await.unwrap().is_ok());
    }
    assert_eq!(gate.feed_readings.load(SeqCst), 1);
}

#[tokio::test]
async fn a_thousand_requests_for_a_cold_key_ask_the_store_once() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let asking: Vec<_> = (0..1_000).map(|_| presenting(&server, &created)).collect();
    gate.somebody_waits().await;
    gate.open();
    for asked in asking {
        assert!(asked.await.unwrap().is_ok());
    }
    assert_eq!(gate.questions.load(SeqCst), 1);
}

#[tokio::test]
async fn questions_that_wait_for_their_turn_are_asked_as_one() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let elsewhere = site.command_line().await;
    let mut created = Vec::new();
    for number in 0..32 {
        created.push(Arc::new(
            create(&elsewhere, &format!("cold {number}")).await,
        ));
    }
    gate.is_closed.store(true, SeqCst);
    let asking: Vec<_> = created
        .iter()
        .map(|created| presenting(&server, created))
        .collect();
    // As many as there are places have read; the others wait for these.
    for _ in 0..4 {
        gate.somebody_waits().await;
    }
    gate.open();
    for asked in asking {
        assert!(asked.await.unwrap().is_ok());
    }
    assert_eq!(gate.questions.load(SeqCst), 5);
}

#[tokio::test]
async fn everybody_who_waits_for_a_question_hears_that_it_failed() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    gate.is_mute.store(true, SeqCst);
    let ask = || presenting(&server, &created);
    let asking: Vec<_> = (0..100).map(|_| ask()).collect();
    gate.somebody_waits().await;
    gate.open();
    for asked in asking {
        assert!(matches!(asked.await.unwrap(), Err(Error::Unavailable(_))));
    }
    assert_eq!(gate.questions.load(SeqCst), 1);
    gate.is_mute.store(false, SeqCst);
    assert!(present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn a_question_goes_on_for_the_others_when_who_put_it_hangs_up() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let ask = || presenting(&server, &created);
    let first = ask();
    gate.somebody_waits().await;
    let others: Vec<_> = (0..10).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.is_err());
    gate.somebody_waits().await;
    let late = ask();
    gate.open();
    for asked in others {
        assert!(asked.await.unwrap().is_ok());
    }
    assert!(late.await.unwrap().is_ok());
    assert_eq!(
        gate.questions.load(SeqCst),
        2,
        "that of the first, and one for all others"
    );
}

#[tokio::test]
async fn absent_keys_are_asked_for_once_and_known_as_soon_as_they_are_made() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    let other_site = Site::new();
    let stranger = create(&other_site.command_line().await, "stranger").await;
    for _ in 0..10 {
        assert_eq!(
            reason(present(&server, &stranger).await),
            Reason::UnknownKey
        );
    }
    assert_eq!(gate.questions.load(SeqCst), 1);
    site.clock.advance_millis(30_001);
    server.sync().await.unwrap();
    assert_eq!(
        reason(present(&server, &stranger).await),
        Reason::UnknownKey
    );
    assert_eq!(gate.questions.load(SeqCst), 2);
}

#[tokio::test]
async fn without_news_from_the_store_nobody_is_honoured_past_the_allowed_time() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    let created = create(&server, "k").await;
    gate.is_broken.store(true, SeqCst);
    assert!(server.sync().await.is_err());
    site.clock.advance_millis(1_000);
    assert!(present(&server, &created).await.is_ok());
    site.clock.advance_millis(1);
    assert!(matches!(
        present(&server, &created).await,
        Err(Error::Unavailable(_))
    ));
    gate.is_broken.store(false, SeqCst);
    assert!(present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn that_the_feed_was_lost_is_not_forgotten_when_what_follows_fails_or_is_given_up() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let created = create(&server, "k").await;
    let identity = present(&server, &created).await.unwrap();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let grant = server.exchange(&identity, &operator()).await.unwrap();
        tokens.push(grant.token);
    }
    // Of what happens elsewhere the feed tells nothing.
    let elsewhere = site.server().await;
    for (token, is_given_up) in tokens.iter().zip([false, true]) {
        let held = bear(&elsewhere, token.expose()).await.unwrap();
        elsewhere.end_token(&held, &operator()).await.unwrap();
        gate.is_lost_once.store(true, SeqCst);
        if is_given_up {
            gate.is_closed.store(true, SeqCst);
            let syncing = tokio::spawn({
                let server = server.clone();
                async move { server.sync().await }
            });
            gate.somebody_waits().await;
            syncing.abort();
            assert!(syncing.await.is_err());
            gate.open();
        } else {
            gate.cannot_read_server_keys.store(true, SeqCst);
            assert!(server.sync().await.is_err());
            gate.cannot_read_server_keys.store(false, SeqCst);
        }
        assert!(server.keyring().is_empty(), "it may be another store");
        server.sync().await.unwrap();
        assert!(server.is_loaded() && present(&server, &created).await.is_ok());
        assert!(bear(&server, token.expose()).await.is_err());
    }
}

#[tokio::test]
async fn a_server_key_that_is_replaced_while_a_process_starts_is_no_signer_there() {
    let settings = Settings {
        algorithm: Algorithm::EdDsa,
        ..Settings::default()
    };
    let site = Site::new();
    let elsewhere = site.server_with(site.store().await, settings.clone()).await;
    let created = create(&elsewhere, "k").await;
    let identity = present(&elsewhere, &created).await.unwrap();
    let token = async || elsewhere.exchange(&identity, &operator()).await.unwrap();
    let old = token().await;

    // It has read the server keys, and is stopped before it takes up the feed.
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.authority(gate.clone(), settings));
    gate.is_closed.store(true, SeqCst);
    let starting = tokio::spawn({
        let server = server.clone();
        async move { server.start().await }
    });
    gate.somebody_waits().await;
    elsewhere
        .rotate_server_keys(true, &operator())
        .await
        .unwrap();
    gate.open();
    starting.await.unwrap().unwrap();
    assert!(bear(&server, old.token.expose()).await.is_err());
    assert!(bear(&server, token().await.token.expose()).await.is_ok());
}

#[tokio::test]
async fn a_session_that_ended_while_its_seal_key_was_asked_for_is_over() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), quick()).await);
    let elsewhere = site.server_with(site.store().await, quick()).await;
    add_user(&elsewhere, "ada").await;
    let sealing = KeyRequest {
        permissions: Some("session:seal".to_owned()),
        ..request("cold")
    };
    let seal_key = elsewhere.create(sealing, &operator()).await.unwrap();
    let seal_key = seal_key.api_key;
    let account = ("ada", PASSWORD);
    let logged_in = log_in(&elsewhere, account, Some(seal_key.expose()), HERE).await;
    let token = logged_in.unwrap().token;
    gate.is_closed.store(true, SeqCst);
    let opening = tokio::spawn({
        let (server, token) = (server.clone(), token.clone());
        async move {
            let seal_key = Some(seal_key.expose());
            let opened = server.open_session(token.expose(), seal_key, HERE).await;
            opened.map(drop)
        }
    });
    gate.somebody_waits().await;
    let origin = Origin::default();
    elsewhere
        .end_session(token.expose(), &origin)
        .await
        .unwrap();
    site.clock.advance_millis(60_000);
    gate.open();
    assert_eq!(
        reason(opening.await.unwrap()),
        Reason::InvalidToken("session_ended")
    );
}

#[tokio::test]
async fn what_was_read_before_a_pause_is_not_enough_after_it() {
    let site = Site::new();
    let (gate, server) = gated(&site).await;
    let elsewhere = site.command_line().await;
    let created = Arc::new(create(&elsewhere, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let asking = presenting(&server, &created);
    gate.somebody_waits().await;
    // The key is revoked while the process stands still, the answer about it in hand.
    elsewhere
        .revoke(&created.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    site.clock.advance_millis(60_000);
    gate.open();
    assert_eq!(
        reason(asking.await.unwrap()),
        Reason::KeyIs(Status::Revoked)
    );
}
