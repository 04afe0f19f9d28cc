//! What administrators ask for, as it arrives in JSON from the HTTP API and from `create --from`, and
//! the one place that checks it.

use serde::{Deserialize, Deserializer};

use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::{Environment, InvalidKey, PresentedKey};
use crate::network::AllowList;
use crate::permission::Permissions;
use crate::rate::{DEFAULT_WINDOW_SECONDS, InvalidRateLimit, RateLimit};
use crate::redact::holds_secret;
use crate::secret::SecretText;

/// Longest name of a key, in characters.
pub const MAX_NAME: usize = 100;
/// Longest description of a key, in characters.
pub const MAX_DESCRIPTION: usize = 1_000;
/// Longest reason for a change, in characters.
pub const MAX_REASON: usize = 255;
/// Longest life of a key that expires, in days.
pub const MAX_EXPIRY_DAYS: u32 = 3_650;
/// Longest time a rotated key can still be honoured: 30 days, in seconds.
pub const MAX_GRACE_SECONDS: u32 = 30 * 86_400;

/// A key to be made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRequest {
    /// What the key is called, 1 to 100 characters.
    #[cfg_attr(feature = "openapi", schema(example = "Production API Key"))]
    pub name: String,
    /// What it is for, at most 1,000 characters.
    #[serde(default)]
    pub description: String,
    /// What it may do: `area:verb`, separated by spaces; `api:read` if absent.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = "api:read api:write"))]
    pub permissions: Option<String>,
    /// After how many days it stops, 1 to 3650; never if absent.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
    /// Whether it administers Sealgate.
    #[serde(default)]
    pub is_admin: bool,
    /// The stage it belongs to; the server's own if absent.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "production"))]
    pub environment: Option<Environment>,
    /// Requests within the window; no limit if absent.
    #[serde(default)]
    pub rate_limit: Option<u32>,
    /// The window of `rate_limit` in seconds, 1 to 2592000; an hour if absent.
    #[serde(default)]
    pub rate_limit_window_seconds: Option<u32>,
    /// Addresses and networks it may be used from; everywhere if empty.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = json!(["10.0.0.0/8"])))]
    pub allowed_ips: Vec<String>,
    /// A key that exists already, to be taken over instead of a new one; command line only.
    #[serde(default, deserialize_with = "secret_text")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub api_key: Option<SecretText>,
}

/// What is to be changed of a key. A field that is absent stays as it is; null takes a limit away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
pub struct KeyPatch {
    /// What the key is called, 1 to 100 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is for, at most 1,000 characters.
    #[serde(default)]
    pub description: Option<String>,
    /// What it may do: `area:verb`, separated by spaces.
    #[serde(default)]
    pub permissions: Option<String>,
    /// When it stops; never if null.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Option<Timestamp>>,
    /// After how many days from now it stops, 1 to 3650; instead of `expires_at`.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
    /// Requests within the window; no limit if null.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub rate_limit: Option<Option<u32>>,
    /// The window of the limit in seconds, 1 to 2592000; an hour if null.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub rate_limit_window_seconds: Option<Option<u32>>,
    /// Addresses and networks it may be used from; everywhere if empty.
    #[serde(default)]
    pub allowed_ips: Option<Vec<String>>,
    /// Whether it is switched on.
    #[serde(default)]
    pub is_active: Option<bool>,
}

/// A checked [`KeyRequest`].
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub name: String,
    pub description: String,
    pub permissions: Permissions,
    pub expires_at: Option<Timestamp>,
    pub is_admin: bool,
    pub environment: Environment,
    pub rate_limit: Option<RateLimit>,
    pub allowed_ips: AllowList,
    pub imported: Option<SecretText>,
}

impl KeyRequest {
    /// Checks every field.
    pub(crate) fn check(self, now: Timestamp, environment: Environment) -> Result<NewKey, Error> {
        if let Some(key) = &self.api_key {
            PresentedKey::parse(key.expose())
                .map_err(|error: InvalidKey| Error::invalid("api_key", error.to_string()))?;
        }
        Ok(NewKey {
            name: check_name(self.name)?,
            description: check_description(self.description)?,
            permissions: check_permissions(self.permissions.as_deref().unwrap_or("api:read"))?,
            expires_at: self
                .expires_in_days
                .map(|days| check_days(days, now))
                .transpose()?,
            is_admin: self.is_admin,
            environment: self.environment.unwrap_or(environment),
            rate_limit: check_rate_limit(self.rate_limit, self.rate_limit_window_seconds)?,
            allowed_ips: check_allow_list(&self.allowed_ips)?,
            imported: self.api_key,
        })
    }
}

pub(crate) fn check_name(name: String) -> Result<String, Error> {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        return Err(Error::invalid("name", "a name has 1 to 100 characters"));
    }
    check_text("name", name)
}

pub(crate) fn check_description(text: String) -> Result<String, Error> {
    if text.chars().count() > MAX_DESCRIPTION {
        return Err(Error::invalid(
            "description",
            "a description has at most 1,000 characters",
        ));
    }
    check_text("description", text)
}

pub(crate) fn check_reason(reason: Option<String>) -> Result<Option<String>, Error> {
    match reason {
        Some(text) if text.chars().count() > MAX_REASON => Err(Error::invalid(
            "reason",
            "a reason has at most 255 characters",
        )),
        Some(text) => check_text("reason", text).map(Some),
        None => Ok(None),
    }
}

/// Texts of administrators are stored and shown: nothing that breaks a terminal, and no secret.
fn check_text(field: &'static str, text: String) -> Result<String, Error> {
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "control characters are not allowed"));
    }
    if holds_secret(&text) {
        return Err(Error::invalid(
            field,
            "this looks like it holds a key or a token: keep secrets out of it",
        ));
    }
    Ok(text)
}

pub(crate) fn check_permissions(text: &str) -> Result<Permissions, Error> {
    Permissions::parse(text).map_err(|error| Error::invalid("permissions", error.to_string()))
}

pub(crate) fn check_allow_list(entries: &[String]) -> Result<AllowList, Error> {
    AllowList::parse(entries).map_err(|error| Error::invalid("allowed_ips", error.to_string()))
}

pub(crate) fn check_rate_limit(
    requests: Option<u32>,
    window_seconds: Option<u32>,
) -> Result<Option<RateLimit>, Error> {
    let Some(requests) = requests else {
        return match window_seconds {
            None => Ok(None),
            Some(_) => Err(Error::invalid(
                "rate_limit_window_seconds",
                "there is no limit that this could be the window of: name rate_limit too",
            )),
        };
    };
    RateLimit::new(requests, window_seconds.unwrap_or(DEFAULT_WINDOW_SECONDS))
        .map(Some)
        .map_err(|invalid| {
            let field = match invalid {
                InvalidRateLimit::NoRequests => "rate_limit",
                InvalidRateLimit::Window => "rate_limit_window_seconds",
            };
            Error::invalid(field, invalid.to_string())
        })
}

pub(crate) fn check_days(days: u32, now: Timestamp) -> Result<Timestamp, Error> {
    match days {
        1..=MAX_EXPIRY_DAYS => Ok(now.plus_days(i64::from(days))),
        _ => Err(Error::invalid(
            "expires_in_days",
            "a key expires after 1 to 3650 days",
        )),
    }
}

pub(crate) fn check_expiry(at: Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    if at <= now {
        return Err(Error::invalid(
            "expires_at",
            "the expiry lies in the past; revoke the key instead",
        ));
    }
    if at > now.plus_days(i64::from(MAX_EXPIRY_DAYS)) {
        return Err(Error::invalid(
            "expires_at",
            "a key expires after at most 3650 days",
        ));
    }
    Ok(at)
}

pub(crate) fn check_grace(seconds: u32) -> Result<u32, Error> {
    match seconds {
        0..=MAX_GRACE_SECONDS => Ok(seconds),
        _ => Err(Error::invalid(
            "grace_seconds",
            "a grace is at most 30 days (2592000 seconds)",
        )),
    }
}

/// Tells null from absent.
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretText>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretText::new))
}
