//! Data keys of lines of keys, and server keys.

use sealgate_core::store::{Change, Commit, Purpose, SigningKeyRecord, StoreError};
use sealgate_token::jwt::Algorithm;
use zeroize::Zeroizing;

use super::records::{data_key, key, signing_key};
use super::{BIRTH, Engine, change};

pub async fn data_keys_of_a_lineage_come_newest_first(engine: impl Engine) {
    let store = engine.open().await;
    let (one, other) = (key(1).id, key(2).id);
    let inserted = [
        data_key(one, 2),
        data_key(one, 1),
        data_key(other, 9),
        data_key(one, 10),
    ];
    change(&*store, inserted.map(Change::InsertDataKey)).await;
    let newest_first = [data_key(one, 10), data_key(one, 2), data_key(one, 1)];
    assert_eq!(store.data_keys(one).await.unwrap(), newest_first);
    assert_eq!(store.data_keys(other).await.unwrap(), [data_key(other, 9)]);
    assert_eq!(store.data_keys(key(3).id).await.unwrap(), []);
}

pub async fn a_version_of_a_data_key_is_made_once(engine: impl Engine) {
    let store = engine.open().await;
    let id = key(1).id;
    change(&*store, [Change::InsertDataKey(data_key(id, 1))]).await;
    let again = sealgate_core::store::DataKey {
        version: 1,
        ..data_key(id, 5)
    };
    let commit = Commit {
        changes: vec![Change::InsertDataKey(again)],
        events: vec![],
    };
    assert_eq!(store.commit(commit).await, Err(StoreError::Conflict));
    assert_eq!(store.data_keys(id).await.unwrap(), [data_key(id, 1)]);
}

pub async fn server_keys_come_newest_first(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.signing_keys().await.unwrap(), []);
    let long = SigningKeyRecord {
        algorithm: Algorithm::Es256,
        pkcs8: Zeroizing::new((0..=255).collect()),
        purpose: Purpose::Lists,
        signs_from: Some(BIRTH.plus_seconds(7)),
        verify_until: Some(BIRTH.plus_seconds(9)),
        ..signing_key(2)
    };
    let keys = [signing_key(1), signing_key(3), long.clone()];
    change(&*store, keys.map(Change::InsertSigningKey)).await;
    assert_eq!(
        store.signing_keys().await.unwrap(),
        [signing_key(3), long, signing_key(1)]
    );
}

pub async fn a_server_key_is_inserted_once(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [Change::InsertSigningKey(signing_key(1))]).await;
    let changes = vec![Change::InsertSigningKey(signing_key(1))];
    let refusal = store
        .commit(Commit {
            changes,
            events: vec![],
        })
        .await;
    assert_eq!(refusal, Err(StoreError::Conflict));
}

pub async fn a_retired_server_key_verifies_until_the_earlier_moment_and_is_removed(
    engine: impl Engine,
) {
    let store = engine.open().await;
    let later = |seconds| BIRTH.plus_seconds(seconds);
    let retire = |seconds| Change::RetireSigningKeys {
        verify_until: later(seconds),
    };
    let retired = |number, seconds| SigningKeyRecord {
        verify_until: Some(later(seconds)),
        ..signing_key(number)
    };
    let begin = store.feed_position().await.unwrap();
    change(&*store, [retire(1)]).await;
    let feed = store.feed_since(begin, 10).await.unwrap();
    assert!(!feed.signing_keys, "there was none");
    change(&*store, [Change::InsertSigningKey(signing_key(1))]).await;
    change(
        &*store,
        [retire(100), Change::InsertSigningKey(signing_key(2))],
    )
    .await;
    let begin = store.feed_position().await.unwrap();
    change(&*store, [retire(200)]).await;
    assert!(store.feed_since(begin, 10).await.unwrap().signing_keys);
    let both = [retired(2, 200), retired(1, 100)];
    assert_eq!(store.signing_keys().await.unwrap(), both);
    for (now, left) in [(99, 2), (100, 1), (200, 0)] {
        let begin = store.feed_position().await.unwrap();
        change(&*store, [Change::RemoveSigningKeys { now: later(now) }]).await;
        assert_eq!(store.signing_keys().await.unwrap().len(), left);
        let told = store.feed_since(begin, 10).await.unwrap().signing_keys;
        assert_eq!(told, now > 99);
    }
}
