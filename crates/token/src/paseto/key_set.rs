//! Owns the reading of the published keys of session tokens.

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{SessionKeyError, SessionVerifyingKey};

/// The longest set that is read, in bytes. Ours has 250 for each key.
const MAX_BYTES: usize = 64 * 1024;

/// The keys of session tokens that somebody published.
///
/// Members that mean nothing here are passed over. One key that is not right spoils the set: rather a
/// verifier that keeps the set it had than one that works with half of a set.
#[derive(Debug, Clone, Default)]
pub struct SessionKeySet {
    keys: Vec<Published>,
}

#[derive(Debug, Clone)]
struct Published {
    key: SessionVerifyingKey,
    /// The first second at which nothing of it is good, in unix seconds.
    verify_until: Option<i64>,
}

impl SessionKeySet {
    /// Reads a set as `/.well-known/paseto-keys.json` has it.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKeySet`] with what is wrong.
    pub fn parse(json: &str) -> Result<Self, InvalidSessionKeySet> {
        if json.len() > MAX_BYTES {
            return Err(InvalidSessionKeySet::TooLong);
        }
        let set: Set<'_> =
            serde_json::from_str(json).map_err(|_| InvalidSessionKeySet::Malformed)?;
        let mut keys: Vec<Published> = Vec::new();
        for entry in &set.keys {
            let published = entry.published()?;
            let kid = published.key.kid();
            if keys.iter().any(|known| known.key.kid() == kid) {
                return Err(InvalidSessionKeySet::Twice);
            }
            keys.push(published);
        }
        Ok(Self { keys })
    }

    /// The key of this id, if what it signed is verified now; `now` is in unix seconds.
    pub fn find(&self, kid: &str, now: i64) -> Option<&SessionVerifyingKey> {
        let found = self.keys.iter().find(|known| known.key.kid() == kid)?;
        let verifies = found.verify_until.is_none_or(|until| now < until);
        verifies.then_some(&found.key)
    }

    /// How many keys there are, those included that verify nothing any more.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Why a set of keys of session tokens cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionKeySet {
    /// Longer than 64 KiB.
    #[error("the set of session keys is too long")]
    TooLong,
    /// Not an object with an array of keys called `keys`, or a member that is there twice.
    #[error("the set of session keys is not well formed")]
    Malformed,
    /// A key that is none.
    #[error("a key in the set of session keys cannot be used: {0}")]
    Rejected(#[from] SessionKeyError),
    /// A `kid` that is not the key's own.
    #[error("a key in the set of session keys does not have its own id")]
    ForeignId,
    /// The same key twice.
    #[error("a key is in the set of session keys twice")]
    Twice,
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    kid: &'a str,
    paserk: &'a str,
    verify_until: Option<&'a str>,
}

impl Entry<'_> {
    fn published(&self) -> Result<Published, InvalidSessionKeySet> {
        let key = SessionVerifyingKey::from_paserk(self.paserk)?;
        if key.kid() != self.kid {
            return Err(InvalidSessionKeySet::ForeignId);
        }
        let verify_until = self
            .verify_until
            .map(|text| OffsetDateTime::parse(text, &Rfc3339).map(OffsetDateTime::unix_timestamp))
            .transpose()
            .map_err(|_| InvalidSessionKeySet::Malformed)?;
        Ok(Published { key, verify_until })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::paseto::SessionSigningKey;

    fn entry(seed: u8, verify_until: &Value) -> Value {
        let key = SessionSigningKey::from_seed(&[seed; 32]).unwrap();
        let public = key.verifying_key();
        json!({
            "kid": public.kid(),
            "paserk": public.paserk(),
            "created_at": "2026-11-01T00:00:00Z",
            "verify_until": verify_until,
        })
    }

    fn parse(keys: &[Value]) -> Result<SessionKeySet, InvalidSessionKeySet> {
        SessionKeySet::parse(&json!({ "keys": keys }).to_string())
    }

    #[test]
    fn a_key_is_found_for_as_long_as_it_verifies() {
        let (signs, retired) = (
            entry(1, &Value::Null),
            entry(2, &json!("2027-01-15T08:00:00.5Z")),
        );
        let set = parse(&[signs.clone(), retired.clone()]).unwrap();
        let kid = |entry: &Value| entry["kid"].as_str().unwrap().to_owned();
        assert!(set.find(&kid(&signs), i64::MAX).is_some());
        assert!(set.find(&kid(&retired), 1_799_999_999).is_some());
        assert!(set.find(&kid(&retired), 1_800_000_000).is_none());
        assert!(set.find("k4.pid.x", 0).is_none());
        assert_eq!(set.len(), 2);
        assert!(parse(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_set_with_a_key_that_is_not_right_is_refused() {
        let good = entry(1, &Value::Null);
        let altered = |member: &str, value: Value| {
            let mut entry = good.clone();
            entry[member] = value;
            parse(&[entry]).unwrap_err()
        };
        assert_eq!(
            altered("kid", entry(2, &Value::Null)["kid"].clone()),
            InvalidSessionKeySet::ForeignId
        );
        assert!(matches!(
            altered("paserk", json!("k4.secret.AA")),
            InvalidSessionKeySet::Rejected(_)
        ));
        let malformed = InvalidSessionKeySet::Malformed;
        assert_eq!(altered("paserk", Value::Null), malformed);
        assert_eq!(altered("verify_until", json!("tomorrow")), malformed);
        assert_eq!(
            parse(&[good.clone(), good.clone()]).unwrap_err(),
            InvalidSessionKeySet::Twice
        );
        for text in ["", "{}", "[]", r#"{"keys":1}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(SessionKeySet::parse(text).unwrap_err(), malformed);
        }
        let long = format!(r#"{{"keys":[]{}}}"#, " ".repeat(MAX_BYTES));
        assert_eq!(
            SessionKeySet::parse(&long).unwrap_err(),
            InvalidSessionKeySet::TooLong
        );
    }
}
