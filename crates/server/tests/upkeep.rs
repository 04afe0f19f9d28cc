//! What a server does in the background, with a store that fails and hangs at will.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate_core::audit::{self, Origin};
use sealgate_core::authority::{Authority, Refused, Settings};
use sealgate_core::clock::{SystemClock, Timestamp};
use sealgate_core::error::{Denied, Reason};
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord};
use sealgate_core::master::MasterKey;
use sealgate_core::random::SystemRandom;
use sealgate_core::revocation::Revocation;
use sealgate_core::secret::Secret;
use sealgate_core::store::{
    Commit, DataKey, Feed, FeedPosition, Health, KeyQuery, Keys, Purpose, SessionKeyRecord,
    SigningKeyRecord, Store, StoreError, UserQuery, Users,
};
use sealgate_core::tally::Counted;
use sealgate_core::user::UserRecord;
use sealgate_server::upkeep;
use sealgate_token::jwt::{Algorithm, SigningKey};
use sealgate_token::paseto::SessionSigningKey;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

// The clock of these tests is tokio's paused one: it jumps to the next timer when nothing else is
// to be done, so that a minute passes at once and always the same way.

#[tokio::test(start_paused = true)]
async fn every_chore_is_done_at_its_cadence() {
    let upkeep = Upkeep::start(Arc::default()).await;
    upkeep.refuse();
    sleep(Duration::from_millis(29_950)).await;

    let store = &upkeep.store;
    assert_eq!(store.syncs.load(Ordering::Relaxed), 300);
    assert_eq!(store.closings.load(Ordering::Relaxed), 3);
    assert_eq!(store.expiries.load(Ordering::Relaxed), 1);
    assert_eq!(store.forgettings.load(Ordering::Relaxed), 1);
    assert_eq!(store.events.load(Ordering::Relaxed), 1);
    assert!(upkeep.authority.is_loaded());
    upkeep.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_last_is_written_at_the_end() {
    let upkeep = Upkeep::start(Arc::default()).await;
    sleep(Duration::from_millis(260)).await;
    upkeep.refuse();
    let key_id = KeyId(uuid::Uuid::nil());
    let (route, origin) = ("GET /".into(), Origin::default());
    upkeep
        .authority
        .served(key_id, &route, &origin, 200)
        .await
        .unwrap();

    let store = upkeep.end().await;
    assert_eq!(store.events.load(Ordering::Relaxed), 1);
    assert_eq!(store.uses.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_one_question_is_asked_the_others() {
    let store = Arc::new(StubStore::default());
    store.feed_hangs.store(true, Ordering::Relaxed);
    let upkeep = Upkeep::start(store).await;
    upkeep.refuse();
    sleep(Duration::from_mins(1)).await;

    assert_eq!(upkeep.store.events.load(Ordering::Relaxed), 1);
    assert!(upkeep.store.closings.load(Ordering::Relaxed) > 1);
    // Not even the end waits for it.
    upkeep.refuse();
    let store = upkeep.end().await;
    assert_eq!(store.events.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_done_once_the_store_is_back() {
    let store = Arc::new(StubStore::default());
    let upkeep = Upkeep::start(Arc::clone(&store)).await;
    store.fails.store(true, Ordering::Relaxed);
    upkeep.refuse();
    sleep(Duration::from_secs(20)).await;
    assert!(!upkeep.authority.is_loaded());
    assert_eq!(store.events.load(Ordering::Relaxed), 0);

    store.fails.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(6)).await;
    assert!(upkeep.authority.is_loaded());
    assert_eq!(store.events.load(Ordering::Relaxed), 1);
    upkeep.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_confirmed_is_counted_once_at_most_and_refusals_are_recorded_once_at_least() {
    let store = Arc::new(StubStore::default());
    let upkeep = Upkeep::start(Arc::clone(&store)).await;
    store.confirms_nothing.store(true, Ordering::Relaxed);
    upkeep.refuse();
    let (route, origin) = ("GET /".into(), Origin::default());
    let served = upkeep
        .authority
        .served(KeyId(uuid::Uuid::nil()), &route, &origin, 200);
    served.await.unwrap();
    sleep(Duration::from_secs(20)).await;
    store.confirms_nothing.store(false, Ordering::Relaxed);

    let store = upkeep.end().await;
    assert_eq!(store.uses.load(Ordering::Relaxed), 1);
    assert!(store.events.load(Ordering::Relaxed) > 1);
}

#[tokio::test(start_paused = true)]
async fn a_chore_that_panics_is_done_again() {
    let store = Arc::new(StubStore::default());
    store.feed_panics_once.store(true, Ordering::Relaxed);
    let upkeep = Upkeep::start(store).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!upkeep.store.feed_panics_once.load(Ordering::Relaxed));
    assert!(upkeep.store.syncs.load(Ordering::Relaxed) > 1);
    upkeep.end().await;
}

/// The upkeep of an authority over a [`StubStore`].
struct Upkeep {
    authority: Arc<Authority>,
    store: Arc<StubStore>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Upkeep {
    async fn start(store: Arc<StubStore>) -> Self {
        let authority = Arc::new(Authority::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
            &MasterKey::from_hex(&"07".repeat(32)).unwrap(),
            Settings::default(),
        ));
        authority.start().await.unwrap();
        let (end, ended) = oneshot::channel();
        let ended = async { ended.await.unwrap_or_default() };
        let task = tokio::spawn(upkeep::run(Arc::clone(&authority), ended));
        Self {
            authority,
            store,
            end,
            task,
        }
    }

    fn refuse(&self) {
        let denied = Denied {
            reason: Reason::UnknownKey,
            key_id: None,
        };
        let request = Refused {
            address: None,
            path: None,
            user_agent: None,
            status: 401,
        };
        self.authority.refused(&denied, &request, Origin::default);
    }

    async fn end(self) -> Arc<StubStore> {
        self.end.send(()).unwrap();
        timeout(Duration::from_secs(15), self.task)
            .await
            .unwrap()
            .unwrap();
        self.store
    }
}

/// An empty store that counts what it is asked.
#[derive(Default)]
struct StubStore {
    fails: AtomicBool,
    /// It writes, and says that nobody knows.
    confirms_nothing: AtomicBool,
    feed_hangs: AtomicBool,
    feed_panics_once: AtomicBool,
    syncs: AtomicUsize,
    events: AtomicUsize,
    uses: AtomicUsize,
    closings: AtomicUsize,
    expiries: AtomicUsize,
    forgettings: AtomicUsize,
}

impl StubStore {
    fn count(&self, counter: &AtomicUsize, by: usize) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        counter.fetch_add(by, Ordering::Relaxed);
        if self.confirms_nothing.load(Ordering::Relaxed) {
            return Err(StoreError::Unconfirmed("away".to_owned()));
        }
        Ok(())
    }

    fn nothing<T: Default>(&self) -> Result<T, StoreError> {
        self.count(&AtomicUsize::new(0), 0).map(|()| T::default())
    }
}

#[async_trait]
impl Store for StubStore {
    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.count(&self.events, commit.events.len())
    }

    async fn key(&self, _: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.nothing()
    }

    async fn keys_with_prefixes(&self, _: &[KeyPrefix]) -> Result<Keys, StoreError> {
        self.nothing()
    }

    async fn keys_with_ids(&self, _: &[KeyId]) -> Result<Keys, StoreError> {
        self.nothing()
    }

    async fn keys(&self, _: &KeyQuery) -> Result<Keys, StoreError> {
        self.nothing()
    }

    async fn keys_after(&self, _: Option<KeyId>, _: u32) -> Result<Keys, StoreError> {
        self.nothing()
    }

    async fn keys_to_expire(&self, _: Timestamp, _: u32) -> Result<Keys, StoreError> {
        self.count(&self.expiries, 1).map(|()| Keys::default())
    }

    async fn feed_position(&self) -> Result<FeedPosition, StoreError> {
        self.nothing()
    }

    async fn feed_since(&self, position: FeedPosition, _: u32) -> Result<Feed, StoreError> {
        if self.feed_hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        assert!(
            !self.feed_panics_once.swap(false, Ordering::Relaxed),
            "as asked"
        );
        self.count(&self.syncs, 1).map(|()| Feed {
            position,
            keys: Vec::new(),
            damaged: Vec::new(),
            signing_keys: false,
            revocations: Vec::new(),
            session_keys: false,
            lost: false,
            more: false,
        })
    }

    async fn audit(&self, _: &audit::Query) -> Result<Vec<audit::Record>, StoreError> {
        self.nothing()
    }

    async fn audit_after(&self, _: u64, _: u32) -> Result<Vec<audit::Record>, StoreError> {
        self.nothing()
    }

    async fn audit_head(&self) -> Result<Option<audit::Head>, StoreError> {
        self.nothing()
    }

    async fn add_uses(&self, counted: &[Counted]) -> Result<(), StoreError> {
        self.count(&self.uses, counted.len())
    }

    async fn open_uses(&self, _: KeyId) -> Result<Vec<Counted>, StoreError> {
        self.nothing()
    }

    async fn close_uses(&self, _: Timestamp, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        self.count(&self.closings, 1).map(|()| 0)
    }

    async fn data_keys(&self, _: KeyId) -> Result<Vec<DataKey>, StoreError> {
        self.nothing()
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        // As with those of sessions. The private key of RFC 8037 appendix A.1.
        let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let seed = URL_SAFE_NO_PAD.decode(seed).unwrap();
        let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let pkcs8 = Zeroizing::new([head.as_slice(), &seed].concat());
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8).unwrap();
        let record = SigningKeyRecord {
            kid: key.kid().to_string(),
            algorithm: Algorithm::EdDsa,
            pkcs8,
            purpose: Purpose::Lists,
            created_at: Timestamp::from_seconds(0),
            signs_from: None,
            verify_until: None,
        };
        self.nothing::<()>().map(|()| vec![record])
    }

    async fn user(&self, _: &str) -> Result<Option<UserRecord>, StoreError> {
        self.nothing()
    }

    async fn users(&self, _: &UserQuery) -> Result<Users, StoreError> {
        self.nothing()
    }

    async fn known_addresses(&self, _: &str) -> Result<Vec<String>, StoreError> {
        self.nothing()
    }

    async fn revocations_after(
        &self,
        _: Option<&str>,
        _: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.nothing()
    }

    async fn forget_revocations(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        self.count(&self.forgettings, 1).map(|()| 0)
    }

    async fn session_keys(&self) -> Result<Vec<SessionKeyRecord>, StoreError> {
        // One that is there already, so that none is made, and recorded, at the start.
        let key = SessionSigningKey::from_seed(&[7; 32]).unwrap();
        let record = SessionKeyRecord {
            kid: key.kid().to_owned(),
            secret: Secret::new(*key.to_bytes()),
            created_at: Timestamp::from_seconds(0),
            signs_from: None,
            verify_until: None,
        };
        self.nothing::<()>().map(|()| vec![record])
    }

    async fn health(&self) -> Result<Health, StoreError> {
        Err(StoreError::Unavailable("a stub".to_owned()))
    }

    async fn close(&self) {}
}
