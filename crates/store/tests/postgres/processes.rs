//! Many processes on one database.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sealgate_core::master::MasterKey;
use sealgate_core::secret::Secret;
use sealgate_core::store::{FeedPosition, Store, StoreError};
use sqlx::Connection as _;
use tokio::time::{sleep, timeout};

use crate::conformance::keys::SCHEMA;
use crate::conformance::log::assert_whole;
use crate::conformance::records::{counted, first_minute, insert, key};
use crate::conformance::{change, master};
use crate::outages::with_patience;
use crate::postgres_server::PostgresServer;
use crate::{Place, commit, is_unavailable, is_unreadable, open};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn many_processes_may_set_up_a_new_store_at_once() {
    let place = Arc::new(Place::new());
    let opening = (0..8).map(|_| {
        let place = Arc::clone(&place);
        tokio::spawn(async move { place.open().await })
    });
    for (number, store) in (1..).zip(opening.collect::<Vec<_>>()) {
        let store = store.await.unwrap();
        commit(&store, [insert(&key(number))]).await;
        let log = store.audit_after(0, 100).await.unwrap();
        assert_eq!(
            log.len(),
            1 + number as usize,
            "one record of its birth, one of each commit"
        );
    }
}

#[tokio::test]
async fn processes_that_append_at_once_keep_one_chain_without_gaps() {
    let place = Place::new();
    let stores = [place.open().await, place.open().await, place.open().await];
    let stores = stores.map(Arc::new);
    let tasks = (0..60).map(|number: u32| {
        let store = Arc::clone(&stores[number as usize % stores.len()]);
        tokio::spawn(async move {
            let uses = [counted(key(number).id, 0, None, 1)];
            store.add_uses(&uses).await.unwrap();
            commit(&store, [insert(&key(number))]).await;
            let over = first_minute().plus_seconds(60);
            store.close_uses(over, over, 10).await.unwrap()
        })
    });
    let mut closed = 0;
    for task in tasks.collect::<Vec<_>>() {
        closed += task.await.unwrap();
    }
    assert_eq!(closed, 60, "each count is closed once");
    for store in &stores {
        assert_eq!(assert_whole(&**store).await, 1 + 60 + 60);
    }
}

#[tokio::test]
async fn who_follows_the_feed_misses_nothing_that_others_commit_at_once() {
    let place = Place::new();
    let follower = place.open().await;
    let mut position = follower.feed_position().await.unwrap();
    let begin = position;
    let mut writers = Vec::new();
    for process in 0..4 {
        let store = place.open().await;
        writers.push(tokio::spawn(async move {
            for number in 0..30 {
                change(&store, [insert(&key(process * 100 + number))]).await;
            }
        }));
    }
    let mut seen = HashSet::new();
    let following = async {
        while seen.len() < 120 {
            let feed = follower.feed_since(position, 7).await.unwrap();
            assert!(!feed.lost && feed.position >= position);
            for key in feed.keys {
                assert!(seen.insert(key.id), "each comes once");
            }
            position = feed.position;
        }
    };
    timeout(PATIENCE, following).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        position,
        FeedPosition(begin.0 + 120),
        "no number is left out"
    );
}

#[tokio::test]
async fn who_follows_a_feed_whose_end_was_lost_is_told_so_also_once_it_is_as_long_again() {
    let place = Place::new();
    let (follower, other) = (place.open().await, place.open().await);
    let begin = follower.feed_position().await.unwrap();
    change(&other, (1..=5).map(|number| insert(&key(number)))).await;
    let mut feed = follower.feed_since(begin, 100).await.unwrap();
    for number in [6, 7] {
        change(&other, [insert(&key(number))]).await;
        feed = follower.feed_since(feed.position, 100).await.unwrap();
        assert_eq!((feed.keys.len(), feed.lost), (1, false));
        let again = follower.feed_since(feed.position, 100).await.unwrap();
        assert_eq!((again.keys.len(), again.lost), (0, false));
    }
    // A standby that lacks the last change takes over, and others go on with it.
    let put_back = "DELETE FROM feed WHERE sequence = (SELECT feed_end FROM audit_head); \
                    UPDATE audit_head SET feed_end = feed_end - 1";
    assert_eq!(place.tamper(put_back).await, 2);
    change(&other, [insert(&key(8)), insert(&key(9))]).await;
    let lost = follower.feed_since(feed.position, 100).await.unwrap();
    assert!(lost.lost && lost.keys.is_empty());
    assert_eq!(lost.position, FeedPosition(feed.position.0 + 1));
    change(&other, [insert(&key(10))]).await;
    let next = follower.feed_since(lost.position, 100).await.unwrap();
    assert_eq!((next.keys.len(), next.lost), (1, false));
}

#[tokio::test]
async fn counts_of_the_same_keys_from_many_processes_add_up() {
    let place = Place::new();
    let first = place.open().await;
    change(&first, (0..20).map(|number| insert(&key(number)))).await;
    let mut processes = Vec::new();
    for process in 0..4_u64 {
        let store = place.open().await;
        processes.push(tokio::spawn(async move {
            for round in 0..10_u64 {
                let mut uses: Vec<_> = (0..20)
                    .map(|number| counted(key(number).id, 0, None, 1))
                    .collect();
                // In another order each time, which must not make one wait for the other for ever.
                uses.rotate_left(usize::try_from(process * 7 + round * 3).unwrap() % 20);
                store.add_uses(&uses).await.unwrap();
            }
        }));
    }
    for process in processes {
        process.await.unwrap();
    }
    for number in 0..20 {
        let id = key(number).id;
        assert_eq!(first.key(id).await.unwrap().unwrap().use_count, 40);
        let open = first.open_uses(id).await.unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].count.requests, 40);
    }
}

#[tokio::test]
async fn a_change_wakes_another_process_also_after_its_listener_was_cut_off() {
    let place = Place::new();
    let (follower, other) = (Arc::new(place.open().await), place.open().await);
    // It begins to listen, and is told once that there may be something.
    timeout(PATIENCE, follower.news()).await.unwrap();
    commit(&other, [insert(&key(1))]).await;
    timeout(PATIENCE, follower.news()).await.unwrap();

    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    assert_eq!(place.tamper(cut).await, 1);
    timeout(PATIENCE, follower.news()).await.unwrap();
    commit(&other, [insert(&key(2))]).await;
    timeout(PATIENCE, follower.news()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_not_there_is_made_only_if_asked_for() {
    let place = Place::new();
    let refused = open(&place.0, false, &master()).await;
    is_unavailable(refused, "there is no store in the database");
    place.open().await.close().await;
    open(&place.0, false, &master()).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::new();
    place.open().await.close().await;
    place.tamper("UPDATE meta SET schema_version = 999").await;
    let refusal = open(&place.0, true, &master()).await.unwrap_err();
    let newer = StoreError::NewerSchema {
        found: 999,
        known: SCHEMA,
    };
    assert_eq!(refusal, newer);
    let back = format!("UPDATE meta SET schema_version = {SCHEMA} WHERE schema_version = 999");
    assert_eq!(place.tamper(&back).await, 1);
    place.open().await;
}

#[tokio::test]
async fn a_store_of_an_earlier_schema_is_upgraded_by_processes_that_start_at_once() {
    let place = Arc::new(Place::new());
    let store = place.open().await;
    commit(&store, [insert(&key(1))]).await;
    store.close().await;
    place
        .tamper("DROP TABLE rate_limit; UPDATE meta SET schema_version = 4")
        .await;
    let opening = (0..4).map(|_| {
        let place = Arc::clone(&place);
        tokio::spawn(async move { place.open().await })
    });
    for store in opening.collect::<Vec<_>>() {
        let store = store.await.unwrap();
        assert_eq!(store.health().await.unwrap().schema, SCHEMA);
        assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
        assert_eq!(assert_whole(&store).await, 1 + 1);
    }
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    for tables in [
        "CREATE TABLE invoices (id BIGINT PRIMARY KEY)",
        "CREATE TABLE meta (id BIGINT PRIMARY KEY)",
    ] {
        let place = Place::new();
        place.tamper(tables).await;
        let refused = open(&place.0, true, &master()).await;
        is_unreadable(refused, "another program");
    }
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_at_once() {
    let place = Place::new();
    place.open().await.close().await;
    let other = MasterKey::new(Secret::new([2; 32]));
    let refused = open(&place.0, true, &other).await;
    is_unreadable(refused, "this master key does not belong to this store");
}

#[tokio::test]
async fn a_row_changed_behind_the_stores_back_is_refused_and_the_others_are_read() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, (1..=3).map(|number| insert(&key(number)))).await;
    let id = key(2).id;
    for change in [
        "is_admin = 1",
        "permissions = '*'",
        "token_secret = '\\x00'",
    ] {
        let sql = format!("UPDATE api_key SET {change} WHERE id = '{id}'");
        assert_eq!(place.tamper(&sql).await, 1);
        let loaded = store.keys_after(None, 10).await.unwrap();
        assert_eq!(loaded.records, [key(1), key(3)]);
        assert_eq!(loaded.damaged, [id]);
    }
    place.tamper("UPDATE audit_head SET hash = seal").await;
    let refused = crate::try_commit(&store, [insert(&key(4))]).await;
    is_unreadable(refused, "the audit log was altered");
}

#[tokio::test]
async fn a_process_with_much_to_write_lets_others_write_meanwhile() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    place
        .tamper(
            "CREATE TABLE seen (transaction bigint); \
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_sleep(0.12); INSERT INTO seen VALUES (txid_current()); RETURN new; END $$; \
             CREATE TRIGGER slow BEFORE INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .await;
    let commits = (0..8).map(|number| {
        let store = Arc::clone(&store);
        async move { commit(&store, [insert(&key(number))]).await }
    });
    futures_util::future::join_all(commits).await;
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT transaction) FROM seen")
        .fetch_one(&mut place.connect().await)
        .await
        .unwrap();
    assert!(transactions >= 3, "{transactions}");
    assert_eq!(assert_whole(&*store).await, 1 + 8);
}

#[tokio::test]
async fn who_starts_while_another_process_changes_the_tables_waits_for_it() {
    let place = Place::new();
    place.open().await.close().await;
    let mut blocker = place.connect().await;
    let mut changing = blocker.begin().await.unwrap();
    sqlx::query("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *changing)
        .await
        .unwrap();
    // The server ends each of its waits after a third of that.
    let opening = with_patience(&place.0, Duration::from_millis(900));
    let ending = async {
        sleep(Duration::from_millis(1_200)).await;
        changing.commit().await.unwrap();
    };
    let (store, ()) = futures_util::future::join(opening, ending).await;
    assert_eq!(assert_whole(&store).await, 1);
}

#[tokio::test]
async fn a_database_that_cannot_keep_every_text_is_refused() {
    let server = PostgresServer::shared();
    let version: u32 = server
        .sql("postgres", "SHOW server_version_num")
        .trim()
        .parse()
        .unwrap();
    let provider = if version >= 150_000 {
        "LOCALE_PROVIDER libc"
    } else {
        ""
    };
    server.sql(
        "postgres",
        &format!(
            "CREATE DATABASE narrow ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C' {provider}"
        ),
    );
    let refused = open(&server.url("narrow"), true, &master()).await;
    is_unavailable(refused, "create one with ENCODING 'UTF8'");
}
