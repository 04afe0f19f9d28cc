//! The file: its mode, its version, whose it is, and who else uses it.

use std::sync::Arc;

use sealgate_core::master::MasterKey;
use sealgate_core::secret::Secret;
use sealgate_core::store::{KeyQuery, Store as _, StoreError};
use sealgate_store::Sqlite;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::conformance::keys::SCHEMA;
use crate::conformance::master;
use crate::conformance::records::{insert, key};
use crate::{Place, commit, is_unavailable, is_unreadable, open};

#[cfg(unix)]
#[tokio::test]
async fn the_database_and_the_files_beside_it_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [insert(&key(1))]).await;
    store.key(key(1).id).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(place.0.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn closing_the_last_store_leaves_one_file() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    commit(&one, [insert(&key(1))]).await;
    one.close().await;
    assert_eq!(other.key(key(1).id).await.unwrap(), Some(key(1)));
    other.close().await;
    assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_made_only_if_asked_for() {
    let place = Place::new();
    is_unavailable(reopen(&place, false).await, "there is none at");
    assert!(!place.file().exists());
    place.open().await.close().await;
    reopen(&place, false).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_said() {
    let opened = open("/nonexistent/x.db".into(), true, &master()).await;
    is_unavailable(opened, "/nonexistent/x.db cannot be created");
}

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
async fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::new();
    place.open().await.close().await;
    place.tamper("UPDATE meta SET schema_version = 999").await;
    let refusal = reopen(&place, true).await.unwrap_err();
    assert_eq!(
        refusal,
        StoreError::NewerSchema {
            found: 999,
            known: SCHEMA
        }
    );
    assert_eq!(
        place
            .tamper(&format!(
                "UPDATE meta SET schema_version = {SCHEMA} WHERE schema_version = 999"
            ))
            .await,
        1
    );
    reopen(&place, true).await.unwrap();
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_alone() {
    let place = Place::new();
    place
        .tamper("CREATE TABLE invoices (id INTEGER PRIMARY KEY)")
        .await;
    is_unreadable(reopen(&place, true).await, "another program");
    assert_eq!(place.tamper("INSERT INTO invoices VALUES (1)").await, 1);

    let place = Place::new();
    std::fs::write(
        place.file(),
        "just some text, longer than the header of a database",
    )
    .unwrap();
    is_unreadable(reopen(&place, true).await, "no SQLite database");
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_at_once() {
    let place = Place::new();
    place.open().await.close().await;
    is_unreadable(
        open(place.file(), true, &MasterKey::new(Secret::new([2; 32]))).await,
        "this master key does not belong to this store",
    );
    reopen(&place, true).await.unwrap();
}

#[tokio::test]
async fn a_name_like_a_uri_is_a_plain_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file:memdb?mode=memory");
    open(path.clone(), true, &master())
        .await
        .unwrap()
        .close()
        .await;
    assert!(std::fs::metadata(path).unwrap().len() > 0);
}

#[tokio::test]
async fn reading_goes_on_while_another_process_holds_the_write_lock() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [insert(&key(1))]).await;
    let mut other = SqliteConnectOptions::new()
        .filename(place.file())
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let (listed, (), ()) = tokio::join!(
        async {
            let listed = store
                .keys(&KeyQuery {
                    limit: 10,
                    ..KeyQuery::default()
                })
                .await;
            sqlx::query("COMMIT").execute(&mut other).await.unwrap();
            listed
        },
        commit(&store, [insert(&key(2))]),
        commit(&store, [insert(&key(3))]),
    );
    assert_eq!(listed.unwrap().records, [key(1)]);
    assert_eq!(store.keys_after(None, 10).await.unwrap().records.len(), 3);
}

async fn reopen(place: &Place, create: bool) -> Result<Sqlite, StoreError> {
    open(place.file(), create, &master()).await
}
