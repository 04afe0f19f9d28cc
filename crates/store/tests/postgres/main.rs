//! The store on PostgreSQL: the conformance suite, and what is PostgreSQL's own.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod cold;
#[path = "../conformance/mod.rs"]
mod conformance;
mod limits;
mod outages;
#[path = "../support/postgres_server.rs"]
mod postgres_server;
mod processes;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use sealgate_core::clock::ManualClock;
use sealgate_core::master::MasterKey;
use sealgate_core::random::SystemRandom;
use sealgate_core::store::{Change, Commit, Store, StoreError};
use sealgate_store::{Postgres, PostgresOptions};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use self::conformance::records::event;
use self::conformance::{BIRTH, conformance, master};
use self::postgres_server::PostgresServer;

conformance!(Place);

#[async_trait]
impl conformance::Engine for Place {
    async fn fresh() -> Self {
        Self(PostgresServer::shared().schema())
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Self::open(self).await)
    }
}

/// The URL of one database, or of a schema in it.
struct Place(String);

impl Place {
    /// A new one on the server that the tests share.
    fn new() -> Self {
        Self(PostgresServer::shared().database())
    }

    async fn open(&self) -> Postgres {
        open(&self.0, true, &master()).await.unwrap()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.0).await.unwrap()
    }

    /// Writes to the database behind the store's back; says how many rows it changed.
    async fn tamper(&self, sql: &str) -> u64 {
        let mut connection = self.connect().await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        done.rows_affected()
    }
}

async fn open(url: &str, create: bool, master: &MasterKey) -> Result<Postgres, StoreError> {
    let options = PostgresOptions::parse(url).unwrap();
    let clock = Arc::new(ManualClock::at(BIRTH));
    Postgres::open(options, create, master, Arc::new(SystemRandom), clock).await
}

async fn commit(store: &Postgres, changes: impl IntoIterator<Item = Change>) {
    try_commit(store, changes).await.unwrap();
}

async fn try_commit(
    store: &Postgres,
    changes: impl IntoIterator<Item = Change>,
) -> Result<(), StoreError> {
    let changes = changes.into_iter().collect();
    let events = vec![event(None, 1)];
    store.commit(Commit { changes, events }).await
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
