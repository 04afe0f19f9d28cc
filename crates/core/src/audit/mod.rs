//! The audit log: what is recorded ([`Event`]), how records are tied together (`chain`), and the
//! bounded place refusals wait in until they are written (`refusals`).

mod chain;
mod refusals;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;
use uuid::Uuid;

pub use self::chain::{BadChain, Chain, ChainHash, Head, Walk};
pub use self::refusals::{Refusal, Refusals, Sighting};
use crate::clock::Timestamp;
use crate::key::KeyId;
use crate::redact::redact;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// What happened; each has a stable name, an area and a verb.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

actions! {
    /// The store was set up.
    StoreCreated = "store.created",
    /// A key was made.
    KeyCreated = "key.created",
    /// A key made elsewhere was taken over.
    KeyImported = "key.imported",
    /// Something of a key was changed.
    KeyUpdated = "key.updated",
    /// A key was switched off.
    KeyDisabled = "key.disabled",
    /// A key was switched on again.
    KeyEnabled = "key.enabled",
    /// A key was replaced by another.
    KeyRotated = "key.rotated",
    /// A key was killed.
    KeyRevoked = "key.revoked",
    /// A key's expiry has passed.
    KeyExpired = "key.expired",
    /// A key was exchanged for an access token.
    TokenIssued = "token.issued",
    /// An access token was renewed.
    TokenRenewed = "token.renewed",
    /// A server key that signs access tokens was made.
    SigningKeyCreated = "signing_key.created",
    /// The server keys that signed access tokens are to stop doing so.
    SigningKeysRetired = "signing_key.retired",
    /// A data key for a line of keys was made.
    DataKeyCreated = "data_key.created",
    /// An access token was ended before it expired.
    TokenRevoked = "token.revoked",
    /// A user logged in, and got a session token.
    SessionStarted = "session.started",
    /// A session token was renewed.
    SessionRenewed = "session.renewed",
    /// A user logged out.
    SessionEnded = "session.ended",
    /// A login was refused.
    LoginFailed = "login.failed",
    /// A user was made.
    UserCreated = "user.created",
    /// Something of a user was changed.
    UserUpdated = "user.updated",
    /// A user was switched off; all sessions ended.
    UserDisabled = "user.disabled",
    /// A user was switched on again.
    UserEnabled = "user.enabled",
    /// A user's password was set; all sessions ended.
    UserPasswordChanged = "user.password_changed",
    /// All sessions of a user ended.
    UserLoggedOut = "user.logged_out",
    /// A user was removed; all sessions ended.
    UserDeleted = "user.deleted",
    /// A key that signs session tokens was made.
    SessionKeyCreated = "session_key.created",
    /// A key that signs session tokens was taken over.
    SessionKeyImported = "session_key.imported",
    /// The keys that signed session tokens are to stop doing so.
    SessionKeysRetired = "session_key.retired",
    /// A request was refused.
    RequestRefused = "request.refused",
    /// A request was served; written one by one with `audit.requests = "all"`.
    RequestServed = "request.served",
    /// Requests served to a key at an address, on a route, in a minute.
    RequestsCounted = "requests.counted",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no name of an [`Action`].
#[derive(Debug, Error)]
#[error("no such audit action")]
pub struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == text)
            .ok_or(UnknownAction)
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody at the command line, by the name of their account.
    CommandLine(String),
    /// The holder of a managed key, or of a token it was exchanged for.
    Key(KeyId),
    /// A user who logged in.
    User(String),
    /// A client that showed no valid credential.
    Anonymous,
    /// Sealgate itself: something was due.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(account) => write!(f, "cli:{}", redact(account)),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::User(name) => write!(f, "user:{}", redact(name)),
            Self::Anonymous => f.write_str("anonymous"),
            Self::System => f.write_str("system"),
        }
    }
}

/// Where a request came from and what it asked for. Texts are redacted when an [`Event`] takes them.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's own name for itself.
    pub user_agent: Option<String>,
    /// The request's method.
    pub method: Option<String>,
    /// The request's path, without its query.
    pub path: Option<String>,
    /// The request's identifier, which the client was told too.
    pub request_id: Option<Uuid>,
}

/// One thing that happened. Only [`Event::new`] makes one, so that no text in it was not redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub action: Action,
    /// The key it happened to.
    pub key_id: Option<KeyId>,
    /// Who did it, as text: `cli:root`, `key:550e…`, `user:ada`, `anonymous`, `system`.
    pub actor: String,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's own name for itself.
    pub user_agent: Option<String>,
    /// The request's method.
    pub method: Option<String>,
    /// The request's path, without its query.
    pub path: Option<String>,
    /// The status answered.
    pub status: Option<u16>,
    /// The request's identifier.
    pub request_id: Option<String>,
    /// A JSON object with what else there is to say, as it was written.
    pub details: Cow<'static, str>,
}

impl Event {
    /// An event without a request, a status or details.
    #[must_use]
    pub fn new(time: Timestamp, action: Action, key_id: Option<KeyId>, actor: &Actor) -> Self {
        Self {
            time,
            action,
            key_id,
            actor: actor.to_string(),
            address: None,
            user_agent: None,
            method: None,
            path: None,
            status: None,
            request_id: None,
            details: Cow::Borrowed("{}"),
        }
    }

    /// Adds the request it came with.
    #[must_use]
    pub fn from(mut self, origin: &Origin) -> Self {
        self.address = origin.address;
        self.user_agent = origin.user_agent.as_deref().map(redact);
        self.method = origin.method.as_deref().map(redact);
        self.path = origin.path.as_deref().map(redact);
        self.request_id = origin.request_id.map(|id| id.to_string());
        self
    }

    /// Adds the status answered.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds details; every text in them is redacted.
    #[must_use]
    pub fn with_details<const N: usize>(self, details: [(&str, Value); N]) -> Self {
        self.with_detail_map(
            details
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Adds details that were collected one by one; every text in them is redacted.
    #[must_use]
    pub fn with_detail_map(mut self, details: Map<String, Value>) -> Self {
        let shown: Map<String, Value> = details
            .into_iter()
            .map(|(name, value)| (name, redact_value(value)))
            .collect();
        self.details = Value::Object(shown).to_string().into();
        self
    }
}

fn redact_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text)),
        Value::Array(values) => values.into_iter().map(redact_value).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, v)| (redact(&name), redact_value(v)))
                .collect(),
        ),
        plain => plain,
    }
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place, from 1, without gaps.
    pub sequence: u64,
    /// What ties it to all before it.
    pub hash: ChainHash,
    /// What happened.
    pub event: Event,
}

/// Which records to look up, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Those of one key alone.
    pub key_id: Option<KeyId>,
    /// Those before this place, for the next page.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_name_that_reads_back() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse::<Action>().unwrap(), *action);
        }
    }

    #[test]
    fn an_event_keeps_no_secret_of_its_request_or_details() {
        let secret = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";
        let text = || Some(format!("x {secret}"));
        let origin = Origin {
            address: None,
            user_agent: text(),
            method: text(),
            path: text(),
            request_id: None,
        };
        let details = [
            ("reason", Value::from(secret)),
            ("list", Value::from(vec![secret])),
        ];
        let event = Event::new(
            Timestamp::from_millis(0),
            Action::KeyCreated,
            None,
            &Actor::CommandLine(secret.into()),
        )
        .from(&origin)
        .with_details(details);
        assert!(!format!("{event:?}").contains("UVZuhD7EF5C7"), "{event:?}");
    }
}
