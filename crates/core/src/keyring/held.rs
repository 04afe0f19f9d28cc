//! What the keyring tells of a key.

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::key::{Environment, KeyId, KeyPrefix, KeyRecord, Status};
use crate::network::AllowList;
use crate::permission::Permissions;
use crate::rate::RateLimit;

/// Until when a condemned key is honoured; no expiry of an active key is as early.
pub(super) const CONDEMNED: Timestamp = Timestamp::from_millis(i64::MIN);

/// What every key may do, and from where: shared by the keys for which it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// What the key may do.
    pub permissions: Permissions,
    /// Whether it administers Sealgate.
    pub is_admin: bool,
    /// The stage it belongs to.
    pub environment: Environment,
    /// How often it may be used; no limit if absent.
    pub rate_limit: Option<RateLimit>,
    /// The line of rotations whose limit it shares, of a key with a limit that replaced another.
    limited_as: Option<KeyId>,
    /// Where it may be used from.
    pub allowed_ips: AllowList,
}

impl Profile {
    pub(super) fn of(record: &KeyRecord) -> Self {
        Self {
            permissions: record.permissions.clone(),
            is_admin: record.is_admin,
            environment: record.environment,
            rate_limit: record.rate_limit,
            limited_as: (record.rate_limit.is_some() && record.lineage != record.id)
                .then_some(record.lineage),
            allowed_ips: record.allowed_ips.clone(),
        }
    }
}

/// A key the keyring holds, as far as verification cares.
#[derive(Clone, Debug)]
pub struct Held {
    /// The key.
    pub key_id: KeyId,
    /// Its visible prefix.
    pub prefix: KeyPrefix,
    /// Its state as recorded.
    pub status: Status,
    /// Until when it is honoured.
    pub honoured_until: Timestamp,
    /// What it may do, and from where.
    pub profile: Arc<Profile>,
}

impl Held {
    /// The state at a moment: what is recorded as active may have expired since. A condemned key
    /// stays what it was last known as, and is not honoured.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> Status {
        match self.status {
            status if self.honoured_until == CONDEMNED => status,
            Status::Active if now >= self.honoured_until => Status::Expired,
            status => status,
        }
    }

    /// Whether the key is honoured at a moment: active, or rotated and in its grace.
    #[must_use]
    pub fn is_honoured(&self, now: Timestamp) -> bool {
        now < self.honoured_until
    }

    /// Whose use of the limit counts: a key and those that replaced it have one limit together, so
    /// that a rotation with a grace does not double it.
    #[must_use]
    pub fn limited_as(&self) -> KeyId {
        self.profile.limited_as.unwrap_or(self.key_id)
    }

    /// Whether the key may be used from an address.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.profile.allowed_ips.allows(address)
    }
}
