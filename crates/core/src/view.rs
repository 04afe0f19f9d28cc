//! Keys, users and audit records as users see them, in the HTTP API and with `--json` alike.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::audit::Record;
use crate::clock::Timestamp;
use crate::key::{Environment, KeyRecord, Status};
use crate::rate::RateLimit;
use crate::tally::Counted;
use crate::user::UserRecord;

/// A managed key, without anything secret.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyView {
    /// The public identifier.
    pub key_id: Uuid,
    /// The first eight characters of the key.
    #[cfg_attr(feature = "openapi", schema(example = "TcE8hG4L"))]
    pub prefix: String,
    /// What the key is called.
    #[cfg_attr(feature = "openapi", schema(example = "Production API Key"))]
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may do: `area:verb`, separated by spaces.
    #[cfg_attr(feature = "openapi", schema(example = "api:read api:write"))]
    pub permissions: String,
    /// Whether it administers Sealgate.
    pub is_admin: bool,
    /// Whether it is honoured now.
    #[cfg_attr(feature = "openapi", schema(example = true))]
    pub is_active: bool,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Its state in one word.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "active"))]
    pub status: Status,
    /// The stage it belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "production"))]
    pub environment: Environment,
    /// Requests within the window, an hour if no other is named; no limit if null.
    pub rate_limit: Option<u32>,
    /// The window of the limit, in seconds; null if there is no limit.
    pub rate_limit_window_seconds: Option<u32>,
    /// Addresses and networks it may be used from; empty for everywhere.
    pub allowed_ips: Vec<String>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it stops by itself.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<Timestamp>,
    /// How many requests it was used for.
    #[cfg_attr(feature = "openapi", schema(example = 42))]
    pub use_count: u64,
    /// The key it replaced.
    pub rotated_from: Option<Uuid>,
    /// The key that replaced it.
    pub rotated_to: Option<Uuid>,
    /// When the rotation policy wants it replaced.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub rotation_due_at: Option<Timestamp>,
}

impl KeyView {
    /// How a key looks at a moment, under a policy of so many days between rotations.
    #[must_use]
    pub fn of(record: &KeyRecord, now: Timestamp, rotation_days: u32) -> Self {
        let status = record.status(now);
        Self {
            key_id: record.id.0,
            prefix: record.prefix.to_string(),
            name: record.name.clone(),
            description: record.description.clone(),
            permissions: record.permissions.as_str().to_owned(),
            is_admin: record.is_admin,
            is_active: record.is_honoured(now),
            revoked: status == Status::Revoked,
            status,
            environment: record.environment,
            rate_limit: record.rate_limit.map(RateLimit::requests),
            rate_limit_window_seconds: record.rate_limit.map(RateLimit::window_seconds),
            allowed_ips: record.allowed_ips.entries().collect(),
            created_at: record.created_at,
            expires_at: record.expires_at,
            revoked_at: record.revoked_at(),
            last_used_at: record.last_used_at,
            use_count: record.use_count,
            rotated_from: record.rotated_from.map(|id| id.0),
            rotated_to: record.rotated_to().map(|id| id.0),
            rotation_due_at: record.rotation_due_at(now, rotation_days),
        }
    }
}

/// Something that happened, as it stands in the audit log.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    /// Its place in the log; null for requests of a minute that is not over.
    pub sequence: Option<u64>,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub time: Timestamp,
    /// What happened.
    #[cfg_attr(feature = "openapi", schema(example = "key.revoked"))]
    pub action: String,
    /// The key it happened to.
    pub key_id: Option<Uuid>,
    /// Who did it: `cli:ACCOUNT`, `key:ID`, `anonymous`, `system`.
    pub actor: String,
    /// The client's address.
    pub address: Option<String>,
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
    /// What else there is to say.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Value,
    /// What ties the record to all before it, in hexadecimal.
    pub hash: Option<String>,
}

impl From<Record> for EventView {
    fn from(
        Record {
            sequence,
            hash,
            event,
        }: Record,
    ) -> Self {
        Self {
            sequence: Some(sequence),
            time: event.time,
            action: event.action.as_str().to_owned(),
            key_id: event.key_id.map(|id| id.0),
            actor: event.actor,
            address: event.address.map(|address| address.to_string()),
            user_agent: event.user_agent,
            method: event.method,
            path: event.path,
            status: event.status,
            request_id: event.request_id,
            details: serde_json::from_str(&event.details).unwrap_or_default(),
            hash: Some(hash.to_string()),
        }
    }
}

impl From<Counted> for EventView {
    /// Requests whose minute is not over, which are not in the log yet.
    fn from(counted: Counted) -> Self {
        let last = counted.count.last;
        let event = counted.into_event(last);
        let record = Record {
            sequence: 0,
            hash: crate::audit::ChainHash::START,
            event,
        };
        Self {
            sequence: None,
            hash: None,
            ..Self::from(record)
        }
    }
}

/// A user of the embedded directory, without anything secret.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserView {
    /// The public identifier.
    pub user_id: Uuid,
    /// What the user logs in with.
    #[cfg_attr(feature = "openapi", schema(example = "ada"))]
    pub username: String,
    /// How the user is called by people.
    #[cfg_attr(feature = "openapi", schema(example = "Ada Lovelace"))]
    pub display_name: Option<String>,
    /// Where mail is sent.
    #[cfg_attr(feature = "openapi", schema(example = "ada@example.com"))]
    pub email: Option<String>,
    /// What the user is, for the applications to make something of.
    #[cfg_attr(feature = "openapi", schema(example = json!(["student"])))]
    pub roles: Vec<String>,
    /// What else there is to say.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attributes: serde_json::Map<String, Value>,
    /// Whether the user may log in.
    #[cfg_attr(feature = "openapi", schema(example = true))]
    pub is_active: bool,
    /// When the user was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When the user last logged in.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_login_at: Option<Timestamp>,
    /// When the password was set.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub password_changed_at: Timestamp,
}

impl From<UserRecord> for UserView {
    fn from(record: UserRecord) -> Self {
        Self {
            user_id: record.id.0,
            username: record.username.to_string(),
            display_name: record.profile.display_name,
            email: record.profile.email,
            roles: record.profile.roles,
            attributes: record.profile.attributes,
            is_active: record.is_active,
            created_at: record.created_at,
            last_login_at: record.last_login_at,
            password_changed_at: record.password_changed_at,
        }
    }
}

/// A key that signs session tokens, or once did: its public half.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionKeyView {
    /// The PASERK identifier, as it stands in the tokens' footer.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs")
    )]
    pub kid: String,
    /// The public key as a PASERK.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "k4.public.Hrnbu7wEfAP9cGBOAHHwmH4Wsot1ciXBHwBBXQ4gsaI")
    )]
    pub paserk: String,
    /// When it was made, or imported.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// What it does.
    pub state: SigningState,
    /// From when on it signs; null if it did so from the beginning.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub signs_from: Option<Timestamp>,
    /// Until when what it signed is verified; null for a key that was not replaced.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub verify_until: Option<Timestamp>,
}

/// What a key that signs tokens does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SigningState {
    /// It verifies, so that everybody has it before it signs.
    Published,
    /// It signs.
    Signing,
    /// It verifies what it signed.
    Retired,
}

impl SigningState {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
        }
    }
}

/// A server key, which signs access tokens or lists of revocations, or once did: without its halves.
#[derive(Clone, Debug, Serialize)]
pub struct ServerKeyView {
    /// The thumbprint (RFC 7638), as it stands in the tokens' header.
    pub kid: String,
    /// The registered name of the algorithm.
    pub algorithm: &'static str,
    /// What it signs: `tokens`, and lists of revocations with them, or `lists` alone.
    pub purpose: &'static str,
    /// What it does.
    pub state: SigningState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs; null if it did so from the beginning.
    pub signs_from: Option<Timestamp>,
    /// Until when what it signed is verified; null for a key that was not replaced.
    pub verify_until: Option<Timestamp>,
}
