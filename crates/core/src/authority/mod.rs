//! The use cases: what can be asked of Sealgate, whether over HTTP or on the command line.
//!
//! - `batch`: make many keys at once
//! - `keys`: make, list, change, rotate and revoke keys; `patch`: what may be changed of one
//! - `tokens`: exchange a key for an access token, renew one
//! - `verify`: who is calling, and may they
//! - `rate`: limits of requests; `leases`: where several processes count them together
//! - `sealing`: encrypt and decrypt for a line of keys
//! - `login`: check a user's password, issue a session token
//! - `sessions`: open and renew sessions
//! - `ends`: end a session or an access token before its time
//! - `introspection`: tell a service what a token is good for, and end one that is not its own
//! - `sealed_by`: which key seals a session
//! - `session_keys`: the keys that sign session tokens
//! - `server_keys`: the keys that sign access tokens and lists of revocations
//! - `revocation_list`: what was revoked, signed, for whoever verifies on their own
//! - `users`: make, list, change and remove users
//! - `logs`: read, follow and verify the audit log
//! - `served`: count served requests, and record each where that is wanted
//! - `loading`: read every key after a start
//! - `upkeep`: follow the change feed, write counts and refusals, record what expired

mod batch;
mod cursor;
mod ends;
mod introspection;
mod keys;
mod leases;
mod loading;
mod login;
mod logs;
mod patch;
mod questions;
mod rate;
mod revocation_list;
mod sealed_by;
mod sealing;
mod served;
mod server_keys;
mod session_keys;
mod sessions;
mod term;
mod token_cache;
mod tokens;
mod upkeep;
mod users;
mod verify;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use sealgate_token::jwt::Algorithm;
use tokio::sync::OnceCell;

pub use self::batch::Rejected;
pub use self::introspection::{ActiveToken, Introspection, Revoked, TokenKind};
pub use self::keys::{Created, KeyFilter, Rotated};
use self::login::Places;
pub use self::login::{Login, PasswordSettings};
pub use self::logs::{LogPage, Verified};
pub use self::questions::Question;
use self::questions::Questions;
use self::rate::RateLimits;
use self::revocation_list::Lists;
pub use self::revocation_list::SignedList;
pub use self::sealed_by::SealedBy;
pub use self::sealing::{SealingOffer, TextSealed};
use self::server_keys::ServerKeys;
use self::session_keys::SessionKeys;
pub use self::sessions::{
    LONGEST_SESSION_SECONDS, LoggedIn, OpenSession, Session, SessionSettings,
};
use self::token_cache::TokenCache;
pub use self::tokens::Grant;
use self::upkeep::{Followed, Reload};
pub use self::users::UserFilter;
use self::verify::AccessToken;
pub use self::verify::{Credential, Identity, Unsettled};
use crate::audit::{Action, Actor, Chain, Event, Origin, Refusals, Sighting};
use crate::clock::{Clock, Timestamp};
use crate::error::{Denied, Error, Reason};
use crate::guard::{AddressLimit, KnownAddresses, LoginGuard, TooMany};
use crate::identity::IdentityProvider;
use crate::key::{Environment, KeyHasher, KeyId};
use crate::keyring::Keyring;
use crate::master::MasterKey;
use crate::password::Passwords;
use crate::random::{Random, array};
pub use crate::rate::Allowance;
use crate::revocation::Revocations;
use crate::shared_limits::{LimitKeeper, WhenUnavailable};
use crate::store::{Change, Commit, Store, StoreError};
use crate::tally::Tally;

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of access tokens.
    pub issuer: String,
    /// How access tokens are signed.
    pub algorithm: Algorithm,
    /// How long an access token is good for, in seconds.
    pub token_seconds: i64,
    /// How long a line of renewals can last, in seconds.
    pub token_max_seconds: i64,
    /// For how long a key is published before it signs, in seconds.
    pub publish_lead_seconds: i64,
    /// Whose keys this server takes.
    pub environment: Environment,
    /// After how many days a key is due for rotation.
    pub rotation_days: u32,
    /// For how long keys are honoured without news from the store, in milliseconds.
    pub max_staleness_millis: i64,
    /// Whether every served request gets a record of its own, durable before the answer.
    pub audit_all_requests: bool,
    /// Most access tokens whose verification is remembered.
    pub token_cache: usize,
    /// Requests a minute that an address may make for making and checking seal keys; any number if 0.
    pub anonymous_per_minute: u32,
    /// Requests a minute that an address may make for public pages and documents; any number if 0.
    pub public_per_minute: u32,
    /// Users' sessions.
    pub sessions: SessionSettings,
    /// Users' passwords.
    pub passwords: PasswordSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "sealgate".to_owned(),
            algorithm: Algorithm::Hs256,
            token_seconds: 3_600,
            token_max_seconds: 86_400,
            publish_lead_seconds: 7_200,
            environment: Environment::Production,
            rotation_days: 90,
            max_staleness_millis: 1_000,
            audit_all_requests: false,
            token_cache: 100_000,
            anonymous_per_minute: 60,
            public_per_minute: 600,
            sessions: SessionSettings::default(),
            passwords: PasswordSettings::default(),
        }
    }
}

/// Who asks for a change, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// The status answered when it is done; none at the command line.
    pub status: Option<u16>,
}

impl Caller {
    /// Somebody at the command line.
    #[must_use]
    pub fn command_line(account: &str) -> Self {
        Self {
            actor: Actor::CommandLine(account.to_owned()),
            origin: Origin::default(),
            status: None,
        }
    }

    /// The key that calls, if it is one.
    #[must_use]
    pub const fn key_id(&self) -> Option<KeyId> {
        match self.actor {
            Actor::Key(id) => Some(id),
            _ => None,
        }
    }

    /// An event of this caller's.
    fn event(&self, now: Timestamp, action: Action, key_id: Option<KeyId>) -> Event {
        Event {
            status: self.status,
            ..Event::new(now, action, key_id, &self.actor).from(&self.origin)
        }
    }
}

/// Everything Sealgate can do, over one store.
pub struct Authority {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Settings,
    hasher: KeyHasher,
    chain: Chain,
    ring: Keyring,
    /// When the feed was last known to be read to its end, in unix milliseconds.
    synced_at: AtomicI64,
    feed: tokio::sync::Mutex<Followed>,
    reload: Mutex<Option<Reload>>,
    questions: Questions,
    tokens: TokenCache<AccessToken>,
    server_keys: ServerKeys,
    sessions: TokenCache<OpenSession>,
    session_keys: SessionKeys,
    revocations: Revocations,
    lists: Lists,
    /// Where users come from, if not from the store.
    directory: Option<Arc<dyn IdentityProvider>>,
    directory_places: Places,
    anonymous: Option<AddressLimit>,
    public: Option<AddressLimit>,
    guard: LoginGuard,
    known_addresses: KnownAddresses,
    passwords: OnceCell<Passwords>,
    rates: RateLimits,
    tally: Tally,
    refusals: Refusals,
    can_write: AtomicBool,
}

impl Authority {
    /// An authority with an empty keyring: good for the command line as it is; a server calls
    /// [`Authority::start`] before it verifies anything.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        master: &MasterKey,
        settings: Settings,
    ) -> Self {
        Self {
            hasher: KeyHasher::new(&master.pepper()),
            chain: Chain::new(&master.audit_key()),
            ring: Keyring::default(),
            synced_at: AtomicI64::new(i64::MIN),
            feed: tokio::sync::Mutex::default(),
            reload: Mutex::default(),
            questions: Questions::default(),
            tokens: TokenCache::new(settings.token_cache, random.as_ref()),
            server_keys: ServerKeys::default(),
            sessions: TokenCache::new(settings.sessions.cache, random.as_ref()),
            session_keys: SessionKeys::default(),
            revocations: Revocations::new(array(random.as_ref())),
            lists: Lists::default(),
            directory: None,
            directory_places: Places::default(),
            anonymous: AddressLimit::new(
                Arc::clone(&clock),
                random.as_ref(),
                settings.anonymous_per_minute,
            ),
            public: AddressLimit::new(
                Arc::clone(&clock),
                random.as_ref(),
                settings.public_per_minute,
            ),
            guard: LoginGuard::new(Arc::clone(&clock), random.as_ref()),
            known_addresses: KnownAddresses::new(Arc::clone(&clock), random.as_ref()),
            passwords: OnceCell::new(),
            rates: RateLimits::new(Arc::clone(&clock)),
            tally: Tally::default(),
            refusals: Refusals::new(random.as_ref()),
            can_write: AtomicBool::new(true),
            store,
            clock,
            random,
            settings,
        }
    }

    /// Takes users from a directory outside instead of the store.
    #[must_use]
    pub fn with_directory(mut self, directory: Arc<dyn IdentityProvider>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Counts limits of requests together with other processes.
    #[must_use]
    pub fn with_shared_limits(
        mut self,
        keeper: Arc<dyn LimitKeeper>,
        when: WhenUnavailable,
    ) -> Self {
        self.rates.share(keeper, when);
        self
    }

    /// The directory outside that users come from, if they do.
    #[must_use]
    pub fn directory(&self) -> Option<&dyn IdentityProvider> {
        self.directory.as_deref()
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the operator decided.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The store, for what is no use case: health, closing.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The keyring.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.ring
    }

    /// Whether the last write reached the store.
    #[must_use]
    pub fn can_write(&self) -> bool {
        self.can_write.load(Ordering::Relaxed)
    }

    /// Notes whether a write reached the store; one that lost to another did.
    fn noted<T>(&self, written: Result<T, StoreError>) -> Result<T, StoreError> {
        let reached = matches!(written, Ok(_) | Err(StoreError::Conflict));
        self.can_write.store(reached, Ordering::Relaxed);
        written
    }

    /// Makes changes durable, then takes them into the keyring at once.
    async fn commit(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<(), Error> {
        let (mut news, mut revoked) = (Vec::new(), Vec::new());
        for change in &changes {
            match change {
                Change::InsertKey(record) => news.push(record.as_ref().clone()),
                Change::UpdateKey(record) => {
                    let mut copy = record.as_ref().clone();
                    copy.version += 1;
                    news.push(copy);
                }
                Change::Revoke(revocation) => revoked.push(revocation.clone()),
                _ => {}
            }
        }
        let as_of = self.ring.moment();
        self.noted(self.store.commit(Commit { changes, events }).await)?;
        if self.is_started() {
            self.learn_all(&news, as_of);
            self.revocations.add(&revoked);
        }
        Ok(())
    }

    /// Takes one request off what an address may do to make and check seal keys; nothing if there is no
    /// limit.
    ///
    /// # Errors
    /// If it did too much.
    pub fn spend_anonymous(&self, address: IpAddr) -> Result<Option<Allowance>, Denied> {
        spend(self.anonymous.as_ref(), address)
    }

    /// Takes one request off what an address may do with public pages and documents; nothing if there
    /// is no limit.
    ///
    /// # Errors
    /// If it did too much.
    pub fn spend_public(&self, address: IpAddr) -> Result<Option<Allowance>, Denied> {
        spend(self.public.as_ref(), address)
    }

    /// Puts a refusal on its way to the log; `origin` tells of the request, if it is like none that
    /// waits already. Says whether it was asked.
    pub fn refused(
        &self,
        denied: &Denied,
        request: &Refused<'_>,
        origin: impl FnOnce() -> Origin,
    ) -> bool {
        let Refused {
            address,
            path,
            user_agent,
            status,
        } = *request;
        let (reason, time) = (&denied.reason, self.now());
        let about = match reason {
            Reason::MissingPermission(needed) => Some(needed.as_str()),
            other => other.username(),
        };
        let sighting = Sighting {
            reason: reason.slug(),
            key_id: denied.key_id,
            address,
            path,
            user_agent,
            about,
            time,
        };
        let record = || {
            refusal_record(denied, time)
                .from(&origin())
                .with_status(status)
        };
        self.refusals.add(&sighting, record)
    }
}

/// What of a refused request tells it from others.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Where from.
    pub address: Option<IpAddr>,
    /// The path that was asked for.
    pub path: Option<&'a str>,
    /// The client's own name for itself.
    pub user_agent: Option<&'a [u8]>,
    /// The status it is answered with.
    pub status: u16,
}

fn refusal_record(denied: &Denied, time: Timestamp) -> Event {
    let actor = denied.key_id.map_or(Actor::Anonymous, Actor::Key);
    let mut details = serde_json::Map::new();
    details.insert("reason".to_owned(), denied.reason.slug().into());
    if let Reason::MissingPermission(needed) = &denied.reason {
        details.insert("needed".to_owned(), needed.as_str().into());
    }
    let action = match denied.reason {
        Reason::LoginFailed { .. } | Reason::TooManyAttempts { .. } => Action::LoginFailed,
        _ => Action::RequestRefused,
    };
    if let Some(username) = denied.reason.username() {
        details.insert("username".to_owned(), username.into());
    }
    Event::new(time, action, denied.key_id, &actor).with_detail_map(details)
}

fn spend(limit: Option<&AddressLimit>, address: IpAddr) -> Result<Option<Allowance>, Denied> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    let refused = |TooMany { retry_after }| Denied {
        reason: Reason::AddressLimited {
            limit: limit.per_minute(),
            retry_after,
        },
        key_id: None,
    };
    limit.spend(address).map(Some).map_err(refused)
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}
