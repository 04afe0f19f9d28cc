//! What an operator decides about users' sessions, their passwords, and what needs no credential.

use std::path::PathBuf;

use hyper::header::HeaderName;
use sealgate_core::authority::{PasswordSettings, SessionSettings};
use sealgate_core::error::Error;
use sealgate_core::password::HashingCost;
use sealgate_core::seal_key::{PresentedSealKey, SealKeyRules, WELL_KNOWN_DEFAULT};
use sealgate_core::secret::SecretText;
use serde::{Deserialize, Deserializer, de};

use super::{issuer, within};

/// Fewest and most characters of the default seal key.
const DEFAULT_KEY: std::ops::RangeInclusive<usize> = 8..=128;
/// Most characters of what generated seal keys begin with.
const MAX_PREFIX: usize = 16;

/// Headers with a meaning of their own: what is in one of them is read, kept or sent on by whatever
/// knows that meaning.
const TAKEN_HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-original-method",
    "x-original-uri",
    "x-request-id",
];

/// Users' sessions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// `aud` of session tokens.
    #[serde(deserialize_with = "issuer")]
    pub audience: String,
    /// `iss` of session tokens.
    #[serde(deserialize_with = "issuer")]
    pub issuer: String,
    /// The header that seal keys come in.
    #[serde(deserialize_with = "free_header")]
    pub header: HeaderName,
    /// What a generated seal key begins with.
    #[serde(deserialize_with = "prefix")]
    pub key_prefix: String,
    /// What seals where a client sends no key.
    #[serde(deserialize_with = "default_key")]
    pub default_key: SecretText,
    /// Whether a client has to send a key of its own.
    pub require_key: bool,
    /// How a session that was sealed with another key is answered.
    pub wrong_key_status: WrongKeyStatus,
    /// How long a session lasts that is not renewed.
    #[serde(deserialize_with = "within::<1, 2_592_000, _>")]
    pub idle_lifetime_seconds: u32,
    /// How long a line of renewals can last.
    #[serde(deserialize_with = "within::<1, 31_536_000, _>")]
    pub max_lifetime_seconds: u32,
}

/// How a session that was sealed with another key is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub enum WrongKeyStatus {
    /// 500, as the guide documents it.
    InternalServerError,
    /// 401, as HTTP has it: the client is at fault.
    Unauthorized,
}

/// Users' passwords.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    /// Memory that hashing one fills, in KiB.
    pub memory_kib: u32,
    /// How often it is filled.
    pub passes: u32,
    /// Independent parts of it.
    pub lanes: u32,
    /// Most passwords hashed at once; half of the processor's cores if 0.
    #[serde(deserialize_with = "within::<0, 256, _>")]
    pub max_concurrent: u32,
    /// Fewest characters of a new one.
    #[serde(deserialize_with = "within::<1, 64, _>")]
    pub min_length: u32,
}

/// How often something may be done.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute from one address for making and checking seal keys.
    #[serde(deserialize_with = "within::<1, 1_000_000, _>")]
    pub anonymous_per_minute: u32,
    /// Requests a minute from one address for public pages and documents; any number if 0.
    #[serde(deserialize_with = "within::<0, 1_000_000, _>")]
    pub public_per_minute: u32,
    /// Where requests of keys with a limit are counted for all processes: `redis://…`. With the store if
    /// absent.
    pub redis_url: Option<String>,
    /// A file with that URL in it, which may hold a password.
    pub redis_url_file: Option<PathBuf>,
    /// What becomes of them while they cannot be counted there.
    pub when_unavailable: WhenUnavailable,
}

/// What becomes of requests of keys with a limit while they cannot be counted for all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnavailable {
    /// Each process counts by itself.
    #[default]
    Open,
    /// They are answered with 503.
    Closed,
}

impl Limits {
    /// What no field can tell alone.
    ///
    /// # Errors
    /// Names the settings that do not fit each other.
    pub fn check(&self) -> Result<(), String> {
        if self.redis_url.is_some() && self.redis_url_file.is_some() {
            return Err(
                "limits.redis_url and limits.redis_url_file are set, and only one can count"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl Sessions {
    /// What no field can tell alone.
    ///
    /// # Errors
    /// Names the settings that do not fit each other.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            idle_lifetime_seconds: idle,
            max_lifetime_seconds: max,
            ..
        } = self;
        if max < idle {
            return Err(format!(
                "sessions.max_lifetime_seconds ({max}) is less than \
                 sessions.idle_lifetime_seconds ({idle})"
            ));
        }
        if self.looks_like_another_key() {
            return Err(format!(
                "sessions.default_key looks like a seal key of another kind: it must have no dot, \
                 not begin with `{}_`, and not be 40 or more hexadecimal digits",
                self.key_prefix
            ));
        }
        Ok(())
    }

    /// Whether the key that everybody knows is taken.
    #[must_use]
    pub fn takes_well_known_key(&self) -> bool {
        !self.require_key && self.default_key.expose() == WELL_KNOWN_DEFAULT
    }

    /// What the use cases need to know.
    #[must_use]
    pub fn core(&self) -> SessionSettings {
        SessionSettings {
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            idle_seconds: self.idle_lifetime_seconds.into(),
            max_seconds: self.max_lifetime_seconds.into(),
            require_key: self.require_key,
            seal_keys: SealKeyRules {
                prefix: self.key_prefix.clone(),
                default_key: self.default_key.clone(),
            },
            ..SessionSettings::default()
        }
    }

    /// Whether a client could be taken to have sent the default key when it sent another, or the
    /// other way round.
    fn looks_like_another_key(&self) -> bool {
        let text = self.default_key.expose();
        let rules = SealKeyRules {
            prefix: self.key_prefix.clone(),
            default_key: SecretText::new(String::new()),
        };
        let begins_like_one = text
            .strip_prefix(&self.key_prefix)
            .is_some_and(|rest| rest.starts_with('_'));
        begins_like_one || text.contains('.') || PresentedSealKey::parse(Some(text), &rules).is_ok()
    }
}

impl Passwords {
    /// What no field can tell alone.
    ///
    /// # Errors
    /// Names the setting that is out of bounds.
    pub fn check(&self) -> Result<(), String> {
        self.cost().check().map_err(|error| match error {
            Error::Invalid { field, message } => format!("passwords.{field}: {message}"),
            error => error.to_string(),
        })
    }

    /// What hashing one password costs.
    #[must_use]
    pub const fn cost(&self) -> HashingCost {
        HashingCost {
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
        }
    }

    /// What the use cases need to know.
    #[must_use]
    pub const fn core(&self) -> PasswordSettings {
        PasswordSettings {
            cost: self.cost(),
            max_concurrent: self.max_concurrent as usize,
            min_length: self.min_length as usize,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            audience: "gomaluum".to_owned(),
            issuer: "gomaluum".to_owned(),
            header: HeaderName::from_static("x-gomaluum-key"),
            key_prefix: "gml".to_owned(),
            default_key: SecretText::new(WELL_KNOWN_DEFAULT.to_owned()),
            require_key: false,
            wrong_key_status: WrongKeyStatus::InternalServerError,
            idle_lifetime_seconds: 28_800,
            max_lifetime_seconds: 604_800,
        }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let HashingCost {
            memory_kib,
            passes,
            lanes,
        } = HashingCost::default();
        Self {
            memory_kib,
            passes,
            lanes,
            max_concurrent: 0,
            min_length: 8,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            anonymous_per_minute: 60,
            public_per_minute: 600,
            redis_url: None,
            redis_url_file: None,
            when_unavailable: WhenUnavailable::Open,
        }
    }
}

impl TryFrom<i64> for WrongKeyStatus {
    type Error = String;

    fn try_from(status: i64) -> Result<Self, String> {
        match status {
            500 => Ok(Self::InternalServerError),
            401 => Ok(Self::Unauthorized),
            other => Err(format!("{other} is neither 500 nor 401")),
        }
    }
}

pub(super) fn free_header<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HeaderName, D::Error> {
    let text = String::deserialize(deserializer)?;
    let shown = text.escape_default();
    let name: HeaderName = text.parse().map_err(|_| {
        de::Error::custom(format!(
            "`{shown}` is not the name of a header, such as x-gomaluum-key"
        ))
    })?;
    if TAKEN_HEADERS.contains(&name.as_str()) {
        return Err(de::Error::custom(format!(
            "the header `{name}` has a meaning of its own: take one that has none, such as \
             x-gomaluum-key"
        )));
    }
    Ok(name)
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if (1..=MAX_PREFIX).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text)
    } else {
        Err(de::Error::custom(format!(
            "`{}` is not 1 to {MAX_PREFIX} lower-case letters and digits",
            text.escape_default()
        )))
    }
}

/// A text that a header can carry as it is. It is a secret, and no message shows it.
fn default_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if DEFAULT_KEY.contains(&text.len()) && text.bytes().all(fits) && text.trim() == text {
        Ok(SecretText::new(text))
    } else {
        Err(de::Error::custom(
            "it must be 8 to 128 characters of printable ASCII, with no space at either end",
        ))
    }
}
