//! The store on PostgreSQL, for many processes on many machines: one connection of each that appends
//! ([`writer`]), one that counts uses, one that counts requests with a limit ([`limits`]), a few that read
//! ([`readers`]), and one that listens ([`news`]).
//!
//! The SQL is what databases that are compatible with PostgreSQL know too: row locks and no advisory
//! ones, numbers given out under a lock and not by a sequence, notifications that nothing depends on.
//! Each module owns the tables it is named after, both what is written to them and what is read.

mod addresses;
pub mod connect;
mod data_keys;
pub mod error;
mod feed;
mod health;
mod keys;
mod limits;
pub mod log;
mod news;
#[cfg(test)]
mod plans;
mod readers;
mod revocations;
pub mod schema;
mod session_keys;
mod signing_keys;
pub mod statement;
mod transaction;
mod users;
mod uses;
mod writer;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sealgate_core::audit::{self, Chain};
use sealgate_core::clock::{Clock, Timestamp};
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord};
use sealgate_core::master::MasterKey;
use sealgate_core::random::Random;
use sealgate_core::revocation::Revocation;
use sealgate_core::shared_limits::LimitKeeper;
use sealgate_core::store::{
    Commit, DataKey, Feed, FeedPosition, Health, KeyQuery, Keys, SessionKeyRecord,
    SigningKeyRecord, Store, StoreError, UserQuery, Users,
};
use sealgate_core::tally::Counted;
use sealgate_core::user::UserRecord;
use tokio::task::JoinSet;

pub use self::connect::{NotAUrl, PostgresOptions};
use self::error::Fault;
pub use self::error::describe;
use self::limits::Limits;
use self::news::News;
use self::readers::Readers;
use self::schema::Keeper;
use self::writer::Pen;
use crate::failure::Failure;
use crate::queue::{Work, Writer};

/// A [`Store`] in a database of PostgreSQL.
pub struct Postgres {
    options: PostgresOptions,
    readers: Arc<Readers>,
    /// Appends to the audit log and the change feed.
    writer: Writer,
    /// Counts uses, beside it: what waits for them is a change of a key that was just used, and not long.
    counter: Writer,
    limits: Arc<Limits>,
    news: News,
}

impl Postgres {
    /// Opens a store, of an earlier version too; sets up a new one if asked to. Runs on Tokio.
    ///
    /// # Errors
    /// If the database cannot be used, is newer than this program, or belongs to another master key.
    pub async fn open(
        options: PostgresOptions,
        create: bool,
        master: &MasterKey,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let mut connection = options.connect().await?;
        let chain = Chain::new(&master.audit_key());
        let keeper = Keeper {
            options: &options,
            master,
            chain: &chain,
            random: Arc::clone(&random),
            now: clock.now(),
            create,
        };
        let cipher = Arc::new(keeper.open(&mut connection).await?);
        let pen = |options, connection| Pen {
            options,
            connection,
            cipher: Arc::clone(&cipher),
            chain: Chain::new(&master.audit_key()),
            random: Arc::clone(&random),
            notifies: true,
            is_ending: false,
        };
        Ok(Self {
            readers: Arc::new(Readers::new(options.clone(), Arc::clone(&cipher))),
            writer: Writer::start(pen(options.clone(), Some(connection))),
            counter: Writer::start(pen(options.clone().for_counts(), None)),
            limits: Arc::new(Limits::of(options.clone())),
            news: News::of(options.clone()),
            options,
        })
    }
}

impl Postgres {
    /// Whether a database holds a store.
    ///
    /// # Errors
    /// If it cannot be asked, or holds something else.
    pub async fn is_in(options: &PostgresOptions) -> Result<bool, StoreError> {
        let mut connection = options.connect().await?;
        let found = options.in_time(schema::version(&mut connection)).await;
        connect::close(connection).await;
        Ok(found.map_err(Fault::into_failure)?.is_some())
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.options)
    }
}

#[async_trait]
impl Store for Postgres {
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
        let (readers, query) = (Arc::clone(&self.readers), query.clone());
        on_its_own(async move { readers.keys(&query).await }).await
    }

    async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, StoreError> {
        let readers = Arc::clone(&self.readers);
        on_its_own(async move { readers.keys_after(after, limit).await }).await
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
        self.counter
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

    async fn news(&self) {
        self.news.wait().await;
    }

    fn limit_keeper(&self) -> Option<Arc<dyn LimitKeeper>> {
        Some(Arc::clone(&self.limits) as Arc<dyn LimitKeeper>)
    }

    async fn close(&self) {
        self.news.close();
        self.limits.close().await;
        self.readers.close().await;
        self.counter.close().await;
        self.writer.close().await;
    }
}

/// Reads in a task of its own, so that of who reads two long pages at once two threads are at work; it ends
/// with who waits for it.
async fn on_its_own<T: Send + 'static>(
    read: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, StoreError> {
    let mut tasks = JoinSet::new();
    tasks.spawn(read);
    match tasks.join_next().await {
        Some(Ok(read)) => Ok(read?),
        _ => Err(StoreError::Unavailable("who read stopped".to_owned())),
    }
}
