//! The store on SQLite: one file, one connection that writes ([`writer`]), a few that read
//! ([`Readers`]). Other processes may use the file at the same time.
//!
//! Each module owns the tables it is named after, both what is written to them and what is read.

mod addresses;
pub mod connect;
mod data_keys;
mod error;
mod feed;
#[cfg(test)]
pub mod fixture;
mod health;
mod keys;
mod listing;
mod log;
#[cfg(test)]
mod plans;
mod revocations;
mod schema;
mod session_keys;
mod signing_keys;
mod snapshot;
pub mod statement;
mod transaction;
mod use_batch;
mod users;
mod uses;
mod writer;

pub use self::error::describe;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sealgate_core::audit::{self, Chain};
use sealgate_core::clock::{Clock, Timestamp};
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord};
use sealgate_core::master::MasterKey;
use sealgate_core::random::Random;
use sealgate_core::revocation::Revocation;
use sealgate_core::store::{
    Commit, DataKey, Feed, FeedPosition, Health, KeyQuery, Keys, SessionKeyRecord,
    SigningKeyRecord, Store, StoreError, UserQuery, Users,
};
use sealgate_core::tally::Counted;
use sealgate_core::user::UserRecord;
use sqlx::sqlite::SqlitePool;

use self::schema::Keeper;
use self::writer::Pen;
use crate::cipher::ColumnCipher;
use crate::queue::{Work, Writer};

/// Where the database is.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The database file. SQLite puts two more beside it while it is in use.
    pub path: PathBuf,
    /// Whether to make it if it is not there.
    pub create: bool,
}

/// A [`Store`] in a file.
pub struct Sqlite {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    /// Whether this process has put counts down that are not added up at once.
    has_put_down: AtomicBool,
}

/// The connections that read.
struct Readers {
    pool: SqlitePool,
    cipher: Arc<ColumnCipher>,
}

impl Sqlite {
    /// Opens a store, of an earlier version too, or sets up a new one. Runs on Tokio.
    ///
    /// # Errors
    /// If the file cannot be used, is newer than this program, or belongs to another master key.
    pub async fn open(
        options: SqliteOptions,
        master: &MasterKey,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let path = connect::database_file(&options.path, options.create)?;
        let mut connection = connect::writer(&path).await?;
        let chain = Chain::new(&master.audit_key());
        let keeper = Keeper {
            master,
            chain: &chain,
            random,
            now: clock.now(),
        };
        let cipher = Arc::new(keeper.open(&mut connection).await?);
        let readers = Readers {
            pool: connect::readers(&path),
            cipher: Arc::clone(&cipher),
        };
        let writer = Writer::start(Pen::new(connection, cipher, chain));
        Ok(Self {
            path,
            readers,
            writer,
            has_put_down: AtomicBool::new(false),
        })
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqlite({})", self.path.display())
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.writer.write(Work::Commit(commit)).await.map(drop)
    }

    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.readers.key(id).await?)
    }

    async fn keys_with_prefixes(&self, prefixes: &[KeyPrefix]) -> Result<Keys, StoreError> {
        Ok(self.readers.keys_with_prefixes(prefixes).await?)
    }

    async fn keys_with_ids(&self, ids: &[KeyId]) -> Result<Keys, StoreError> {
        Ok(self.readers.keys_with_ids(ids).await?)
    }

    async fn keys(&self, query: &KeyQuery) -> Result<Keys, StoreError> {
        Ok(self.readers.keys(query).await?)
    }

    async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, StoreError> {
        Ok(self.readers.keys_after(after, limit).await?)
    }

    async fn keys_to_expire(&self, now: Timestamp, limit: u32) -> Result<Keys, StoreError> {
        Ok(self.readers.keys_to_expire(now, limit).await?)
    }

    async fn feed_position(&self) -> Result<FeedPosition, StoreError> {
        Ok(self.readers.feed_position().await?)
    }

    async fn feed_since(&self, after: FeedPosition, limit: u32) -> Result<Feed, StoreError> {
        Ok(self.readers.feed_since(after, limit).await?)
    }

    async fn audit(&self, query: &audit::Query) -> Result<Vec<audit::Record>, StoreError> {
        Ok(self.readers.audit(query).await?)
    }

    async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<audit::Record>, StoreError> {
        Ok(self.readers.audit_after(after, limit).await?)
    }

    async fn audit_head(&self) -> Result<Option<audit::Head>, StoreError> {
        Ok(self.readers.audit_head().await?)
    }

    async fn add_uses(&self, counted: &[Counted]) -> Result<(), StoreError> {
        if counted.len() > uses::FEW {
            self.has_put_down.store(true, Ordering::Relaxed);
        }
        self.writer
            .write(Work::AddUses(counted.to_vec()))
            .await
            .map(drop)
    }

    async fn open_uses(&self, key_id: KeyId) -> Result<Vec<Counted>, StoreError> {
        Ok(self.readers.open_uses(key_id).await?)
    }

    async fn close_uses(
        &self,
        minute: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.writer
            .write(Work::CloseUses { minute, now, limit })
            .await
    }

    async fn data_keys(&self, lineage: KeyId) -> Result<Vec<DataKey>, StoreError> {
        Ok(self.readers.data_keys(lineage).await?)
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        Ok(self.readers.signing_keys().await?)
    }

    async fn user(&self, folded: &str) -> Result<Option<UserRecord>, StoreError> {
        Ok(self.readers.user(folded).await?)
    }

    async fn users(&self, query: &UserQuery) -> Result<Users, StoreError> {
        Ok(self.readers.users(query).await?)
    }

    async fn known_addresses(&self, account: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.readers.known_addresses(account).await?)
    }

    async fn revocations_after(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        Ok(self.readers.revocations_after(after, limit).await?)
    }

    async fn forget_revocations(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.writer
            .write(Work::ForgetRevocations { now, limit })
            .await
    }

    async fn session_keys(&self) -> Result<Vec<SessionKeyRecord>, StoreError> {
        Ok(self.readers.session_keys().await?)
    }

    async fn health(&self) -> Result<Health, StoreError> {
        Ok(self.readers.health().await?)
    }

    async fn close(&self) {
        self.readers.pool.close().await;
        if self.has_put_down.load(Ordering::Relaxed) {
            // Added up now, it is seen by whoever opens the store next.
            let beginning = Timestamp::from_millis(0);
            if let Err(error) = self.close_uses(beginning, beginning, 0).await {
                tracing::warn!(%error, "counts of requests are added to their keys at the next start");
            }
        }
        self.writer.close().await;
    }
}
