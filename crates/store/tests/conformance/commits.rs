//! Commits: all or nothing, durable, many at once.

use std::sync::Arc;

use futures_util::FutureExt as _;
use sealgate_core::key::{KeyRecord, KeyState};
use sealgate_core::store::{Change, Commit, FeedPosition, StoreError};

use super::log::assert_whole;
use super::records::{data_key, event, insert, key, signing_key, update};
use super::{Engine, change};

pub async fn a_commit_stands_or_falls_as_a_whole(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert(&key(1))]).await;
    let before = store.feed_position().await.unwrap();
    let stale = KeyRecord {
        version: 7,
        ..key(1)
    };
    let disabled = KeyRecord {
        state: KeyState::Disabled,
        ..key(1)
    };
    for last in [update(&stale), insert(&key(1)), insert(&key(2))] {
        let changes = vec![
            insert(&key(2)),
            update(&disabled),
            Change::InsertDataKey(data_key(key(1).id, 1)),
            Change::InsertSigningKey(signing_key(1)),
            last,
        ];
        let events = vec![event(Some(key(2).id), 1), event(None, 2)];
        let refusal = store.commit(Commit { changes, events }).await;
        assert_eq!(refusal, Err(StoreError::Conflict));
    }
    assert_eq!(store.keys_after(None, 10).await.unwrap().records, [key(1)]);
    assert_eq!(store.data_keys(key(1).id).await.unwrap(), []);
    assert_eq!(store.signing_keys().await.unwrap(), []);
    assert_eq!(store.feed_position().await.unwrap(), before);
    assert_eq!(assert_whole(&*store).await, 1);
}

pub async fn a_large_commit_keeps_every_row_and_its_order(engine: impl Engine) {
    let store = engine.open().await;
    let keys: Vec<_> = (1..=1_234).map(key).collect();
    let changes = keys.iter().map(insert).collect();
    let events = keys
        .iter()
        .zip(0..)
        .map(|(key, n)| event(Some(key.id), n))
        .collect::<Vec<_>>();
    store
        .commit(Commit {
            changes,
            events: events.clone(),
        })
        .await
        .unwrap();
    assert_eq!(store.keys_after(None, 2_000).await.unwrap().records, keys);
    let feed = store.feed_since(FeedPosition(0), 2_000).await.unwrap();
    assert_eq!(feed.keys, keys);
    assert_eq!(assert_whole(&*store).await, 1 + 1_234);
    let log = store.audit_after(1, 2_000).await.unwrap();
    assert!(log.into_iter().map(|record| record.event).eq(events));
}

pub async fn a_duplicate_within_a_large_commit_undoes_all_of_it(engine: impl Engine) {
    let store = engine.open().await;
    let mut changes: Vec<_> = (1..=500).map(|number| insert(&key(number))).collect();
    changes.push(insert(&key(250)));
    let refusal = store
        .commit(Commit {
            changes,
            events: vec![event(None, 1)],
        })
        .await;
    assert_eq!(refusal, Err(StoreError::Conflict));
    assert_eq!(store.keys_after(None, 1).await.unwrap().records, []);
    assert_eq!(store.health().await.unwrap().keys, 0);
}

pub async fn commits_from_many_tasks_at_once_all_stand(engine: impl Engine) {
    let (one, other) = (engine.open().await, engine.open().await);
    let tasks = (0..50).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
        tokio::spawn(async move {
            let changes = vec![insert(&key(number))];
            let events = vec![
                event(Some(key(number).id), 1),
                event(Some(key(number).id), 2),
            ];
            store.commit(Commit { changes, events }).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert_eq!(one.keys_after(None, 100).await.unwrap().records.len(), 50);
    assert_eq!(assert_whole(&*one).await, 1 + 100);
}

pub async fn of_changes_of_one_version_at_once_one_wins(engine: impl Engine) {
    let (one, other) = (engine.open().await, engine.open().await);
    change(&*one, [insert(&key(1))]).await;
    let tasks = (0..20).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
        let changed = KeyRecord {
            name: format!("Name {number}"),
            ..key(1)
        };
        let events = vec![event(Some(changed.id), number)];
        let commit = Commit {
            changes: vec![update(&changed)],
            events,
        };
        tokio::spawn(async move { (changed.name, store.commit(commit).await) })
    });
    let mut winners = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            (name, Ok(())) => winners.push(name),
            (_, refusal) => assert_eq!(refusal, Err(StoreError::Conflict)),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(one.key(key(1).id).await.unwrap().unwrap().name, winners[0]);
    assert_eq!(assert_whole(&*one).await, 1 + 1);
}

pub async fn a_commit_is_written_though_nobody_waits_for_it(engine: impl Engine) {
    let store = engine.open().await;
    let abandoned = Commit {
        changes: vec![insert(&key(1))],
        events: vec![],
    };
    assert!(store.commit(abandoned).now_or_never().is_none());
    // It was handed over first, so it is written by the time this is.
    change(&*store, [insert(&key(2))]).await;
    assert_eq!(
        store.keys_after(None, 10).await.unwrap().records,
        [key(1), key(2)]
    );
}

pub async fn what_was_committed_is_there_after_a_restart(engine: impl Engine) {
    let store = engine.open().await;
    let changes = vec![
        insert(&key(1)),
        Change::InsertDataKey(data_key(key(1).id, 1)),
    ];
    store
        .commit(Commit {
            changes,
            events: vec![event(None, 1)],
        })
        .await
        .unwrap();
    store.close().await;
    let store = engine.open().await;
    assert_eq!(store.keys_after(None, 10).await.unwrap().records, [key(1)]);
    assert_eq!(
        store.data_keys(key(1).id).await.unwrap(),
        [data_key(key(1).id, 1)]
    );
    assert_eq!(assert_whole(&*store).await, 2);
    store
        .commit(Commit {
            changes: vec![],
            events: vec![event(None, 2)],
        })
        .await
        .unwrap();
    assert_eq!(assert_whole(&*store).await, 3);
}

pub async fn a_closed_store_is_unavailable(engine: impl Engine) {
    let store = engine.open().await;
    store.close().await;
    store.close().await;
    let unavailable = |error: StoreError| matches!(error, StoreError::Unavailable(_));
    assert!(unavailable(
        store.commit(Commit::default()).await.unwrap_err()
    ));
    assert!(unavailable(store.key(key(1).id).await.unwrap_err()));
}
