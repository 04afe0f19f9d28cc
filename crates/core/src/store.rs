//! What the domain asks of a database: the [`Store`] trait, and the changes it takes.
//!
//! A [`Commit`] is one transaction: changes, their audit records and their rows in the change feed
//! stand or fall together, and `commit` returns once they are durable. The store holds no rule of
//! the domain; it checks that the rows it changes are still those that were read.

use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use sealgate_token::jwt::Algorithm;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::audit::{self, Event};
use crate::clock::Timestamp;
use crate::key::{Environment, KeyId, KeyPrefix, KeyRecord, Status};
use crate::revocation::Revocation;
use crate::secret::Secret;
use crate::shared_limits::LimitKeeper;
use crate::tally::Counted;
use crate::user::{UserId, UserRecord};

/// A database of keys, their audit log and their change feed.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes changes and their audit records durable, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a row is not the one that was read, or exists already.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// One key by its identifier.
    ///
    /// # Errors
    /// If the store cannot be read, or its row is damaged.
    async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// Every key with one of some prefixes, oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn keys_with_prefixes(&self, prefixes: &[KeyPrefix]) -> Result<Keys, StoreError>;

    /// Keys by their identifiers, oldest first; those that there are.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn keys_with_ids(&self, ids: &[KeyId]) -> Result<Keys, StoreError>;

    /// A page of keys that fit a query, in the order [`KeyQuery`] says.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn keys(&self, query: &KeyQuery) -> Result<Keys, StoreError>;

    /// Keys in the order of their identifiers, after one of them: to load them all.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, StoreError>;

    /// Active keys whose expiry has passed but is not recorded.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn keys_to_expire(&self, now: Timestamp, limit: u32) -> Result<Keys, StoreError>;

    /// Where the change feed ends now.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn feed_position(&self) -> Result<FeedPosition, StoreError>;

    /// What changed after a position: the changed keys as they are now, each once.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn feed_since(&self, after: FeedPosition, limit: u32) -> Result<Feed, StoreError>;

    /// Audit records, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn audit(&self, query: &audit::Query) -> Result<Vec<audit::Record>, StoreError>;

    /// Audit records after a place, oldest first and up to the first that is damaged: to walk the
    /// chain, and to follow it.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] if the first of them is damaged, or if the store cannot be read.
    async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<audit::Record>, StoreError>;

    /// The sealed end of the audit log; nothing for an empty one.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn audit_head(&self) -> Result<Option<audit::Head>, StoreError>;

    /// Adds counts of served requests to those of their minute, and to the uses of their keys.
    ///
    /// # Errors
    /// If the store cannot be written; nothing was counted then.
    async fn add_uses(&self, counted: &[Counted]) -> Result<(), StoreError>;

    /// The newest thousand counts of a key whose minute is not closed yet, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn open_uses(&self, key_id: KeyId) -> Result<Vec<Counted>, StoreError>;

    /// Moves the counts of minutes before `minute` into the audit log, at most `limit` of them;
    /// says how many.
    ///
    /// # Errors
    /// If the store cannot be written; nothing was moved then.
    async fn close_uses(
        &self,
        minute: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// The data keys of a line of keys, newest version first.
    ///
    /// # Errors
    /// If the store cannot be read, or a key in it cannot be decrypted.
    async fn data_keys(&self, lineage: KeyId) -> Result<Vec<DataKey>, StoreError>;

    /// Every server key that signs or once signed access tokens, newest first.
    ///
    /// # Errors
    /// If the store cannot be read, or a key in it cannot be decrypted.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError>;

    /// A user of the embedded directory, by the folded name.
    ///
    /// # Errors
    /// If the store cannot be read, or the row is damaged.
    async fn user(&self, folded: &str) -> Result<Option<UserRecord>, StoreError>;

    /// A page of users in the order of their folded names.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn users(&self, query: &UserQuery) -> Result<Users, StoreError>;

    /// The networks from which somebody logged in to an account, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn known_addresses(&self, account: &str) -> Result<Vec<String>, StoreError>;

    /// Revocations in the order of their subjects' names, after one of them: to load them all.
    ///
    /// # Errors
    /// If the store cannot be read, or one is damaged: nobody may be honoured without it.
    async fn revocations_after(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// Removes revocations that are needed no more, at most `limit`; says how many.
    ///
    /// # Errors
    /// If the store cannot be written.
    async fn forget_revocations(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// The keys that sign or once signed session tokens, newest first; without those that are damaged.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn session_keys(&self) -> Result<Vec<SessionKeyRecord>, StoreError>;

    /// Counts and facts for `doctor` and the metrics.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn health(&self) -> Result<Health, StoreError>;

    /// Waits until another process may have changed something, where the engine tells: whoever follows
    /// the change feed looks again then, and from time to time in any case.
    async fn news(&self) {
        std::future::pending::<()>().await;
    }

    /// Who keeps limits of requests for all processes of this store; nobody where there is one process.
    fn limit_keeper(&self) -> Option<Arc<dyn LimitKeeper>> {
        None
    }

    /// Ends what is under way and closes the database.
    async fn close(&self);
}

/// One transaction.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// What changes, in this order.
    pub changes: Vec<Change>,
    /// What the audit log says of it, in this order.
    pub events: Vec<Event>,
}

/// One change of the store. Each gets a row in the change feed unless it says otherwise.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new key; its version must be 1.
    InsertKey(Box<KeyRecord>),
    /// A changed key. Its `version` is the one that was read; the row gets the next. `use_count`
    /// and `last_used_at` are not written: they belong to [`Store::add_uses`].
    UpdateKey(Box<KeyRecord>),
    /// A new data key; no row in the change feed.
    InsertDataKey(DataKey),
    /// A new server key; those before it should be retired in the same commit.
    InsertSigningKey(SigningKeyRecord),
    /// Every server key is to stop signing; what it signed is verified for so long. One that is
    /// retired already keeps the earlier of both moments.
    RetireSigningKeys {
        /// Until when.
        verify_until: Timestamp,
    },
    /// Server keys whose last token has expired are removed.
    RemoveSigningKeys {
        /// Those that verify until then or earlier.
        now: Timestamp,
    },
    /// A new user; the version must be 1. No row in the change feed.
    InsertUser(Box<UserRecord>),
    /// A changed user. Its `version` is the one that was read; the row gets the next. `last_login_at`
    /// is not written: it belongs to [`Change::NoteLogin`]. No row in the change feed.
    UpdateUser(Box<UserRecord>),
    /// A user is removed, if the row still has this version. No row in the change feed.
    RemoveUser {
        /// Who.
        id: UserId,
        /// The version that was read.
        version: u32,
    },
    /// A user logged in; a conflict if the epoch is over. The version stays. No row in the change feed.
    NoteLogin {
        /// Who.
        id: UserId,
        /// The epoch that the token carries.
        epoch: i64,
        /// When.
        at: Timestamp,
    },
    /// Somebody logged in to an account from a network; the newest [`KNOWN_ADDRESSES`] of an account
    /// are kept. No row in the change feed.
    KnowAddress {
        /// The account's folded name.
        account: String,
        /// The network, as text.
        network: String,
        /// When.
        at: Timestamp,
    },
    /// An account's known networks are forgotten. No row in the change feed.
    ForgetAddresses {
        /// The account's folded name.
        account: String,
    },
    /// Tokens are dead. Of two about one user, the later epoch and the later expiry stay.
    Revoke(Revocation),
    /// A new key that signs session tokens; those before it should be retired in the same commit.
    InsertSessionKey(SessionKeyRecord),
    /// Every key that signs session tokens is to stop; what it signed is verified for so long. One that is retired already keeps the earlier of both moments.
    RetireSessionKeys {
        /// Until when.
        verify_until: Timestamp,
    },
    /// Keys whose last session token has expired are removed.
    RemoveSessionKeys {
        /// Those that verify until then or earlier.
        now: Timestamp,
    },
}

/// How many known networks of an account are kept.
pub const KNOWN_ADDRESSES: u32 = 20;

/// A key that signs session tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKeyRecord {
    /// The PASERK identifier of its public key, `k4.pid.…`.
    pub kid: String,
    /// The Ed25519 seed and public key; encrypted at rest.
    pub secret: Secret<64>,
    /// When it was made, or imported.
    pub created_at: Timestamp,
    /// From when on it signs; from the beginning if there is nothing here.
    pub signs_from: Option<Timestamp>,
    /// Until when what it signed is verified; for good as long as there is nothing here.
    pub verify_until: Option<Timestamp>,
}

impl std::fmt::Debug for SessionKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionKeyRecord({}, {})", self.kid, self.created_at)
    }
}

/// Which users to list, in the order of their folded names.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// Those whose folded name begins with this.
    pub name: Option<String>,
    /// Those that may log in, or may not.
    pub is_active: Option<bool>,
    /// The last folded name of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Users that were looked for. A row that was damaged or tampered with takes no other down with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Those that can be read, in the order asked for.
    pub records: Vec<UserRecord>,
    /// The folded names of those that cannot.
    pub damaged: Vec<String>,
    /// The last folded name of this page, if there are more.
    pub next: Option<String>,
}

/// A key that encrypts what the keys of one lineage seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataKey {
    /// The first key of the line of rotations.
    pub lineage: KeyId,
    /// From 1; the highest encrypts, all decrypt.
    pub version: u32,
    /// The key itself; encrypted at rest.
    pub key: Secret<32>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A server key that signs access tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// The one algorithm it is for.
    pub algorithm: Algorithm,
    /// The private key in PKCS #8; encrypted at rest.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// What it signs.
    pub purpose: Purpose,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs; from the beginning if there is nothing here.
    pub signs_from: Option<Timestamp>,
    /// Until when what it signed is verified; for good as long as there is nothing here.
    pub verify_until: Option<Timestamp>,
}

/// What a server key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Access tokens, and lists of revocations.
    Tokens,
    /// Lists of revocations alone, where access tokens are signed with HS256: no token is taken that
    /// it signs (RFC 8725 section 3.1).
    Lists,
}

impl Purpose {
    /// The name under which the store keeps it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Lists => "lists",
        }
    }
}

/// The text is no name of a [`Purpose`].
#[derive(Debug, Error)]
#[error("a server key is for tokens or for lists")]
pub struct UnknownPurpose;

impl FromStr for Purpose {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Tokens, Self::Lists]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or(UnknownPurpose)
    }
}

impl std::fmt::Debug for SigningKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kid,
            algorithm,
            created_at,
            ..
        } = self;
        write!(f, "SigningKeyRecord({kid}, {algorithm}, {created_at})")
    }
}

/// Which keys to list. Newest first, or by name where names are searched.
#[derive(Clone, Debug, Default)]
pub struct KeyQuery {
    /// Those whose name begins with this, letters' case aside; ordered by (folded name, id).
    pub name: Option<String>,
    /// Those in one state, as recorded.
    pub status: Option<Status>,
    /// Those of one environment.
    pub environment: Option<Environment>,
    /// Those made before this moment alone.
    pub created_before: Option<Timestamp>,
    /// The last key of the page before.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: u32,
}

/// The place of a key in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its folded name ([`fold`]), where names were searched.
    pub name: Option<String>,
    /// Its identifier.
    pub id: KeyId,
}

/// A name as it is searched and sorted: lower case.
#[must_use]
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// Keys that were looked for. A row that was damaged or tampered with takes no other down with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Those that can be read, in the order asked for.
    pub records: Vec<KeyRecord>,
    /// Those that are there but cannot be read: nobody may be honoured on them.
    pub damaged: Vec<KeyId>,
    /// Where the next page starts, if there are more than asked for.
    pub next: Option<Cursor>,
}

/// A place in the change feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPosition(pub u64);

/// What changed since a position.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing, and no two of them make a third"
)]
pub struct Feed {
    /// Where to go on from.
    pub position: FeedPosition,
    /// The keys that changed, as they are now.
    pub keys: Vec<KeyRecord>,
    /// The keys that changed and cannot be read.
    pub damaged: Vec<KeyId>,
    /// Whether a server key was added.
    pub signing_keys: bool,
    /// Whether a key that signs session tokens was added, retired or removed.
    pub session_keys: bool,
    /// What was revoked, as far as it is still there.
    pub revocations: Vec<Revocation>,
    /// Whether rows after the position asked for are gone already: everything must be loaded anew.
    pub lost: bool,
    /// Whether there is more to fetch now.
    pub more: bool,
}

impl Feed {
    /// Nothing new.
    #[must_use]
    pub const fn nothing_after(position: FeedPosition) -> Self {
        Self {
            position,
            keys: Vec::new(),
            damaged: Vec::new(),
            signing_keys: false,
            session_keys: false,
            revocations: Vec::new(),
            lost: false,
            more: false,
        }
    }
}

/// Counts and facts about a store.
#[derive(Clone, Debug)]
pub struct Health {
    /// "sqlite 3.50.1", …
    pub engine: String,
    /// The schema's version.
    pub schema: u32,
    /// How many keys it holds.
    pub keys: u64,
    /// How many of them are active administrators'.
    pub active_admins: u64,
    /// How many users it holds.
    pub users: u64,
    /// The last audit record's place.
    pub audit_records: u64,
}

/// Why a store could not do it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another change came first, or the row exists already.
    #[error("the row was changed by somebody else")]
    Conflict,
    /// The store cannot be reached or did not answer.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// The end of a write was asked for, and no answer came.
    #[error("it is not known whether this was written: {0}")]
    Unconfirmed(String),
    /// What is in it cannot be read: another master key, or damage.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
    /// An audit record cannot be read.
    #[error("audit record {0} is damaged: `sealgate logs --verify` tells whether others are")]
    DamagedRecord(u64),
    /// It was written by a newer program.
    #[error(
        "the store has schema {found}, this program knows up to {known}: use the newer sealgate that upgraded it"
    )]
    NewerSchema {
        /// The store's.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
}
