//! Managed keys: how they are written ([`format`]), what the store keeps of one ([`KeyRecord`]), and
//! the life cycle they go through (`state`).

mod format;
mod state;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use self::format::{
    InvalidKey, KeyHash, KeyHasher, KeyPrefix, LENGTH, PREFIX_LENGTH, PresentedKey, Salt, generate,
};
pub use self::state::{IllegalTransition, KeyState, Status};
use crate::clock::Timestamp;
use crate::network::AllowList;
use crate::permission::Permissions;
use crate::rate::RateLimit;
use crate::secret::Secret;

/// A managed key's public identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Uuid);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The stage a key belongs to; a server takes keys of its own stage alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Developers' machines.
    Development,
    /// Tests and staging.
    Testing,
    /// The real thing.
    #[default]
    Production,
}

impl Environment {
    /// Every environment.
    pub const ALL: [Self; 3] = [Self::Development, Self::Testing, Self::Production];

    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Testing => "testing",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no name of an [`Environment`].
#[derive(Debug, Error)]
#[error("an environment is one of development, testing, production")]
pub struct UnknownEnvironment;

impl FromStr for Environment {
    type Err = UnknownEnvironment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or(UnknownEnvironment)
    }
}

/// What the store keeps of a managed key. The key itself is not in it, only its salted hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public identifier.
    pub id: KeyId,
    /// The first eight characters of the key, for look-up; not unique.
    pub prefix: KeyPrefix,
    /// Random, of this key alone.
    pub salt: Salt,
    /// HMAC-SHA-256, keyed by the pepper, of salt and key.
    pub hash: KeyHash,
    /// Signs this key's access tokens with HS256; encrypted at rest.
    pub token_secret: Secret<32>,
    /// 1 to 100 characters.
    pub name: String,
    /// Free text of at most 1,000 characters; may be empty.
    pub description: String,
    /// What the key may do.
    pub permissions: Permissions,
    /// Whether the key administers Sealgate; it then has every permission.
    pub is_admin: bool,
    /// The stage the key belongs to.
    pub environment: Environment,
    /// How often the key may be used; no limit if absent.
    pub rate_limit: Option<RateLimit>,
    /// Where the key may be used from.
    pub allowed_ips: AllowList,
    /// Where in its life the key is.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops by itself; never if absent.
    pub expires_at: Option<Timestamp>,
    /// The key this one replaced.
    pub rotated_from: Option<KeyId>,
    /// The first key of this line of rotations: whose data keys this one can use.
    pub lineage: KeyId,
    /// When it was last used, as far as counted.
    pub last_used_at: Option<Timestamp>,
    /// How often it was used, as far as counted.
    pub use_count: u64,
    /// Grows by one with each change of the row; the higher of two copies is the newer.
    pub version: u32,
}

impl KeyRecord {
    /// When the rotation policy wants the key replaced; nothing for a key that is not active.
    #[must_use]
    pub fn rotation_due_at(&self, now: Timestamp, rotation_days: u32) -> Option<Timestamp> {
        (self.status(now) == Status::Active)
            .then(|| self.created_at.plus_days(i64::from(rotation_days)))
    }

    /// The key that replaced this one.
    #[must_use]
    pub const fn rotated_to(&self) -> Option<KeyId> {
        match self.state {
            KeyState::Rotated { to, .. }
            | KeyState::Revoked {
                rotated_to: Some(to),
                ..
            } => Some(to),
            _ => None,
        }
    }
}
