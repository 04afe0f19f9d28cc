//! Records to store: deterministic, and each field told apart from its neighbours.

use std::sync::Arc;

use sealgate_core::audit::{Action, Actor, Event};
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt};
use sealgate_core::network::AllowList;
use sealgate_core::password::PasswordHash;
use sealgate_core::permission::Permissions;
use sealgate_core::random::{SeededRandom, array, uuid};
use sealgate_core::rate::RateLimit;
use sealgate_core::revocation::{Revocation, Subject};
use sealgate_core::secret::Secret;
use sealgate_core::store::{Change, DataKey, Purpose, SessionKeyRecord, SigningKeyRecord};
use sealgate_core::tally::{Count, Counted, Use};
use sealgate_core::user::{UserId, UserProfile, UserRecord, Username};
use sealgate_token::jwt::Algorithm;
use serde_json::json;
use uuid::Uuid;
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
        rate_limit: RateLimit::new(u32::MAX, 3_600).ok(),
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
        purpose: Purpose::Tokens,
        created_at: BIRTH.plus_seconds(i64::from(number)),
        signs_from: None,
        verify_until: None,
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

/// A user made so many seconds after the store.
pub fn user(number: u32) -> UserRecord {
    user_named(number, &format!("user-{number}"))
}

/// A user of that name.
pub fn user_named(number: u32, name: &str) -> UserRecord {
    let created_at = BIRTH.plus_seconds(i64::from(number));
    UserRecord {
        id: UserId(uuid(&SeededRandom::new(u64::from(number)), created_at)),
        username: Username::parse(name).unwrap(),
        profile: UserProfile::default(),
        password: password(number),
        is_active: true,
        epoch: created_at.as_millis(),
        created_at,
        password_changed_at: created_at.plus_millis(1),
        last_login_at: None,
        version: 1,
    }
}

/// A user with every optional field present.
pub fn full_user(number: u32) -> UserRecord {
    let attributes = json!({"a": null, "é": [1, -2.5, "\0"], "z": {"deep": true}});
    UserRecord {
        profile: UserProfile {
            display_name: Some("Ada “King” 🔑".to_owned()),
            email: Some("ada@example.com".to_owned()),
            roles: vec!["admin".to_owned(), String::new()],
            attributes: attributes.as_object().unwrap().clone(),
        },
        epoch: i64::MAX,
        last_login_at: Some(BIRTH.plus_days(1)),
        ..user(number)
    }
}

/// The hash of a password, in the form of Argon2id's.
pub fn password(number: u32) -> PasswordHash {
    let text = format!("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA${number:A<43}");
    PasswordHash::parse(&text).unwrap()
}

/// The insertion of a user.
pub fn insert_user(user: &UserRecord) -> Change {
    Change::InsertUser(Box::new(user.clone()))
}

/// The update of a user.
pub fn update_user(user: &UserRecord) -> Change {
    Change::UpdateUser(Box::new(user.clone()))
}

/// A login to an account from a network, so many seconds after [`BIRTH`].
pub fn know_address(account: &str, network: &str, seconds: i64) -> Change {
    Change::KnowAddress {
        account: account.to_owned(),
        network: network.to_owned(),
        at: BIRTH.plus_seconds(seconds),
    }
}

/// A dead token, until so many seconds after [`BIRTH`].
pub fn revoked_token(number: u128, seconds: i64) -> Revocation {
    Revocation {
        subject: Subject::Token(Uuid::from_u128(number << 64 | 0xABC)),
        expires_at: BIRTH.plus_seconds(seconds),
    }
}

/// A user whose epochs up to one are over, until so many seconds after [`BIRTH`].
pub fn revoked_user(name: &str, epoch: i64, seconds: i64) -> Revocation {
    let name = name.to_owned();
    Revocation {
        subject: Subject::User { name, epoch },
        expires_at: BIRTH.plus_seconds(seconds),
    }
}

/// A key that signs session tokens; one of a higher number is newer.
pub fn session_key(number: u8) -> SessionKeyRecord {
    SessionKeyRecord {
        kid: format!("k4.pid.{number}"),
        secret: Secret::new([number; 64]),
        created_at: BIRTH.plus_seconds(i64::from(number)),
        signs_from: None,
        verify_until: None,
    }
}
