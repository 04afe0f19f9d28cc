//! Users of the embedded directory: what the store keeps of one ([`UserRecord`]), and how a user's
//! name is written, and what administrators ask for ([`UserRequest`], [`UserPatch`]).

mod request;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::request::{UserPatch, UserRequest, secret_text};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::identity::UserData;
use crate::password::PasswordHash;

/// Longest name of a user, in characters.
pub const MAX_USERNAME: usize = 100;

/// A user's public identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The name a user logs in with, as it was first written. Letters' case does not tell users apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Checks a name: 1 to 100 letters, digits and `. _ @ + -` of ASCII, a letter or digit first. No
    /// two such names look alike, and each fits a path and a log line.
    ///
    /// # Errors
    /// Says what a name can be.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte);
        let begins = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_USERNAME && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid(
                "username",
                "a user name has 1 to 100 letters, digits and the characters . _ @ + - and begins \
                 with a letter or a digit",
            ))
        }
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is looked up.
    #[must_use]
    pub fn folded(&self) -> String {
        fold_username(&self.0)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

pub use sealgate_token::revocations::fold_username;

/// What the store keeps of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The public identifier.
    pub id: UserId,
    /// The name to log in with, unique whatever its letters' case.
    pub username: Username,
    /// Who the user is; encrypted at rest.
    pub profile: UserProfile,
    /// The password's hash; encrypted at rest.
    pub password: PasswordHash,
    /// Whether the user may log in.
    pub is_active: bool,
    /// What tokens of the user carry: those of an earlier epoch are dead. Unix milliseconds of its
    /// beginning, and never the same twice.
    pub epoch: i64,
    /// When the user was made.
    pub created_at: Timestamp,
    /// When the password was set.
    pub password_changed_at: Timestamp,
    /// When the user last logged in.
    pub last_login_at: Option<Timestamp>,
    /// Grows by one with each change of the row.
    pub version: u32,
}

/// Who a user is: what is sealed into the tokens, besides the name.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProfile {
    /// How the user is called by people.
    pub display_name: Option<String>,
    /// Where mail is sent.
    pub email: Option<String>,
    /// What the user is, for the applications to make something of.
    pub roles: Vec<String>,
    /// What else there is to say.
    pub attributes: Map<String, Value>,
}

impl fmt::Debug for UserProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserProfile(…)")
    }
}

impl UserRecord {
    /// What is sealed into the user's tokens.
    #[must_use]
    pub fn data(&self) -> UserData {
        let UserProfile {
            display_name,
            email,
            roles,
            attributes,
        } = &self.profile;
        let mut data = Map::new();
        data.insert("username".to_owned(), self.username.as_str().into());
        data.insert("display_name".to_owned(), display_name.as_deref().into());
        data.insert("email".to_owned(), email.as_deref().into());
        data.insert("roles".to_owned(), roles.as_slice().into());
        data.insert("attributes".to_owned(), Value::Object(attributes.clone()));
        UserData(data)
    }

    /// Begins a new epoch: tokens issued so far are dead. Tells the last one that is over, which is the
    /// given one at least.
    pub fn end_sessions(&mut self, at_least: i64) -> i64 {
        let ended = self.epoch.max(at_least);
        self.epoch = ended + 1;
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ascii_and_begins_with_a_letter_or_a_digit() {
        let longest = "a".repeat(MAX_USERNAME);
        for name in [
            "ada",
            "Ada.Lovelace",
            "a+b@example.com",
            "2021_x-y",
            &longest,
        ] {
            assert_eq!(Username::parse(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            " ada",
            "ada ",
            "-ada",
            ".",
            "ädå",
            "a/b",
            "a\nb",
            "a:b",
            &format!("{longest}a"),
        ] {
            assert!(Username::parse(name).is_err(), "{name:?}");
        }
        assert_eq!(Username::parse("Ada").unwrap().folded(), "ada");
    }
}
