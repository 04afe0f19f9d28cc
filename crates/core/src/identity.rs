//! Where users come from: [`IdentityProvider`], asked with a user name and a password.
//!
//! The embedded directory answers from the store. Others (an upstream login over HTTP, LDAP) live in
//! a crate of their own, since they speak to the network.

use async_trait::async_trait;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::secret::SecretText;

/// Longest user name and longest password of a login, in bytes.
pub const MAX_LOGIN_FIELD: usize = 256;

/// A directory of users outside of Sealgate.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Checks a password; gives what the directory tells of the user.
    ///
    /// The caller bounds how many of these run at once. An implementation bounds its own time.
    ///
    /// # Errors
    /// [`NotIdentified::Refused`] if the directory says no, [`NotIdentified::Unavailable`] if it does
    /// not say anything.
    async fn identify(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<UserData, NotIdentified>;

    /// What it is and where, for logs and `doctor`; nothing secret.
    fn describe(&self) -> String;
}

/// What is sealed into a session's token: a JSON object.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData(pub Map<String, Value>);

impl std::fmt::Debug for UserData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserData(…)")
    }
}

/// Why nobody was identified. The texts are for the operator's log, and hold no password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotIdentified {
    /// No such user, a wrong password, or a user that may not log in: which one, nobody is told.
    #[error("the directory refused")]
    Refused,
    /// It cannot be reached, or did not answer in a way that is understood.
    #[error("the user directory cannot be used: {0}")]
    Unavailable(String),
}
