//! Keys that sign session tokens: made, retired, removed.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::{Change, Commit, SessionKeyRecord, StoreError};

use super::records::session_key;
use super::{BIRTH, Engine, change};

pub async fn session_keys_come_newest_first(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.session_keys().await.unwrap(), []);
    let retired = SessionKeyRecord {
        signs_from: Some(later(50)),
        verify_until: Some(later(100)),
        ..session_key(2)
    };
    let keys = [session_key(1), session_key(3), retired.clone()];
    change(&*store, keys.map(Change::InsertSessionKey)).await;
    let newest_first = [session_key(3), retired, session_key(1)];
    assert_eq!(store.session_keys().await.unwrap(), newest_first);
}

pub async fn a_session_key_is_inserted_once(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [Change::InsertSessionKey(session_key(1))]).await;
    let again = SessionKeyRecord {
        kid: session_key(1).kid,
        ..session_key(2)
    };
    let commit = Commit {
        changes: vec![Change::InsertSessionKey(again)],
        events: vec![],
    };
    assert_eq!(store.commit(commit).await, Err(StoreError::Conflict));
    assert_eq!(store.session_keys().await.unwrap(), [session_key(1)]);
}

pub async fn a_retired_key_verifies_until_the_earlier_moment(engine: impl Engine) {
    let store = engine.open().await;
    let retire = |seconds| Change::RetireSessionKeys {
        verify_until: later(seconds),
    };
    let retired = |number, seconds| SessionKeyRecord {
        verify_until: Some(later(seconds)),
        ..session_key(number)
    };
    change(&*store, [retire(1)]).await;
    change(&*store, [Change::InsertSessionKey(session_key(1))]).await;
    change(
        &*store,
        [retire(100), Change::InsertSessionKey(session_key(2))],
    )
    .await;
    let rotated = [session_key(2), retired(1, 100)];
    assert_eq!(store.session_keys().await.unwrap(), rotated);
    change(
        &*store,
        [retire(200), Change::InsertSessionKey(session_key(3))],
    )
    .await;
    let rotated_again = [session_key(3), retired(2, 200), retired(1, 100)];
    assert_eq!(store.session_keys().await.unwrap(), rotated_again);
    change(&*store, [retire(50)]).await;
    let cut_short = [retired(3, 50), retired(2, 50), retired(1, 50)];
    assert_eq!(store.session_keys().await.unwrap(), cut_short);
}

pub async fn a_key_is_removed_once_it_verifies_no_more(engine: impl Engine) {
    let store = engine.open().await;
    let retired = |number, seconds| SessionKeyRecord {
        verify_until: Some(later(seconds)),
        ..session_key(number)
    };
    let keys = [retired(1, 50), retired(2, 51), session_key(3)];
    change(&*store, keys.clone().map(Change::InsertSessionKey)).await;
    let [_, later_one, current] = keys;
    for now in [49, 50] {
        assert_eq!(store.session_keys().await.unwrap().len(), 3, "before {now}");
        change(&*store, [Change::RemoveSessionKeys { now: later(now) }]).await;
    }
    assert_eq!(
        store.session_keys().await.unwrap(),
        [current.clone(), later_one]
    );
    change(&*store, [Change::RemoveSessionKeys { now: later(900) }]).await;
    assert_eq!(
        store.session_keys().await.unwrap(),
        [current],
        "the one that signs stays"
    );
}

fn later(seconds: i64) -> Timestamp {
    BIRTH.plus_seconds(seconds)
}
