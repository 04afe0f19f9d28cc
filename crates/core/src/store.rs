//! What the domain asks of a database: the [`Store`] trait, and the changes it takes.
//!
//! A [`Commit`] is one transaction: changes, their audit records and their rows in the change feed
//! stand or fall together, and `commit` returns once they are durable. The store holds no rule of
//! the domain; it checks that the rows it changes are still those that were read.

use async_trait::async_trait;
use sealgate_token::jwt::Algorithm;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::audit::{self, Event};
use crate::clock::Timestamp;
use crate::key::{Environment, KeyId, KeyPrefix, KeyRecord, Status};
use crate::secret::Secret;
use crate::tally::Counted;

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

    /// Every key with a prefix, oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn keys_with_prefix(&self, prefix: KeyPrefix) -> Result<Keys, StoreError>;

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

    /// Counts and facts for `doctor` and the metrics.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn health(&self) -> Result<Health, StoreError>;

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
#[expect(
    clippy::enum_variant_names,
    reason = "keys of three kinds are what there is so far"
)]
pub enum Change {
    /// A new key; its version must be 1.
    InsertKey(Box<KeyRecord>),
    /// A changed key. Its `version` is the one that was read; the row gets the next. `use_count`
    /// and `last_used_at` are not written: they belong to [`Store::add_uses`].
    UpdateKey(Box<KeyRecord>),
    /// A new data key; no row in the change feed.
    InsertDataKey(DataKey),
    /// A new server key.
    InsertSigningKey(SigningKeyRecord),
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
    /// When it was made.
    pub created_at: Timestamp,
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
pub struct Feed {
    /// Where to go on from.
    pub position: FeedPosition,
    /// The keys that changed, as they are now.
    pub keys: Vec<KeyRecord>,
    /// The keys that changed and cannot be read.
    pub damaged: Vec<KeyId>,
    /// Whether a server key was added.
    pub signing_keys: bool,
    /// Whether rows after the position asked for are gone already: everything must be loaded anew.
    pub lost: bool,
    /// Whether there is more to fetch now.
    pub more: bool,
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
