//! A store that stops, or fails, where a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use sealgate_core::audit;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord};
use sealgate_core::revocation::Revocation;
use sealgate_core::store::{
    Commit, DataKey, Feed, FeedPosition, Health, KeyQuery, Keys, SessionKeyRecord,
    SigningKeyRecord, Store, StoreError, UserQuery, Users,
};
use sealgate_core::tally::Counted;
use sealgate_core::user::UserRecord;
use tokio::sync::Semaphore;

use super::Site;

/// A real store whose look-ups by prefix, loading, and readings of revocations and of the feed's end wait until let go:
/// the last before they read, the others after that and before they answer.
pub struct Gate {
    store: Arc<dyn Store>,
    pub is_closed: AtomicBool,
    pub is_broken: AtomicBool,
    pub is_mute: AtomicBool,
    pub is_lost_once: AtomicBool,
    pub cannot_load: AtomicBool,
    pub cannot_read_server_keys: AtomicBool,
    waiting: Semaphore,
    passage: Semaphore,
    pub questions: AtomicUsize,
    pub feed_readings: AtomicUsize,
}

impl Gate {
    pub async fn before(site: &Site) -> Arc<Self> {
        Arc::new(Self {
            store: site.store().await,
            is_closed: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            is_lost_once: AtomicBool::new(false),
            cannot_load: AtomicBool::new(false),
            cannot_read_server_keys: AtomicBool::new(false),
            waiting: Semaphore::new(0),
            passage: Semaphore::new(0),
            questions: AtomicUsize::new(0),
            feed_readings: AtomicUsize::new(0),
        })
    }

    /// Waits until let go, if the gate is closed.
    async fn pass(&self) {
        if self.is_closed.load(SeqCst) {
            self.waiting.add_permits(1);
            self.passage.acquire().await.expect("open").forget();
        }
    }

    /// Until a look-up has read and waits.
    pub async fn somebody_waits(&self) {
        self.waiting.acquire().await.expect("open").forget();
    }

    pub fn open(&self) {
        self.is_closed.store(false, SeqCst);
        self.passage.add_permits(1_000);
    }
}

#[async_trait]
impl Store for Gate {
    async fn keys_with_prefixes(&self, prefixes: &[KeyPrefix]) -> Result<Keys, StoreError> {
        self.questions.fetch_add(1, SeqCst);
        let read = self.store.keys_with_prefixes(prefixes).await;
        self.pass().await;
        if self.is_mute.load(SeqCst) {
            return Err(StoreError::Unavailable("broken by the test".into()));
        }
        read
    }

    async fn keys_with_ids(&self, ids: &[KeyId]) -> Result<Keys, StoreError> {
        self.store.keys_with_ids(ids).await
    }

    async fn feed_since(&self, after: FeedPosition, limit: u32) -> Result<Feed, StoreError> {
        if self.is_broken.load(SeqCst) {
            return Err(StoreError::Unavailable("broken by the test".into()));
        }
        self.feed_readings.fetch_add(1, SeqCst);
        if self.is_lost_once.swap(false, SeqCst) {
            return Ok(Feed {
                position: self.store.feed_position().await?,
                lost: true,
                ..Feed::nothing_after(after)
            });
        }
        self.store.feed_since(after, limit).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.store.commit(commit).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.store.key(id).await
    }

    async fn keys(&self, query: &KeyQuery) -> Result<Keys, StoreError> {
        let read = self.store.keys(query).await;
        self.pass().await;
        read
    }

    async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, StoreError> {
        if self.cannot_load.load(SeqCst) {
            return Err(StoreError::Unavailable("broken by the test".into()));
        }
        let read = self.store.keys_after(after, limit).await;
        self.pass().await;
        read
    }

    async fn keys_to_expire(&self, now: Timestamp, limit: u32) -> Result<Keys, StoreError> {
        self.store.keys_to_expire(now, limit).await
    }

    async fn feed_position(&self) -> Result<FeedPosition, StoreError> {
        self.pass().await;
        self.store.feed_position().await
    }

    async fn audit(&self, query: &audit::Query) -> Result<Vec<audit::Record>, StoreError> {
        self.store.audit(query).await
    }

    async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<audit::Record>, StoreError> {
        self.store.audit_after(after, limit).await
    }

    async fn audit_head(&self) -> Result<Option<audit::Head>, StoreError> {
        self.store.audit_head().await
    }

    async fn add_uses(&self, counted: &[Counted]) -> Result<(), StoreError> {
        self.store.add_uses(counted).await
    }

    async fn open_uses(&self, key_id: KeyId) -> Result<Vec<Counted>, StoreError> {
        self.store.open_uses(key_id).await
    }

    async fn close_uses(
        &self,
        minute: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.store.close_uses(minute, now, limit).await
    }

    async fn data_keys(&self, lineage: KeyId) -> Result<Vec<DataKey>, StoreError> {
        self.store.data_keys(lineage).await
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        if self.cannot_read_server_keys.load(SeqCst) {
            return Err(StoreError::Unavailable("broken by the test".into()));
        }
        self.store.signing_keys().await
    }

    async fn user(&self, folded: &str) -> Result<Option<UserRecord>, StoreError> {
        self.store.user(folded).await
    }

    async fn users(&self, query: &UserQuery) -> Result<Users, StoreError> {
        self.store.users(query).await
    }

    async fn known_addresses(&self, account: &str) -> Result<Vec<String>, StoreError> {
        self.store.known_addresses(account).await
    }

    async fn revocations_after(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        let read = self.store.revocations_after(after, limit).await;
        self.pass().await;
        read
    }

    async fn forget_revocations(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.store.forget_revocations(now, limit).await
    }

    async fn session_keys(&self) -> Result<Vec<SessionKeyRecord>, StoreError> {
        self.store.session_keys().await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.store.health().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
