//! What becomes of a store whose server does not answer, goes away or changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sealgate_core::clock::ManualClock;
use sealgate_core::random::SystemRandom;
use sealgate_core::store::{FeedPosition, Store as _, StoreError};
use sealgate_store::{Postgres, PostgresOptions};
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::conformance::log::assert_whole;
use crate::conformance::records::{insert, key};
use crate::conformance::{BIRTH, master};
use crate::postgres_server::PostgresServer;
use crate::{Place, commit, is_unavailable, open, try_commit};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// The patience of a store that is to lose it.
const LITTLE: Duration = Duration::from_millis(1_500);

async fn impatient(url: &str) -> Postgres {
    with_patience(url, LITTLE).await
}

pub async fn with_patience(url: &str, patience: Duration) -> Postgres {
    let options = PostgresOptions::parse(url).unwrap();
    let options = options.with_patience(patience);
    let clock = Arc::new(ManualClock::at(BIRTH));
    Postgres::open(options, true, &master(), Arc::new(SystemRandom), clock)
        .await
        .unwrap()
}

const LOCK_HEAD: &str = "SELECT one FROM audit_head FOR UPDATE";

#[tokio::test]
async fn a_commit_whose_connection_is_cut_before_its_end_is_made_once_on_another() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let mut blocker = place.connect().await;
    let mut holding = blocker.begin().await.unwrap();
    sqlx::query(LOCK_HEAD).execute(&mut *holding).await.unwrap();

    let committing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { try_commit(&store, [insert(&key(1))]).await }
    });
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let cutting = async {
        while place.tamper(cut).await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, cutting).await.unwrap();
    holding.commit().await.unwrap();
    assert_eq!(committing.await.unwrap(), Ok(()));
    assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
    assert_eq!(assert_whole(&*store).await, 1 + 1);
}

#[tokio::test]
async fn who_waits_too_long_for_a_lock_is_told_so_and_the_next_one_gets_it() {
    let place = Place::new();
    let store = impatient(&place.0).await;
    let mut blocker = place.connect().await;
    let mut holding = blocker.begin().await.unwrap();
    sqlx::query(LOCK_HEAD).execute(&mut *holding).await.unwrap();
    let refused = try_commit(&store, [insert(&key(1))]).await;
    is_unavailable(refused, "another process is writing to it for too long");
    assert_eq!(store.key(key(1).id).await.unwrap(), None);
    holding.rollback().await.unwrap();
    commit(&store, [insert(&key(1))]).await;
    assert_eq!(assert_whole(&store).await, 1 + 1);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let place = Place::new();
    let store = impatient(&place.0).await;
    // Whoever counts the administrators sleeps over each key.
    commit(&store, (0..3).map(|number| insert(&key(number)))).await;
    place
        .tamper(
            "ALTER TABLE api_key RENAME TO kept; CREATE VIEW api_key AS \
             SELECT kept.* FROM kept, LATERAL (SELECT pg_sleep(0.6 + kept.use_count)) AS slow",
        )
        .await;
    is_unavailable(store.keys_after(None, 9).await, "did not answer in time");
    place
        .tamper("DROP VIEW api_key; ALTER TABLE kept RENAME TO api_key")
        .await;
    assert_eq!(store.keys_after(None, 9).await.unwrap().records.len(), 3);
}

#[tokio::test]
async fn a_store_works_again_by_itself_once_its_server_does() {
    let server = PostgresServer::start();
    let url = server.database();
    let store = open(&url, true, &master()).await.unwrap();
    commit(&store, [insert(&key(1))]).await;
    store.key(key(1).id).await.unwrap();
    // Nothing notices that the connections are gone but the next use of them.
    server.stop_service();
    server.resume_service();
    assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
    commit(&store, [insert(&key(2))]).await;

    server.stop_service();
    is_unavailable(store.key(key(1).id).await, "");
    is_unavailable(try_commit(&store, [insert(&key(3))]).await, "");
    is_unavailable(open(&url, true, &master()).await, "127.0.0.1");
    server.resume_service();
    commit(&store, [insert(&key(3))]).await;
    assert_eq!(store.keys_after(None, 9).await.unwrap().records.len(), 3);
    assert_eq!(assert_whole(&store).await, 1 + 3);
}

#[tokio::test]
async fn a_server_that_has_frozen_keeps_nobody_waiting() {
    let server = PostgresServer::start();
    let store = impatient(&server.database()).await;
    commit(&store, [insert(&key(1))]).await;
    store.key(key(1).id).await.unwrap();
    server.freeze();
    is_unavailable(store.key(key(1).id).await, "did not answer in time");
    let refused = try_commit(&store, [insert(&key(2))]).await;
    is_unavailable(refused, "did not answer in time");
    server.thaw();
    commit(&store, [insert(&key(3))]).await;
    assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
    assert_whole(&store).await;
}

#[tokio::test]
async fn one_answer_that_did_not_come_is_enough_to_go_to_the_server_that_took_over() {
    let primary = PostgresServer::start();
    let url = primary.database();
    let standby = primary.standby();
    let (server, port) = (
        format!("127.0.0.1:{}", primary.port()),
        format!("127.0.0.1:{}", standby.port()),
    );
    let both = url.replace(&server, &format!("{server},{port}"));
    let store = with_patience(&both, LITTLE * 3).await;
    commit(&store, [insert(&key(1))]).await;
    // As many connections as read at once are idle then.
    let reads = (0..4).map(|_| store.key(key(1).id));
    for read in futures_util::future::join_all(reads).await {
        read.unwrap();
    }
    let caught_up = async {
        let database = url.rsplit_once('/').unwrap().1;
        while standby.sql(database, "SELECT count(*) FROM api_key") != "1\n" {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, caught_up).await.unwrap();
    primary.freeze();
    standby.promote();
    let position = FeedPosition(0);
    is_unavailable(
        store.feed_since(position, 9).await,
        "did not answer in time",
    );
    assert!(store.feed_since(position, 9).await.is_ok());
    assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
    primary.thaw();
}

#[tokio::test]
async fn a_standby_is_passed_over_until_it_takes_over() {
    let primary = PostgresServer::start();
    let url = primary.database();
    let store = open(&url, true, &master()).await.unwrap();
    commit(&store, [insert(&key(1))]).await;
    let standby = primary.standby();
    let (server, port) = (
        format!("127.0.0.1:{}", primary.port()),
        format!("127.0.0.1:{}", standby.port()),
    );
    is_unavailable(
        open(&url.replace(&server, &port), true, &master()).await,
        "standby",
    );
    let both = url.replace(&server, &format!("{port},{server}"));
    let store = open(&both, true, &master()).await.unwrap();
    commit(&store, [insert(&key(2))]).await;

    let caught_up = async {
        let database = url.rsplit_once('/').unwrap().1;
        while standby.sql(database, "SELECT count(*) FROM api_key") != "2\n" {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, caught_up).await.unwrap();
    primary.stop_service();
    is_unavailable(try_commit(&store, [insert(&key(3))]).await, "");
    standby.promote();
    commit(&store, [insert(&key(3))]).await;
    assert_eq!(store.keys_after(None, 9).await.unwrap().records.len(), 3);
    assert_eq!(assert_whole(&store).await, 1 + 3);
}

#[tokio::test]
async fn a_commit_whose_end_is_not_confirmed_is_no_success_and_is_not_made_twice() {
    let server = PostgresServer::shared();
    let url = server.database();
    let cuts = Arc::new(AtomicBool::new(false));
    let port = proxy(server.port(), Arc::clone(&cuts)).await;
    let through = url.replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    let store = open(&through, true, &master()).await.unwrap();
    cuts.store(true, Ordering::SeqCst);
    let outcome = try_commit(&store, [insert(&key(1))]).await;
    assert!(
        matches!(outcome, Err(StoreError::Unconfirmed(_))),
        "{outcome:?}"
    );
    cuts.store(false, Ordering::SeqCst);
    // Here it was.
    let written = async {
        while store.key(key(1).id).await.unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    let again = try_commit(&store, [insert(&key(1))]).await;
    assert_eq!(again, Err(StoreError::Conflict));
    assert_eq!(assert_whole(&store).await, 1 + 1);
}

#[tokio::test]
async fn a_commit_whose_end_waits_for_a_standby_too_long_is_not_confirmed() {
    let server = PostgresServer::start();
    let store = impatient(&server.database()).await;
    commit(&store, [insert(&key(1))]).await;
    let set = |standbys: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{standbys}'");
        server.sql("postgres", &set);
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    set("nobody");
    // The server's process reads it between two statements, once it was told.
    sleep(Duration::from_millis(500)).await;
    let outcome = try_commit(&store, [insert(&key(2))]).await;
    assert!(
        matches!(outcome, Err(StoreError::Unconfirmed(_))),
        "{outcome:?}"
    );
    set("");
    let written = async {
        while store.key(key(2).id).await.unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    assert_eq!(assert_whole(&store).await, 1 + 2);
}

/// A proxy before a server; while it `cuts`, it ends a connection once a commit was handed over, before
/// the answer.
async fn proxy(server: u16, cuts: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            tokio::spawn(relay(client, server, Arc::clone(&cuts)));
        }
    });
    port
}

async fn relay(client: TcpStream, server: TcpStream, cuts: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        let sent = &buffer[..length];
        let ends = cuts.load(Ordering::SeqCst) && sent.windows(7).any(|at| at == b"COMMIT\0");
        if ends {
            answers.abort();
        }
        if to_server.write_all(sent).await.is_err() || ends {
            // The server reads to the end of what was sent, and finds nobody to tell.
            sleep(Duration::from_millis(100)).await;
            return;
        }
    }
}
