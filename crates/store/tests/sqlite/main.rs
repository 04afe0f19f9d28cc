//! The store on SQLite: the conformance suite, and what is SQLite's own.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../conformance/mod.rs"]
mod conformance;
mod file;
mod served;
mod tampered_users;
mod tampering;
mod upgrade;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sealgate_core::clock::ManualClock;
use sealgate_core::master::MasterKey;
use sealgate_core::random::SystemRandom;
use sealgate_core::store::{Change, Commit, Store, StoreError};
use sealgate_store::{Sqlite, SqliteOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use self::conformance::records::event;
use self::conformance::{BIRTH, conformance, master};

conformance!(Place);

#[async_trait]
impl conformance::Engine for Place {
    async fn fresh() -> Self {
        Self::new()
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Self::open(self).await)
    }
}

/// A directory for one database.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("sealgate.db")
    }

    async fn open(&self) -> Sqlite {
        open(self.file(), true, &master()).await.unwrap()
    }

    /// Writes to the file behind the store's back; says how many rows it changed.
    async fn tamper(&self, sql: &str) -> u64 {
        let options = SqliteConnectOptions::new()
            .filename(self.file())
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        done.rows_affected()
    }

    /// All bytes of the database and the files beside it.
    fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.0.path()).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

async fn open(path: PathBuf, create: bool, master: &MasterKey) -> Result<Sqlite, StoreError> {
    let clock = Arc::new(ManualClock::at(BIRTH));
    Sqlite::open(
        SqliteOptions { path, create },
        master,
        Arc::new(SystemRandom),
        clock,
    )
    .await
}

async fn commit(store: &Sqlite, changes: impl IntoIterator<Item = Change>) {
    let changes = changes.into_iter().collect();
    store
        .commit(Commit {
            changes,
            events: vec![event(None, 1)],
        })
        .await
        .unwrap();
}

fn is_unreadable<T: std::fmt::Debug>(result: Result<T, StoreError>, why: &str) {
    match result {
        Err(StoreError::Unreadable(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("not unreadable: {other:?}"),
    }
}

fn is_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>, why: &str) {
    match result {
        Err(StoreError::Unavailable(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("not unavailable: {other:?}"),
    }
}
