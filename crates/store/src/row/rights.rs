//! What the encrypted secret of a key vouches for, and as which bytes.

use sealgate_core::clock::Timestamp;
use sealgate_core::key::{Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt};
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::rate::{DEFAULT_WINDOW_SECONDS, RateLimit};

use crate::cipher::Fields;

/// Everything that decides whether a key is honoured and for what. The key's encrypted secret
/// vouches for it: who writes to the database without the master key can neither make a key an
/// administrator's nor bring a dead one back.
pub struct Rights<'a> {
    pub prefix: KeyPrefix,
    pub salt: &'a Salt,
    pub hash: &'a KeyHash,
    pub permissions: &'a Permissions,
    pub is_admin: bool,
    pub environment: Environment,
    pub rate_limit: Option<RateLimit>,
    pub allowed_ips: &'a AllowList,
    pub state: &'a KeyState,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub rotated_from: Option<KeyId>,
    pub lineage: KeyId,
    pub version: u32,
}

impl<'a> Rights<'a> {
    /// The rights of a key in a row that has, or will have, this version.
    pub const fn of(key: &'a KeyRecord, version: u32) -> Self {
        Self {
            prefix: key.prefix,
            salt: &key.salt,
            hash: &key.hash,
            permissions: &key.permissions,
            is_admin: key.is_admin,
            environment: key.environment,
            rate_limit: key.rate_limit,
            allowed_ips: &key.allowed_ips,
            state: &key.state,
            created_at: key.created_at,
            expires_at: key.expires_at,
            rotated_from: key.rotated_from,
            lineage: key.lineage,
            version,
        }
    }

    /// The bytes that are vouched for. What is on disk depends on every one of them: this never
    /// changes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (rotated_to, times) = match self.state {
            KeyState::Active | KeyState::Disabled | KeyState::Expired => (None, [None, None]),
            KeyState::Rotated { to, until } => (Some(*to), [Some(*until), None]),
            KeyState::Revoked { at, rotated_to, .. } => (*rotated_to, [None, Some(*at)]),
        };
        let mut fields = Fields(Vec::with_capacity(512));
        fields.push(self.prefix.as_str());
        fields.push(self.salt.0);
        fields.push(self.hash.as_bytes());
        fields.push(self.permissions.as_str());
        fields.push([u8::from(self.is_admin)]);
        fields.push(self.environment.as_str());
        fields.push_or_not(self.rate_limit.map(limit_to_bytes));
        fields.push(self.state.status().as_str());
        for time in [Some(self.created_at), self.expires_at]
            .into_iter()
            .chain(times)
        {
            fields.push_or_not(time.map(|time| time.as_millis().to_be_bytes()));
        }
        for id in [Some(self.lineage), self.rotated_from, rotated_to] {
            fields.push_or_not(id.map(|id| id.0.into_bytes()));
        }
        fields.push(self.version.to_be_bytes());
        for network in self.allowed_ips.entries() {
            fields.push(network);
        }
        fields.0
    }
}

/// The number, and the window unless it is the hour that was the only one before schema 3.
fn limit_to_bytes(limit: RateLimit) -> Vec<u8> {
    let mut bytes = limit.requests().to_be_bytes().to_vec();
    if limit.window_seconds() != DEFAULT_WINDOW_SECONDS {
        bytes.extend(limit.window_seconds().to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;
    use crate::sqlite::fixture::key;
    use uuid::Uuid;

    #[test]
    fn what_a_secret_vouches_for_is_the_same_bytes_for_good() {
        let id = |number| KeyId(Uuid::from_u128(number));
        let key = KeyRecord {
            salt: Salt([0x11; 16]),
            hash: KeyHash::new([0x22; 32]),
            is_admin: true,
            rate_limit: RateLimit::new(5, 3_600).ok(),
            allowed_ips: AllowList::parse(&["10.0.0.0/8", "::1"]).unwrap(),
            state: KeyState::Rotated {
                to: id(3),
                until: Timestamp::from_millis(4),
            },
            expires_at: Some(Timestamp::from_millis(-1)),
            rotated_from: None,
            lineage: id(7),
            ..key(1)
        };
        let fields = [
            "000000086162636465666768",
            "0000001011111111111111111111111111111111",
            "000000202222222222222222222222222222222222222222222222222222222222222222",
            "000000086170693a72656164",
            "0000000101",
            "0000000a70726f64756374696f6e",
            "0000000400000005",
            "00000007726f7461746564",
            "0000000800000000000003e8",
            "00000008ffffffffffffffff",
            "000000080000000000000004",
            "ffffffff",
            "0000001000000000000000000000000000000007",
            "ffffffff",
            "0000001000000000000000000000000000000003",
            "0000000400000009",
            "0000000a31302e302e302e302f38",
            "000000033a3a31",
        ];
        let bytes = Rights::of(&key, 9).to_bytes();
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        assert_eq!(hex, fields.concat());
    }

    #[test]
    fn a_secret_vouches_for_the_window_of_a_limit() {
        let bytes = |limit: Option<RateLimit>| {
            let key = KeyRecord {
                rate_limit: limit,
                ..key(1)
            };
            Rights::of(&key, 1).to_bytes()
        };
        let limits = [(5, 1), (5, 60), (5, 3_600), (60, 5), (1, 1)];
        let limits = limits.map(|(requests, window)| RateLimit::new(requests, window).ok());
        let told: BTreeSet<_> = limits.into_iter().chain([None]).map(bytes).collect();
        assert_eq!(told.len(), 6);
    }
}
