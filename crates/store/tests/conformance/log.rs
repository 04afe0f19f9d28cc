//! The audit log and its chain.

use std::net::IpAddr;

use sealgate_core::audit::{Action, Actor, Chain, Event, Origin, Query, Record, Walk};
use sealgate_core::store::{Commit, Store};

use super::records::{event, key};
use super::{BIRTH, Engine, master};

/// Walks the whole log; says how many records there are.
pub async fn assert_whole(store: &dyn Store) -> u64 {
    let chain = Chain::new(&master().audit_key());
    let head = store.audit_head().await.unwrap().unwrap();
    let mut walk = Walk::new(&chain);
    loop {
        let page = store.audit_after(walk.sequence(), 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        for record in &page {
            walk.step(record).unwrap();
        }
    }
    walk.finish(&head).unwrap();
    assert_eq!(walk.sequence(), head.sequence);
    head.sequence
}

pub async fn a_new_store_begins_its_log_with_its_creation(engine: impl Engine) {
    let store = engine.open().await;
    let log = store.audit_after(0, 10).await.unwrap();
    let born = Event::new(BIRTH, Action::StoreCreated, None, &Actor::System);
    assert_eq!(
        log.into_iter()
            .map(|record| record.event)
            .collect::<Vec<_>>(),
        [born]
    );
    assert_eq!(assert_whole(&*store).await, 1);
}

pub async fn opening_a_store_again_writes_nothing(engine: impl Engine) {
    let (one, other) = tokio::join!(engine.open(), engine.open());
    assert_eq!(assert_whole(&*one).await, 1);
    assert_eq!(assert_whole(&*other).await, 1);
}

pub async fn every_field_of_an_event_reads_back(engine: impl Engine) {
    let store = engine.open().await;
    let origin = |address: IpAddr| Origin {
        address: Some(address),
        user_agent: Some("curl/8.5.0 “ünï”".to_owned()),
        method: Some("POST".to_owned()),
        path: Some("/api/auth/keys".to_owned()),
        request_id: Some(uuid::Uuid::from_u128(1)),
    };
    let full = |address: IpAddr| {
        Event::new(
            BIRTH,
            Action::RequestRefused,
            Some(key(1).id),
            &Actor::Key(key(2).id),
        )
        .from(&origin(address))
        .with_status(403)
        .with_details([("reason", "expired".into()), ("count", 3.into())])
    };
    let bare = Event::new(
        BIRTH.plus_millis(1),
        Action::KeyExpired,
        None,
        &Actor::Anonymous,
    );
    let events = vec![
        full([192, 0, 2, 7].into()),
        full("2001:db8::1".parse().unwrap()),
        bare,
    ];
    store
        .commit(Commit {
            changes: vec![],
            events: events.clone(),
        })
        .await
        .unwrap();
    let log = store.audit_after(1, 10).await.unwrap();
    assert_eq!(
        log.into_iter()
            .map(|record| record.event)
            .collect::<Vec<_>>(),
        events
    );
    assert_whole(&*store).await;
}

pub async fn the_chain_holds_from_the_first_record_to_the_sealed_end(engine: impl Engine) {
    let store = engine.open().await;
    for size in [1, 0, 2, 130, 1] {
        let events = (0..size).map(|number| event(None, number)).collect();
        store
            .commit(Commit {
                changes: vec![],
                events,
            })
            .await
            .unwrap();
    }
    assert_eq!(assert_whole(&*store).await, 1 + 134);
}

pub async fn two_processes_write_one_chain(engine: impl Engine) {
    let processes = [engine.open().await, engine.open().await];
    for number in 0..10 {
        let process = &processes[number as usize % 2];
        let events = vec![event(None, number), event(None, number)];
        process
            .commit(Commit {
                changes: vec![],
                events,
            })
            .await
            .unwrap();
    }
    let [one, other] = processes;
    assert_eq!(assert_whole(&*one).await, 1 + 20);
    assert_eq!(
        one.audit_head().await.unwrap(),
        other.audit_head().await.unwrap()
    );
}

pub async fn the_log_is_paged_newest_first_whole_and_by_key(engine: impl Engine) {
    let store = engine.open().await;
    let ids = [Some(key(1).id), Some(key(2).id), None];
    let events = (0..31)
        .map(|number| event(ids[number as usize % 3], number))
        .collect();
    store
        .commit(Commit {
            changes: vec![],
            events,
        })
        .await
        .unwrap();
    let mut all = store.audit_after(0, 100).await.unwrap();
    all.reverse();
    assert_eq!(
        paged(
            &*store,
            Query {
                limit: 4,
                ..Query::default()
            }
        )
        .await,
        all
    );
    for id in &ids[..2] {
        let of_key: Vec<_> = all
            .iter()
            .filter(|record| record.event.key_id == *id)
            .cloned()
            .collect();
        assert!(of_key.len() > 4);
        assert_eq!(
            paged(
                &*store,
                Query {
                    key_id: *id,
                    limit: 4,
                    before: None
                }
            )
            .await,
            of_key
        );
    }
}

pub async fn the_log_is_followed_oldest_first(engine: impl Engine) {
    let store = engine.open().await;
    let events = (0..5).map(|number| event(None, number)).collect();
    store
        .commit(Commit {
            changes: vec![],
            events,
        })
        .await
        .unwrap();
    let sequences = |records: Vec<Record>| -> Vec<u64> {
        records.into_iter().map(|record| record.sequence).collect()
    };
    assert_eq!(sequences(store.audit_after(0, 3).await.unwrap()), [1, 2, 3]);
    assert_eq!(
        sequences(store.audit_after(3, 10).await.unwrap()),
        [4, 5, 6]
    );
    assert!(store.audit_after(6, 10).await.unwrap().is_empty());
}

async fn paged(store: &dyn Store, mut query: Query) -> Vec<Record> {
    let mut listed = Vec::new();
    loop {
        let page = store.audit(&query).await.unwrap();
        assert!(page.len() <= query.limit as usize);
        let Some(last) = page.last() else {
            return listed;
        };
        query.before = Some(last.sequence);
        listed.extend(page);
    }
}
