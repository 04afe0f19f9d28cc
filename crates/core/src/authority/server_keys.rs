//! The server keys, which sign access tokens and lists of revocations: made at the start, rotated,
//! published.

use std::sync::{Arc, PoisonError, RwLock};

use sealgate_token::jwt::{Algorithm, KeyError, SigningKey, Thumbprint, jwk_set};
use serde_json::Value;

use super::term::{Handover, Term, signer};
use super::{Authority, Caller, revocation_list};
use crate::audit::{Action, Actor, Event};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::store::{Change, Purpose, SigningKeyRecord};
use crate::view::ServerKeyView;

/// A server key, or one that was.
pub(super) struct ServerKey {
    pub signing: SigningKey,
    purpose: Purpose,
    term: Term,
}

impl ServerKey {
    fn read(record: &SigningKeyRecord) -> Result<Self, KeyError> {
        Ok(Self {
            signing: SigningKey::from_pkcs8(record.algorithm, &record.pkcs8)?,
            purpose: record.purpose,
            term: Term {
                created_at: record.created_at,
                signs_from: record.signs_from,
                verify_until: record.verify_until,
            },
        })
    }

    fn kind(&self) -> (Purpose, Algorithm) {
        (self.purpose, self.signing.algorithm())
    }

    fn is_for(&self, purpose: Purpose, algorithm: Algorithm) -> bool {
        self.kind() == (purpose, algorithm)
    }

    fn view(&self, signs: bool) -> ServerKeyView {
        ServerKeyView {
            kid: self.signing.kid().to_string(),
            algorithm: self.signing.algorithm().name(),
            purpose: self.purpose.as_str(),
            state: self.term.state(signs),
            created_at: self.term.created_at,
            signs_from: self.term.signs_from,
            verify_until: self.term.verify_until,
        }
    }

    fn is_retired(&self) -> bool {
        self.term.verify_until.is_some()
    }
}

/// All of them, as this process knows them.
#[derive(Default)]
pub(super) struct ServerKeys {
    held: RwLock<Held>,
    /// Held while they are read, so that what was read earlier is not taken for news.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    /// Newest first.
    keys: Arc<[Arc<ServerKey>]>,
    /// Grows when the keys change: what was verified before is verified anew.
    generation: u64,
}

impl ServerKeys {
    pub(super) fn generation(&self) -> u64 {
        self.read(|held| held.generation)
    }

    fn all(&self) -> Arc<[Arc<ServerKey>]> {
        self.read(|held| Arc::clone(&held.keys))
    }

    fn read<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says whether it is another set of keys.
    fn replace(&self, keys: Vec<Arc<ServerKey>>) -> bool {
        let identity = |key: &Arc<ServerKey>| (key.signing.kid(), key.term);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = held.keys.iter().map(identity).ne(keys.iter().map(identity));
        if is_news {
            held.keys = keys.into();
            held.generation += 1;
        }
        is_news
    }

    fn signer(&self, now: Timestamp, is_it: impl Fn(&ServerKey) -> bool) -> Option<Arc<ServerKey>> {
        let keys = self.all();
        let fitting = keys.iter().filter(|key| is_it(key));
        signer(fitting, |key| key.term, now).map(Arc::clone)
    }
}

impl Authority {
    /// The JWK set (RFC 7517) of the server keys that verify, those of access tokens first. As long as
    /// tokens are signed with HS256 there is the one that signs lists of revocations.
    #[must_use]
    pub fn jwk_set(&self) -> Value {
        let now = self.now();
        let keys = self.server_keys.all();
        let good = || keys.iter().filter(|key| key.term.verifies(now));
        let (tokens, lists) = (Purpose::Tokens, Purpose::Lists);
        let ordered = [tokens, lists]
            .into_iter()
            .flat_map(|purpose| good().filter(move |key| key.purpose == purpose));
        jwk_set(ordered.map(|key| key.signing.verifying_key()))
    }

    /// The server keys that verify, newest first.
    #[must_use]
    pub fn server_key_views(&self) -> Vec<ServerKeyView> {
        let now = self.now();
        let keys = self.server_keys.all();
        let good = keys.iter().filter(|key| key.term.verifies(now));
        good.map(|key| {
            let (purpose, algorithm) = key.kind();
            let signs = self
                .server_keys
                .signer(now, |other| other.is_for(purpose, algorithm))
                .is_some_and(|signer| signer.signing.kid() == key.signing.kid());
            key.view(signs)
        })
        .collect()
    }

    /// The ids of the keys that verify access tokens, or lists.
    fn server_kids(&self, now: Timestamp) -> Vec<String> {
        self.kids(now, |_| true)
    }

    /// The ids of the keys that verify access tokens: those that [`Self::token_verifier`] finds.
    pub(super) fn token_kids(&self, now: Timestamp) -> Vec<String> {
        self.kids(now, |key| key.purpose == Purpose::Tokens)
    }

    fn kids(&self, now: Timestamp, is_it: impl Fn(&ServerKey) -> bool) -> Vec<String> {
        let keys = self.server_keys.all();
        let good = keys
            .iter()
            .filter(|key| is_it(key) && key.term.verifies(now));
        good.map(|key| key.signing.kid().to_string()).collect()
    }

    /// What signs access tokens. For a while after the algorithm was changed that is a key of the one
    /// before, whose successor has not been published for long enough.
    pub(super) fn token_signer(&self, now: Timestamp) -> Option<Arc<ServerKey>> {
        let wanted = self.settings.algorithm;
        let signs_now = |key: &ServerKey| key.term.signs_from.is_none_or(|from| from <= now);
        let keys = &self.server_keys;
        let ready = keys.signer(now, |key| {
            key.is_for(Purpose::Tokens, wanted) && signs_now(key)
        });
        ready
            .or_else(|| keys.signer(now, |key| key.purpose == Purpose::Tokens && signs_now(key)))
            .or_else(|| keys.signer(now, |key| key.is_for(Purpose::Tokens, wanted)))
    }

    /// What signs lists of revocations.
    pub(super) fn list_signer(&self, now: Timestamp) -> Option<Arc<ServerKey>> {
        let (purpose, algorithm) = self.wanted_kind();
        match purpose {
            Purpose::Tokens => self.token_signer(now),
            Purpose::Lists => self
                .server_keys
                .signer(now, |key| key.is_for(purpose, algorithm)),
        }
    }

    /// The key of that id that access tokens may be signed with. That of lists is none (RFC 8725 section
    /// 3.1): a server whose algorithm is HS256 takes no token by it.
    pub(super) fn token_verifier(&self, kid: Thumbprint, now: Timestamp) -> Option<Arc<ServerKey>> {
        let keys = self.server_keys.all();
        let mut fitting = keys.iter().filter(|key| key.purpose == Purpose::Tokens);
        fitting
            .find(|key| key.signing.kid() == kid && key.term.verifies(now))
            .map(Arc::clone)
    }

    /// What the settings need a key for.
    const fn wanted_kind(&self) -> (Purpose, Algorithm) {
        match self.settings.algorithm {
            Algorithm::Hs256 => (Purpose::Lists, Algorithm::EdDsa),
            algorithm => (Purpose::Tokens, algorithm),
        }
    }

    /// Reads the server keys from the store, and makes one to sign access tokens with if the settings want
    /// a kind that is not there yet.
    ///
    /// # Errors
    /// If the store cannot be used, or a key in it cannot be read.
    pub async fn prepare_signing(&self) -> Result<(), Error> {
        if self.settings.algorithm == Algorithm::Hs256 {
            return self.load_signing_keys().await;
        }
        self.prepare_server_keys().await
    }

    /// The same, and one to sign lists of revocations with.
    pub(super) async fn prepare_server_keys(&self) -> Result<(), Error> {
        self.load_signing_keys().await?;
        let (purpose, algorithm) = self.wanted_kind();
        let keys = self.server_keys.all();
        let has_one = |key: &Arc<ServerKey>| key.is_for(purpose, algorithm) && !key.is_retired();
        if keys.iter().any(has_one) {
            return Ok(());
        }
        let now = self.now();
        // Where another key signs, verifiers get to know the new one first.
        let has_signer = self.list_signer(now).is_some();
        let lead = if has_signer {
            self.settings.publish_lead_seconds
        } else {
            0
        };
        let newest = keys.first().map(|key| key.term.created_at);
        let handover = Handover::after(newest, now, lead, 0);
        let record = new_server_key((purpose, algorithm), handover.term)?;
        let event = Event::new(now, Action::SigningKeyCreated, None, &Actor::System)
            .with_details(details_of(&record));
        self.commit(vec![Change::InsertSigningKey(record)], vec![event])
            .await?;
        self.load_signing_keys().await
    }

    pub(super) async fn load_signing_keys(&self) -> Result<(), Error> {
        let _reading = self.server_keys.reading.lock().await;
        let records = self.store.signing_keys().await?;
        let keys: Result<Vec<_>, _> = records
            .iter()
            .map(|record| ServerKey::read(record).map(Arc::new))
            .collect();
        let keys =
            keys.map_err(|error| Error::Internal(format!("a signing key is damaged: {error}")))?;
        if self.server_keys.replace(keys) {
            // What a key signed that is gone was verified before perhaps.
            self.tokens.retain(|_| false);
        }
        Ok(())
    }

    /// Makes a successor of each server key. It is published now, and signs when it has been for long
    /// enough; what the old ones sign until then is verified until its expiry. With `at_once` it signs
    /// now, and nothing that the old ones signed is good any more.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn rotate_server_keys(
        &self,
        at_once: bool,
        caller: &Caller,
    ) -> Result<Vec<ServerKeyView>, Error> {
        self.load_signing_keys().await?;
        let now = self.now();
        let keys = self.server_keys.all();
        let newest = keys.first().map(|key| key.term.created_at);
        let handover = if at_once {
            Handover::at_once(newest, now)
        } else {
            // A list lives for a while too.
            let lifetime = self
                .settings
                .token_seconds
                .max(revocation_list::LIFETIME_SECONDS);
            Handover::after(newest, now, self.settings.publish_lead_seconds, lifetime)
        };
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        if !keys.is_empty() {
            let verify_until = handover.retire_until;
            changes.push(Change::RetireSigningKeys { verify_until });
            let event = caller.event(now, Action::SigningKeysRetired, None);
            events.push(event.with_details([
                ("jwk_thumbprints", Value::from(self.server_kids(now))),
                ("verify_until", Value::from(verify_until.to_string())),
            ]));
        }
        for kind in self.kinds_of(&keys) {
            let record = new_server_key(kind, handover.term)?;
            let event = caller.event(now, Action::SigningKeyCreated, None);
            events.push(event.with_details(details_of(&record)));
            changes.push(Change::InsertSigningKey(record));
        }
        let made = made_of(&changes);
        self.commit(changes, events).await?;
        self.load_signing_keys().await?;
        let mut views = self.server_key_views();
        views.retain(|view| made.contains(&view.kid));
        Ok(views)
    }

    /// Of what kinds there have to be keys after a rotation: the same as before, whatever the settings of
    /// the process that rotates.
    fn kinds_of(&self, keys: &[Arc<ServerKey>]) -> Vec<(Purpose, Algorithm)> {
        let mut kinds = Vec::new();
        let current = keys.iter().filter(|key| !key.is_retired());
        for kind in current.map(|key| key.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.is_empty() {
            kinds.push(self.wanted_kind());
        }
        kinds
    }

    /// Removes keys whose last token has expired, and makes sure that there is one to sign with.
    pub(super) async fn forget_server_keys(&self) -> Result<(), Error> {
        let now = self.now();
        if self.list_signer(now).is_none() {
            self.prepare_server_keys().await?;
        }
        if self
            .server_keys
            .all()
            .iter()
            .all(|key| key.term.verifies(now))
        {
            return Ok(());
        }
        self.commit(vec![Change::RemoveSigningKeys { now }], Vec::new())
            .await?;
        self.load_signing_keys().await
    }
}

fn new_server_key(
    (purpose, algorithm): (Purpose, Algorithm),
    term: Term,
) -> Result<SigningKeyRecord, Error> {
    let (key, pkcs8) = SigningKey::generate(algorithm)
        .map_err(|error| Error::Internal(format!("no signing key could be made: {error}")))?;
    Ok(SigningKeyRecord {
        kid: key.kid().to_string(),
        algorithm,
        pkcs8,
        purpose,
        created_at: term.created_at,
        signs_from: term.signs_from,
        verify_until: term.verify_until,
    })
}

fn made_of(changes: &[Change]) -> Vec<String> {
    let made = changes.iter().filter_map(|change| match change {
        Change::InsertSigningKey(record) => Some(record.kid.clone()),
        _ => None,
    });
    made.collect()
}

/// What the log says of a key that was made.
fn details_of(record: &SigningKeyRecord) -> [(&'static str, Value); 4] {
    let signs_from = record.signs_from.map(|from| from.to_string());
    [
        ("algorithm", Value::from(record.algorithm.to_string())),
        ("jwk_thumbprint", Value::from(record.kid.as_str())),
        ("purpose", Value::from(record.purpose.as_str())),
        ("signs_from", Value::from(signs_from)),
    ]
}
