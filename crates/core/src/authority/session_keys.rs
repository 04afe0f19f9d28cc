//! The keys that sign session tokens: made on the first start, rotated, imported, published.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sealgate_token::paseto::{SessionKeyError, SessionSigningKey, SessionVerifyingKey};
use serde_json::Value;

use super::{Authority, Caller};
use crate::audit::{Action, Actor, Origin};
use crate::clock::{CLOCK_MARGIN_SECONDS, Timestamp};
use crate::error::Error;
use crate::random::array;
use crate::secret::Secret;
use crate::store::{Change, SessionKeyRecord};
use crate::view::SessionKeyView;

/// How long an unknown key is not asked for again, in milliseconds.
const ASKED_MILLIS: i64 = 1_000;

/// A key that signs session tokens, or once did.
pub(super) struct SessionKey {
    pub signing: SessionSigningKey,
    pub created_at: Timestamp,
    pub verify_until: Option<Timestamp>,
}

impl SessionKey {
    fn read(record: &SessionKeyRecord) -> Result<Self, SessionKeyError> {
        Ok(Self {
            signing: SessionSigningKey::from_bytes(record.secret.expose())?,
            created_at: record.created_at,
            verify_until: record.verify_until,
        })
    }

    fn view(&self) -> SessionKeyView {
        let public: &SessionVerifyingKey = self.signing.verifying_key();
        SessionKeyView {
            kid: public.kid().to_owned(),
            paserk: public.paserk(),
            created_at: self.created_at,
            verify_until: self.verify_until,
        }
    }

    fn verifies(&self, now: Timestamp) -> bool {
        self.verify_until.is_none_or(|until| now < until)
    }
}

/// All of them, as this process knows them.
#[derive(Default)]
pub(super) struct SessionKeys {
    held: RwLock<Held>,
    /// When an unknown key was last asked for, in unix milliseconds.
    asked_at: AtomicI64,
    /// Held while they are read, so that what was read earlier is not taken for news.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    /// Newest first.
    keys: Arc<[Arc<SessionKey>]>,
    /// Grows when the keys change: what was verified before is verified anew.
    generation: u64,
}

impl SessionKeys {
    pub(super) fn generation(&self) -> u64 {
        self.read(|held| held.generation)
    }

    fn all(&self) -> Arc<[Arc<SessionKey>]> {
        self.read(|held| Arc::clone(&held.keys))
    }

    fn read<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, keys: Vec<Arc<SessionKey>>) {
        let identity = |key: &Arc<SessionKey>| (key.signing.kid().to_owned(), key.verify_until);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.keys.iter().map(identity).ne(keys.iter().map(identity)) {
            held.keys = keys.into();
            held.generation += 1;
        }
    }

    /// Whether the store may be asked for a key now that nobody here knows; whoever makes names of
    /// keys up cannot make the store work for each.
    fn may_ask(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        let last = self.asked_at.load(Ordering::Acquire);
        (now - last).abs() >= ASKED_MILLIS
            && self
                .asked_at
                .compare_exchange(last, now, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// The newest key that is not retired, and the generation it is of.
    pub(super) fn current(&self) -> Option<(Arc<SessionKey>, u64)> {
        self.read(|held| {
            let current = held.keys.iter().find(|key| key.verify_until.is_none());
            current.map(|key| (Arc::clone(key), held.generation))
        })
    }
}

impl Authority {
    /// The public keys that session tokens are verified with, newest first.
    #[must_use]
    pub fn session_key_views(&self) -> Vec<SessionKeyView> {
        let now = self.now();
        let keys = self.session_keys.all();
        let good = keys.iter().filter(|key| key.verifies(now));
        good.map(|key| key.view()).collect()
    }

    /// Reads the keys that sign session tokens from the store, and makes one if there is none.
    ///
    /// # Errors
    /// If the store cannot be used, or a key in it cannot be read.
    pub async fn prepare_session_keys(&self) -> Result<(), Error> {
        self.load_session_keys().await?;
        if self.session_keys.current().is_some() {
            return Ok(());
        }
        let system = Caller {
            actor: Actor::System,
            origin: Origin::default(),
            status: None,
        };
        let key = self.new_session_key()?;
        self.add_session_key(&key, Action::SessionKeyCreated, None, &system)
            .await?;
        Ok(())
    }

    pub(super) async fn load_session_keys(&self) -> Result<(), Error> {
        let _reading = self.session_keys.reading.lock().await;
        let records = self.store.session_keys().await?;
        let keys: Result<Vec<_>, _> = records
            .iter()
            .map(|record| SessionKey::read(record).map(Arc::new))
            .collect();
        let keys = keys.map_err(|error| {
            Error::Internal(format!("a session signing key is damaged: {error}"))
        })?;
        self.session_keys.replace(keys);
        Ok(())
    }

    /// Makes a new key that signs from now on. What the old ones signed is verified until its last
    /// token has expired; with `at_once` not at all, which ends every session.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn rotate_session_keys(
        &self,
        at_once: bool,
        caller: &Caller,
    ) -> Result<SessionKeyView, Error> {
        let until = self.last_expiry(at_once);
        let key = self.new_session_key()?;
        self.add_session_key(&key, Action::SessionKeyCreated, Some(until), caller)
            .await
    }

    /// Takes over a key made elsewhere; it signs from now on.
    ///
    /// # Errors
    /// If it is known already, or the store cannot be written.
    pub async fn import_session_key(
        &self,
        key: &SessionSigningKey,
        caller: &Caller,
    ) -> Result<SessionKeyView, Error> {
        let until = self.last_expiry(false);
        let imported = self
            .add_session_key(key, Action::SessionKeyImported, Some(until), caller)
            .await;
        imported.map_err(|error| match error {
            Error::Conflict(_) => Error::Conflict(format!("the key {} is here already", key.kid())),
            other => other,
        })
    }

    /// When the last token has expired that the keys of now can have signed.
    fn last_expiry(&self, at_once: bool) -> Timestamp {
        let now = self.now();
        if at_once {
            // The clock of another server may be behind.
            now.plus_seconds(-CLOCK_MARGIN_SECONDS)
        } else {
            now.plus_seconds(self.settings.sessions.idle_seconds + CLOCK_MARGIN_SECONDS)
        }
    }

    fn new_session_key(&self) -> Result<SessionSigningKey, Error> {
        let seed = zeroize::Zeroizing::new(array(self.random.as_ref()));
        SessionSigningKey::from_seed(&seed)
            .map_err(|error| Error::Internal(format!("no signing key could be made: {error}")))
    }

    async fn add_session_key(
        &self,
        key: &SessionSigningKey,
        action: Action,
        retire_until: Option<Timestamp>,
        caller: &Caller,
    ) -> Result<SessionKeyView, Error> {
        let now = self.now();
        let record = SessionKeyRecord {
            kid: key.kid().to_owned(),
            secret: Secret::new(*key.to_bytes()),
            created_at: now,
            verify_until: None,
        };
        let view = SessionKey::read(&record)
            .map_err(|error| Error::Internal(format!("a key does not read back: {error}")))?
            .view();
        let mut events = vec![
            caller
                .event(now, action, None)
                .with_details([("kid", Value::from(key.kid()))]),
        ];
        let mut changes = Vec::new();
        let records = self.store.session_keys().await?;
        let signing = records.iter().filter(|key| key.verify_until.is_none());
        let signing: Vec<&str> = signing.map(|key| key.kid.as_str()).collect();
        if let Some(verify_until) = retire_until
            && !signing.is_empty()
        {
            changes.push(Change::RetireSessionKeys { verify_until });
            let details = [
                ("kids", Value::from(signing)),
                ("verify_until", Value::from(verify_until.to_string())),
            ];
            events.push(
                caller
                    .event(now, Action::SessionKeysRetired, None)
                    .with_details(details),
            );
        }
        changes.push(Change::InsertSessionKey(record));
        self.commit(changes, events).await?;
        self.load_session_keys().await?;
        Ok(view)
    }

    /// The key of that name, if what it signed is verified now. One that another process made a
    /// moment ago is asked for.
    pub(super) async fn session_key(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<SessionKey>>, Error> {
        let find = || {
            let keys = self.session_keys.all();
            keys.iter()
                .find(|key| key.signing.kid() == kid)
                .map(Arc::clone)
        };
        let mut found = find();
        if found.is_none() {
            if self.session_keys.may_ask(now) {
                self.load_session_keys().await?;
            } else {
                // Somebody else may be asking.
                drop(self.session_keys.reading.lock().await);
            }
            found = find();
        }
        Ok(found.filter(|key| key.verifies(now)))
    }

    /// Removes keys whose last token has expired.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn forget_session_keys(&self) -> Result<(), Error> {
        let now = self.now();
        let keys = self.session_keys.all();
        if self.session_keys.current().is_none() {
            // The one that signed was damaged.
            self.prepare_session_keys().await?;
        }
        if keys.iter().all(|key| key.verifies(now)) {
            return Ok(());
        }
        let change = Change::RemoveSessionKeys { now };
        self.commit(vec![change], Vec::new()).await?;
        self.load_session_keys().await
    }
}
