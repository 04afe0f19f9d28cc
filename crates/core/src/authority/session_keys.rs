//! The keys that sign session tokens: made on the first start, rotated, imported, published.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sealgate_token::paseto::{SessionKeyError, SessionSigningKey, SessionVerifyingKey};
use serde_json::Value;

use super::term::{Handover, Term, signer};
use super::{Authority, Caller};
use crate::audit::{Action, Actor, Origin};
use crate::clock::Timestamp;
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
    term: Term,
}

impl SessionKey {
    fn read(record: &SessionKeyRecord) -> Result<Self, SessionKeyError> {
        Ok(Self {
            signing: SessionSigningKey::from_bytes(record.secret.expose())?,
            term: Term {
                created_at: record.created_at,
                signs_from: record.signs_from,
                verify_until: record.verify_until,
            },
        })
    }

    fn view(&self, signs: bool) -> SessionKeyView {
        let public: &SessionVerifyingKey = self.signing.verifying_key();
        SessionKeyView {
            kid: public.kid().to_owned(),
            paserk: public.paserk(),
            created_at: self.term.created_at,
            state: self.term.state(signs),
            signs_from: self.term.signs_from,
            verify_until: self.term.verify_until,
        }
    }

    fn verifies(&self, now: Timestamp) -> bool {
        self.term.verifies(now)
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
        let identity = |key: &Arc<SessionKey>| (key.signing.kid().to_owned(), key.term);
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

    /// The key that signs, and the generation it is of.
    pub(super) fn current(&self, now: Timestamp) -> Option<(Arc<SessionKey>, u64)> {
        self.read(|held| {
            let current = signer(held.keys.iter(), |key| key.term, now);
            current.map(|key| (Arc::clone(key), held.generation))
        })
    }

    /// When the newest was made.
    fn newest(&self) -> Option<Timestamp> {
        self.read(|held| held.keys.first().map(|key| key.term.created_at))
    }

    /// Whether there is a key that was not replaced.
    fn has_latest(&self) -> bool {
        self.read(|held| held.keys.iter().any(|key| key.term.verify_until.is_none()))
    }
}

impl Authority {
    /// The public keys that session tokens are verified with, newest first.
    #[must_use]
    pub fn session_key_views(&self) -> Vec<SessionKeyView> {
        let now = self.now();
        let keys = self.session_keys.all();
        let signs = |key: &SessionKey| {
            let signer = self.session_keys.current(now);
            signer.is_some_and(|(signer, _)| signer.signing.kid() == key.signing.kid())
        };
        let good = keys.iter().filter(|key| key.verifies(now));
        good.map(|key| key.view(signs(key))).collect()
    }

    /// The ids of the keys that verify session tokens.
    pub(super) fn session_kids(&self, now: Timestamp) -> Vec<String> {
        let keys = self.session_keys.all();
        let good = keys.iter().filter(|key| key.verifies(now));
        good.map(|key| key.signing.kid().to_owned()).collect()
    }

    /// Reads the keys that sign session tokens from the store, and makes one if there is none.
    ///
    /// # Errors
    /// If the store cannot be used, or a key in it cannot be read.
    pub async fn prepare_session_keys(&self) -> Result<(), Error> {
        self.load_session_keys().await?;
        if self.session_keys.has_latest() {
            return Ok(());
        }
        let system = Caller {
            actor: Actor::System,
            origin: Origin::default(),
            status: None,
        };
        let key = self.new_session_key()?;
        // Where the one that was to sign is gone and another does, as in a rotation.
        let now = self.now();
        let at_once = self.session_keys.current(now).is_none();
        let handover = self.session_handover(!at_once, now);
        self.add_session_key(&key, Action::SessionKeyCreated, handover, &system)
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

    /// Makes a new key. It is published now, and signs when it has been for long enough. What the old
    /// ones sign until then is verified until its last token has expired. With `at_once` it signs now,
    /// and nothing that the old ones signed is good any more, which ends every session.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn rotate_session_keys(
        &self,
        at_once: bool,
        caller: &Caller,
    ) -> Result<SessionKeyView, Error> {
        self.load_session_keys().await?;
        let now = self.now();
        let handover = if at_once {
            Handover::at_once(self.session_keys.newest(), now)
        } else {
            self.session_handover(true, now)
        };
        let key = self.new_session_key()?;
        self.add_session_key(&key, Action::SessionKeyCreated, handover, caller)
            .await
    }

    /// Takes over a key made elsewhere; it signs from now on, since who has it elsewhere knows no other.
    ///
    /// # Errors
    /// If it is known already, or the store cannot be written.
    pub async fn import_session_key(
        &self,
        key: &SessionSigningKey,
        caller: &Caller,
    ) -> Result<SessionKeyView, Error> {
        self.load_session_keys().await?;
        let handover = self.session_handover(false, self.now());
        let imported = self
            .add_session_key(key, Action::SessionKeyImported, handover, caller)
            .await;
        imported.map_err(|error| match error {
            Error::Conflict(_) => Error::Conflict(format!("the key {} is here already", key.kid())),
            other => other,
        })
    }

    /// The change to a new key, published before it signs or not.
    fn session_handover(&self, publish_first: bool, now: Timestamp) -> Handover {
        let lead = if publish_first {
            self.settings.publish_lead_seconds
        } else {
            0
        };
        let lifetime = self.settings.sessions.idle_seconds;
        Handover::after(self.session_keys.newest(), now, lead, lifetime)
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
        handover: Handover,
        caller: &Caller,
    ) -> Result<SessionKeyView, Error> {
        let now = self.now();
        let record = SessionKeyRecord {
            kid: key.kid().to_owned(),
            secret: Secret::new(*key.to_bytes()),
            created_at: handover.term.created_at,
            signs_from: handover.term.signs_from,
            verify_until: None,
        };
        let signs_from = record.signs_from.map(|from| from.to_string());
        let mut events = vec![caller.event(now, action, None).with_details([
            ("kid", Value::from(key.kid())),
            ("signs_from", Value::from(signs_from)),
        ])];
        let mut changes = Vec::new();
        let records = self.store.session_keys().await?;
        let signing = records.iter().filter(|key| key.verify_until.is_none());
        let signing: Vec<&str> = signing.map(|key| key.kid.as_str()).collect();
        let verify_until = handover.retire_until;
        if !records.is_empty() {
            changes.push(Change::RetireSessionKeys { verify_until });
        }
        if !signing.is_empty() {
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
        let mut views = self.session_key_views().into_iter();
        views
            .find(|view| view.kid == key.kid())
            .ok_or_else(|| Error::Internal("a key was made and is not there".to_owned()))
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
        if !self.session_keys.has_latest() {
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
