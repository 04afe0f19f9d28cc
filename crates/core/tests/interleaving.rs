//! The races that decide whether a revocation holds, each forced to its worst order by a store that
//! stops where the test says.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use sealgate_core::audit;
use sealgate_core::authority::Settings;
use sealgate_core::clock::Timestamp;
use sealgate_core::error::{Error, Reason};
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord, Status};
use sealgate_core::revocation::Revocation;
use sealgate_core::store::{
    Commit, DataKey, Feed, FeedPosition, Health, KeyQuery, Keys, SessionKeyRecord,
    SigningKeyRecord, Store, StoreError, UserQuery, Users,
};
use sealgate_core::tally::Counted;
use sealgate_core::user::UserRecord;
use support::{Site, create, operator, present, reason, request};
use tokio::sync::Semaphore;

/// A real store whose look-ups by prefix and loading wait, after reading and before answering, until let go.
struct Gate {
    store: Arc<dyn Store>,
    is_closed: AtomicBool,
    is_broken: AtomicBool,
    is_mute: AtomicBool,
    is_lost_once: AtomicBool,
    cannot_load: AtomicBool,
    waiting: Semaphore,
    passage: Semaphore,
    questions: AtomicUsize,
    feed_readings: AtomicUsize,
}

impl Gate {
    async fn before(site: &Site) -> Arc<Self> {
        Arc::new(Self {
            store: site.store().await,
            is_closed: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            is_lost_once: AtomicBool::new(false),
            cannot_load: AtomicBool::new(false),
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
    async fn somebody_waits(&self) {
        self.waiting.acquire().await.expect("open").forget();
    }

    fn open(&self) {
        self.is_closed.store(false, SeqCst);
        self.passage.add_permits(1_000);
    }
}

#[tokio::test]
async fn a_look_up_that_read_before_a_revoke_cannot_bring_the_key_back() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let elsewhere = site.command_line().await;
    let created = Arc::new(create(&elsewhere, "raced").await);
    gate.is_closed.store(true, SeqCst);

    // The server has never heard of the key: it asks, reads it active, and is stopped there.
    let asking = tokio::spawn({
        let (server, created) = (server.clone(), created.clone());
        async move { present(&server, &created).await }
    });
    gate.somebody_waits().await;

    // Meanwhile the key is revoked elsewhere and this server reads of it.
    elsewhere
        .revoke(&created.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    server.sync().await.unwrap();

    // The look-up goes on with what it read.
    gate.open();
    assert_eq!(
        reason(asking.await.unwrap()),
        Reason::KeyIs(Status::Revoked)
    );
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Revoked)
    );
}

#[tokio::test]
async fn loading_that_read_before_a_revoke_cannot_bring_the_key_back() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.authority(gate.clone(), Settings::default()));
    server.start().await.unwrap();
    let elsewhere = site.command_line().await;
    let created = create(&elsewhere, "raced").await;
    gate.is_closed.store(true, SeqCst);

    // Loading reads the key active, and is stopped there.
    let loading = tokio::spawn({
        let server = server.clone();
        async move { server.load_keys().await }
    });
    gate.somebody_waits().await;
    assert!(server.keyring().is_empty());
    elsewhere
        .revoke(&created.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    server.sync().await.unwrap();

    gate.open();
    loading.await.unwrap().unwrap();
    assert!(server.is_loaded());
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Revoked)
    );
}

#[tokio::test]
async fn of_a_store_of_many_pages_every_key_is_loaded() {
    let site = Site::new();
    let elsewhere = site.command_line().await;
    let requests = |count| (0..count).map(|number| request(&format!("k{number}")));
    let mut created = Vec::new();
    // Less than a page, then a few, and a part of one.
    for count in [3_000, 12_000] {
        let made = elsewhere
            .create_many(requests(count).collect(), &operator())
            .await
            .unwrap();
        created.extend(made);
        let gate = Gate::before(&site).await;
        let server = site.server_with(gate.clone(), Settings::default()).await;
        assert_eq!(server.keyring().len(), created.len());
        for key in created.iter().step_by(997) {
            assert!(present(&server, key).await.is_ok());
        }
        assert_eq!(gate.questions.load(SeqCst), 0);
    }
}

#[tokio::test]
async fn a_look_up_that_read_before_the_feed_was_lost_is_asked_again() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let asking = tokio::spawn({
        let (server, created) = (server.clone(), created.clone());
        async move { present(&server, &created).await.is_ok() }
    });
    gate.somebody_waits().await;

    // What it read may be of a store that is no more. Reading all keys anew is stopped too.
    gate.is_lost_once.store(true, SeqCst);
    let syncing = tokio::spawn({
        let server = server.clone();
        async move { server.sync().await }
    });
    gate.somebody_waits().await;
    assert!(server.keyring().is_empty() && !server.is_loaded());

    gate.open();
    assert!(asking.await.unwrap());
    syncing.await.unwrap().unwrap();
    assert_eq!(gate.questions.load(SeqCst), 2);
    assert!(server.is_loaded() && present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn keys_to_be_read_anew_are_read_once_the_store_is_back() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    let created = create(&server, "k").await;
    gate.is_lost_once.store(true, SeqCst);
    gate.cannot_load.store(true, SeqCst);
    assert!(server.sync().await.is_err());
    assert!(!server.is_loaded());
    assert!(
        present(&server, &created).await.is_ok(),
        "the store is asked"
    );
    assert!(server.sync().await.is_err());
    gate.cannot_load.store(false, SeqCst);
    server.sync().await.unwrap();
    assert!(server.is_loaded());
}

#[tokio::test]
async fn requests_that_wait_for_news_after_a_pause_share_one_reading_of_the_feed() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let created = Arc::new(create(&server, "k").await);
    site.clock.advance_millis(60_000);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (server, created) = (server.clone(), created.clone());
            tokio::spawn(async move { present(&server, &created).await.is_ok() })
        })
        .collect();
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    assert_eq!(gate.feed_readings.load(SeqCst), 1);
}

#[tokio::test]
async fn a_thousand_requests_for_a_cold_key_ask_the_store_once() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let asking: Vec<_> = (0..1_000)
        .map(|_| {
            let (server, created) = (server.clone(), created.clone());
            tokio::spawn(async move { present(&server, &created).await.is_ok() })
        })
        .collect();
    gate.somebody_waits().await;
    gate.open();
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    assert_eq!(gate.questions.load(SeqCst), 1);
}

#[tokio::test]
async fn questions_that_wait_for_their_turn_are_asked_as_one() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let elsewhere = site.command_line().await;
    let mut created = Vec::new();
    for number in 0..32 {
        created.push(create(&elsewhere, &format!("cold {number}")).await);
    }
    gate.is_closed.store(true, SeqCst);
    let asking: Vec<_> = created
        .into_iter()
        .map(|created| {
            let server = server.clone();
            tokio::spawn(async move { present(&server, &created).await.is_ok() })
        })
        .collect();
    // As many as there are places have read; the others wait for these.
    for _ in 0..4 {
        gate.somebody_waits().await;
    }
    gate.open();
    for asked in asking {
        assert!(asked.await.unwrap());
    }
    assert_eq!(gate.questions.load(SeqCst), 5);
}

#[tokio::test]
async fn everybody_who_waits_for_a_question_hears_that_it_failed() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    gate.is_mute.store(true, SeqCst);
    let ask = || {
        let (server, created) = (server.clone(), created.clone());
        tokio::spawn(async move { present(&server, &created).await })
    };
    let asking: Vec<_> = (0..100).map(|_| ask()).collect();
    gate.somebody_waits().await;
    gate.open();
    for asked in asking {
        assert!(matches!(asked.await.unwrap(), Err(Error::Unavailable(_))));
    }
    assert_eq!(gate.questions.load(SeqCst), 1);
    gate.is_mute.store(false, SeqCst);
    assert!(present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn a_question_goes_on_for_the_others_when_who_put_it_hangs_up() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = Arc::new(site.server_with(gate.clone(), Settings::default()).await);
    let created = Arc::new(create(&site.command_line().await, "cold").await);
    gate.is_closed.store(true, SeqCst);
    let ask = || {
        let (server, created) = (server.clone(), created.clone());
        tokio::spawn(async move { present(&server, &created).await.is_ok() })
    };
    let first = ask();
    gate.somebody_waits().await;
    let others: Vec<_> = (0..10).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.is_err());
    gate.somebody_waits().await;
    let late = ask();
    gate.open();
    for asked in others {
        assert!(asked.await.unwrap());
    }
    assert!(late.await.unwrap());
    assert_eq!(
        gate.questions.load(SeqCst),
        2,
        "that of the first, and one for all others"
    );
}

#[tokio::test]
async fn absent_keys_are_asked_for_once_and_known_as_soon_as_they_are_made() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    let other_site = Site::new();
    let stranger = create(&other_site.command_line().await, "stranger").await;
    for _ in 0..10 {
        assert_eq!(
            reason(present(&server, &stranger).await),
            Reason::UnknownKey
        );
    }
    assert_eq!(gate.questions.load(SeqCst), 1);
    site.clock.advance_millis(30_001);
    server.sync().await.unwrap();
    assert_eq!(
        reason(present(&server, &stranger).await),
        Reason::UnknownKey
    );
    assert_eq!(gate.questions.load(SeqCst), 2);
}

#[tokio::test]
async fn without_news_from_the_store_nobody_is_honoured_past_the_allowed_time() {
    let site = Site::new();
    let gate = Gate::before(&site).await;
    let server = site.server_with(gate.clone(), Settings::default()).await;
    let created = create(&server, "k").await;
    gate.is_broken.store(true, SeqCst);
    assert!(server.sync().await.is_err());
    site.clock.advance_millis(1_000);
    assert!(present(&server, &created).await.is_ok());
    site.clock.advance_millis(1);
    assert!(matches!(
        present(&server, &created).await,
        Err(Error::Unavailable(_))
    ));
    gate.is_broken.store(false, SeqCst);
    assert!(present(&server, &created).await.is_ok());
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
        let feed = self.store.feed_since(after, limit).await?;
        let lost = self.is_lost_once.swap(false, SeqCst);
        Ok(Feed { lost, ..feed })
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
        self.store.revocations_after(after, limit).await
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
