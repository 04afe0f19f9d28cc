//! Records to store: deterministic, and each field told apart from its neighbours.

use std::sync::Arc;

use sealgate_core::audit::{Action, Actor, Event};
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt};
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::random::{SeededRandom, array, uuid};
use sealgate_core::secret::Secret;
use sealgate_core::store::{Change, DataKey, SigningKeyRecord};
use sealgate_core::tally::{Count, Counted, Use};
use sealgate_token::jwt::Algorithm;
use zeroize::Zeroizing;

use super::BIRTH;

/// A key made so many seconds after the store.
pub fn key(number: u32) -> KeyRecord {
    let random = &SeededRandom::new(u64::from(number));
    let created_at = BIRTH.plus_seconds(i64::from(number));
    let id = KeyId(uuid(random, created_at));
    KeyRecord {
        id,
        prefix: KeyPrefix::parse(&format!("p{number:07}")).unwrap(),
        salt: Salt(array(random)),
        hash: KeyHash::new(array(random)),
        token_secret: Secret::random(random),
        name: format!("Key {number}"),
        description: String::new(),
        permissions: Permissions::parse("api:read").unwrap(),
        is_admin: false,
        environment: Environment::Production,
        rate_limit: None,
        allowed_ips: AllowList::default(),
        state: KeyState::Active,
        created_at,
        expires_at: None,
        rotated_from: None,
        lineage: id,
        last_used_at: None,
        use_count: 0,
        version: 1,
    }
}

/// A key with every optional field present.
pub fn full_key(number: u32) -> KeyRecord {
    KeyRecord {
        name: "Schlüssel “für” 🔑".to_owned(),
        description: "two\nlines, \0 and ' \" % _ \\".to_owned(),
        permissions: Permissions::parse("api:read token:* *").unwrap(),
        is_admin: true,
        environment: Environment::Testing,
        rate_limit: Some(u32::MAX),
        allowed_ips: AllowList::parse(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]).unwrap(),
        expires_at: Some(BIRTH.plus_days(90)),
        rotated_from: Some(key(number + 1).id),
        lineage: key(number + 2).id,
        last_used_at: Some(BIRTH.plus_seconds(7)),
        use_count: 1 << 40,
        ..key(number)
    }
}

/// Every state, with and without what is optional in it.
pub fn states() -> Vec<KeyState> {
    let (other, time) = (key(1_000_000).id, BIRTH.plus_millis(1_234));
    let revoked = |reason: Option<&str>, rotated_to| KeyState::Revoked {
        at: time,
        reason: reason.map(str::to_owned),
        rotated_to,
    };
    vec![
        KeyState::Active,
        KeyState::Disabled,
        KeyState::Expired,
        KeyState::Rotated {
            to: other,
            until: time,
        },
        revoked(None, None),
        revoked(Some(""), None),
        revoked(Some("it leaked"), Some(other)),
    ]
}

/// The insertion of a key.
pub fn insert(key: &KeyRecord) -> Change {
    Change::InsertKey(Box::new(key.clone()))
}

/// The update of a key.
pub fn update(key: &KeyRecord) -> Change {
    Change::UpdateKey(Box::new(key.clone()))
}

/// Something that happened to a key, told apart by a number in its details.
pub fn event(key_id: Option<KeyId>, number: u32) -> Event {
    Event::new(
        BIRTH.plus_seconds(1),
        Action::KeyUpdated,
        key_id,
        &Actor::System,
    )
    .with_details([("number", number.into())])
}

/// A data key.
pub fn data_key(lineage: KeyId, version: u32) -> DataKey {
    let key = Secret::random(&SeededRandom::new(u64::from(version) + 77));
    DataKey {
        lineage,
        version,
        key,
        created_at: BIRTH.plus_seconds(i64::from(version)),
    }
}

/// A server key; one of a higher number is newer.
pub fn signing_key(number: u8) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: format!("kid-{number}"),
        algorithm: Algorithm::EdDsa,
        pkcs8: Zeroizing::new(vec![number; 85]),
        created_at: BIRTH.plus_seconds(i64::from(number)),
    }
}

/// Requests of a key within a minute after [`BIRTH`], the last one `second` seconds into it.
pub fn counted(key_id: KeyId, minute: i64, address: Option<[u8; 4]>, requests: u64) -> Counted {
    let minute = first_minute().plus_seconds(60 * minute);
    let last = minute.plus_seconds(i64::try_from(requests).unwrap() % 60);
    let of = Use {
        minute,
        key_id,
        address: address.map(Into::into),
        route: Arc::from("GET /api/encrypt"),
    };
    Counted {
        of,
        count: Count { requests, last },
    }
}

/// The minute that [`counted`] begins at.
pub fn first_minute() -> Timestamp {
    BIRTH.plus_seconds(60).minute()
}
