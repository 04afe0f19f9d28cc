//! The life cycle of a managed key: its states and the transitions between them, each of which
//! consumes the record and gives the changed one back.
//!
//! ```text
//!            disable ⇄ enable
//!   active ───────────────────── disabled
//!     │ time            rotate      │
//!     ├─────── expired    │         │
//!     ├─────── rotated ◄──┘         │   (still good until its grace ends)
//!     └─────── revoked ◄────────────┘   (from every state; final)
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{KeyId, KeyRecord};
use crate::clock::Timestamp;

/// Where in its life a key is, as the store keeps it. Expiry by time is read off the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Usable until it expires.
    Active,
    /// Switched off by an administrator; can be switched on again.
    Disabled,
    /// Past its expiry, and recorded as such.
    Expired,
    /// Replaced by another key.
    Rotated {
        /// The key that replaced it.
        to: KeyId,
        /// Until when it is still honoured; the moment of rotation if there was no grace.
        until: Timestamp,
    },
    /// Dead for good.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why, if someone said so.
        reason: Option<String>,
        /// The key that had replaced it before.
        rotated_to: Option<KeyId>,
    },
}

/// A key's state in one word, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use.
    Active,
    /// Switched off.
    Disabled,
    /// Past its expiry.
    Expired,
    /// Replaced; perhaps still in its grace.
    Rotated,
    /// Dead for good.
    Revoked,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::Disabled,
        Self::Expired,
        Self::Rotated,
        Self::Revoked,
    ];

    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no name of a [`Status`].
#[derive(Debug, Error)]
#[error("a status is one of active, disabled, expired, rotated, revoked")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// A change that a key's state does not allow.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a key that is {from} cannot be {wanted}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: Status,
    /// What was asked for: "rotated", "enabled", …
    pub wanted: &'static str,
}

impl KeyState {
    /// The state's name, whatever the time.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Active => Status::Active,
            Self::Disabled => Status::Disabled,
            Self::Expired => Status::Expired,
            Self::Rotated { .. } => Status::Rotated,
            Self::Revoked { .. } => Status::Revoked,
        }
    }
}

impl KeyRecord {
    /// The state at one moment: an active or disabled key past its expiry is expired.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        match self.state.status() {
            Status::Active | Status::Disabled if self.expires_at.is_some_and(|at| at <= now) => {
                Status::Expired
            }
            status => status,
        }
    }

    /// Until when the key is honoured if nothing else happens; the past if it is dead.
    #[must_use]
    pub fn honoured_until(&self) -> Timestamp {
        let expiry = self.expires_at.unwrap_or(Timestamp::from_millis(i64::MAX));
        match self.state {
            KeyState::Active => expiry,
            KeyState::Rotated { until, .. } => until.min(expiry),
            _ => Timestamp::from_millis(i64::MIN),
        }
    }

    /// Whether the key is honoured at a moment.
    #[must_use]
    pub fn is_honoured(&self, now: Timestamp) -> bool {
        now < self.honoured_until()
    }

    /// When it was revoked.
    #[must_use]
    pub const fn revoked_at(&self) -> Option<Timestamp> {
        match self.state {
            KeyState::Revoked { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Switches an active key off.
    ///
    /// # Errors
    /// If it is neither active nor disabled already.
    pub fn disable(self, now: Timestamp) -> Result<Self, IllegalTransition> {
        match self.status(now) {
            Status::Active | Status::Disabled => Ok(self.into_state(KeyState::Disabled)),
            from => Err(IllegalTransition {
                from,
                wanted: "disabled",
            }),
        }
    }

    /// Switches a disabled key on again.
    ///
    /// # Errors
    /// If it is neither disabled nor active already.
    pub fn enable(self, now: Timestamp) -> Result<Self, IllegalTransition> {
        match self.status(now) {
            Status::Active | Status::Disabled => Ok(self.into_state(KeyState::Active)),
            from => Err(IllegalTransition {
                from,
                wanted: "enabled",
            }),
        }
    }

    /// Moves the expiry; a later one brings an expired key back.
    ///
    /// # Errors
    /// If the key was rotated or revoked.
    pub fn expire_at(
        mut self,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, IllegalTransition> {
        if let from @ (Status::Rotated | Status::Revoked) = self.status(now) {
            return Err(IllegalTransition {
                from,
                wanted: "given another expiry",
            });
        }
        self.expires_at = at;
        if self.state == KeyState::Expired && at.is_none_or(|at| at > now) {
            self.state = KeyState::Active;
        }
        Ok(self)
    }

    /// Records that the expiry has passed.
    ///
    /// # Errors
    /// If it has not, or the key is switched off: it stays so, whatever becomes of its expiry.
    pub fn expire(self, now: Timestamp) -> Result<Self, IllegalTransition> {
        match self.status(now) {
            Status::Expired if self.state != KeyState::Disabled => {
                Ok(self.into_state(KeyState::Expired))
            }
            from => Err(IllegalTransition {
                from,
                wanted: "expired",
            }),
        }
    }

    /// Hands over to another key, at once or after `grace_seconds`.
    ///
    /// # Errors
    /// If the key is not active: what is dead must not come back under another name.
    pub fn rotate(
        self,
        to: KeyId,
        now: Timestamp,
        grace_seconds: u32,
    ) -> Result<Self, IllegalTransition> {
        match self.status(now) {
            Status::Active => {
                let until = now.plus_seconds(i64::from(grace_seconds));
                Ok(self.into_state(KeyState::Rotated { to, until }))
            }
            from => Err(IllegalTransition {
                from,
                wanted: "rotated",
            }),
        }
    }

    /// Kills the key for good.
    ///
    /// # Errors
    /// If it was revoked before: the first time and reason stand.
    pub fn revoke(self, now: Timestamp, reason: Option<String>) -> Result<Self, IllegalTransition> {
        if let KeyState::Revoked { .. } = self.state {
            return Err(IllegalTransition {
                from: Status::Revoked,
                wanted: "revoked again",
            });
        }
        let rotated_to = self.rotated_to();
        Ok(self.into_state(KeyState::Revoked {
            at: now,
            reason,
            rotated_to,
        }))
    }

    fn into_state(mut self, state: KeyState) -> Self {
        self.state = state;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Environment, KeyHash, KeyPrefix, Salt};
    use crate::network::AllowList;
    use crate::permission::Permissions;
    use crate::secret::Secret;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn key() -> KeyRecord {
        KeyRecord {
            id: KeyId(Uuid::from_u128(1)),
            prefix: KeyPrefix::parse("abcdefgh").unwrap(),
            salt: Salt([0; 16]),
            hash: KeyHash::new([0; 32]),
            token_secret: Secret::new([0; 32]),
            name: "k".into(),
            description: String::new(),
            permissions: Permissions::parse("api:read").unwrap(),
            is_admin: false,
            environment: Environment::Production,
            rate_limit: None,
            allowed_ips: AllowList::default(),
            state: KeyState::Active,
            created_at: Timestamp::from_seconds(0),
            expires_at: Some(Timestamp::from_seconds(2_000)),
            rotated_from: None,
            lineage: KeyId(Uuid::from_u128(1)),
            last_used_at: None,
            use_count: 0,
            version: 1,
        }
    }

    fn other() -> KeyId {
        KeyId(Uuid::from_u128(2))
    }

    #[test]
    fn a_key_is_honoured_up_to_the_moment_it_expires() {
        assert!(key().is_honoured(Timestamp::from_millis(1_999_999)));
        assert!(!key().is_honoured(Timestamp::from_seconds(2_000)));
        assert_eq!(
            key().status(Timestamp::from_seconds(2_000)),
            Status::Expired
        );
    }

    #[test]
    fn a_rotated_key_lives_through_its_grace_and_no_longer_than_its_expiry() {
        let at_once = key().rotate(other(), NOW, 0).unwrap();
        assert!(!at_once.is_honoured(NOW));
        let graceful = key().rotate(other(), NOW, 60).unwrap();
        assert!(graceful.is_honoured(NOW.plus_seconds(59)));
        assert!(!graceful.is_honoured(NOW.plus_seconds(60)));
        let long = key().rotate(other(), NOW, 5_000).unwrap();
        assert!(!long.is_honoured(Timestamp::from_seconds(2_000)));
        assert_eq!(graceful.rotated_to(), Some(other()));
    }

    #[test]
    fn revocation_is_final_and_keeps_what_replaced_the_key() {
        let revoked = key()
            .rotate(other(), NOW, 60)
            .unwrap()
            .revoke(NOW, None)
            .unwrap();
        assert!(!revoked.is_honoured(NOW));
        assert_eq!(revoked.rotated_to(), Some(other()));
        assert!(revoked.clone().revoke(NOW, None).is_err());
        assert!(revoked.clone().enable(NOW).is_err());
        assert!(revoked.clone().rotate(other(), NOW, 0).is_err());
        assert!(revoked.expire_at(None, NOW).is_err());
    }

    #[test]
    fn only_an_active_key_can_be_rotated() {
        let disabled = key().disable(NOW).unwrap();
        let refusal = disabled.clone().rotate(other(), NOW, 0).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "a key that is disabled cannot be rotated"
        );
        assert!(
            disabled
                .enable(NOW)
                .unwrap()
                .rotate(other(), NOW, 0)
                .is_ok()
        );
        assert!(
            key()
                .rotate(other(), Timestamp::from_seconds(3_000), 0)
                .is_err()
        );
    }

    #[test]
    fn an_expired_key_comes_back_only_with_a_later_expiry() {
        let late = Timestamp::from_seconds(3_000);
        let expired = key().expire(late).unwrap();
        assert!(expired.clone().enable(late).is_err());
        assert!(
            !expired
                .clone()
                .expire_at(Some(NOW), late)
                .unwrap()
                .is_honoured(late)
        );
        assert!(
            expired
                .expire_at(Some(late.plus_days(1)), late)
                .unwrap()
                .is_honoured(late)
        );
        assert!(key().expire(NOW).is_err());
    }

    #[test]
    fn a_disabled_key_stays_disabled_whatever_becomes_of_its_expiry() {
        let late = Timestamp::from_seconds(3_000);
        let disabled = key().disable(NOW).unwrap();
        assert_eq!(disabled.status(late), Status::Expired);
        assert!(disabled.clone().expire(late).is_err());
        let moved = disabled.expire_at(None, late).unwrap();
        assert_eq!(moved.status(late), Status::Disabled);
        assert!(!moved.is_honoured(late));
    }

    #[test]
    fn rotation_is_due_for_active_keys_alone() {
        assert_eq!(
            key().rotation_due_at(NOW, 90),
            Some(Timestamp::from_seconds(90 * 86_400))
        );
        assert_eq!(key().disable(NOW).unwrap().rotation_due_at(NOW, 90), None);
    }
}
