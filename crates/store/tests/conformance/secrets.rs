//! Data keys of lines of keys, and server keys.

use sealgate_core::store::{Change, Commit, SigningKeyRecord, StoreError};
use sealgate_token::jwt::Algorithm;
use zeroize::Zeroizing;

use super::records::{data_key, key, signing_key};
use super::{Engine, change};

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
