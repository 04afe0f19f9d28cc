//! The settings of `sealgate.toml`: what there is, the defaults, and what each may be. How they come
//! together from flags, environment and file is in [`crate::config`].
//!
//! - [`sessions`]: users' sessions, their passwords, and what needs no credential
//! - [`identity`]: where users come from
//! - [`gateway`]: a service that Sealgate stands in front of
//! - [`identity_headers`]: how those behind a proxy hear who calls
//! - [`routes`]: what requests to the API behind need

mod gateway;
mod identity;
mod identity_headers;
pub mod routes;
mod sessions;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use sealgate_core::authority;
use sealgate_core::key::Environment;
use sealgate_server::OriginalHeaders;
use sealgate_token::jwt::Algorithm;
use serde::{Deserialize, Deserializer, de};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub use self::gateway::Gateway;
pub use self::identity::{Backend, BodyFormat, HttpLogin, Identity, LdapDirectory};
pub use self::identity_headers::IdentityHeaders;
pub use self::routes::Route;
pub use self::sessions::{Limits, Passwords, Sessions, WhenUnavailable, WrongKeyStatus};

/// Longest `iss` of a token: a few times what an issuer's address takes, and little of what a
/// client has to send with every request.
const MAX_ISSUER_BYTES: usize = 255;

/// Everything an operator decides.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the store and the master key are, unless other settings put them elsewhere.
    pub data_dir: Option<PathBuf>,
    /// The database: `sqlite:PATH` or `postgres://…`.
    pub database_url: Option<String>,
    /// A file with the database's URL in it, which may hold a password.
    pub database_url_file: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
    /// Print results alone.
    pub quiet: bool,
    /// The HTTP server.
    pub server: Server,
    /// Its certificate.
    pub tls: Tls,
    /// Access tokens.
    pub tokens: Tokens,
    /// Managed keys.
    pub keys: Keys,
    /// Users' sessions.
    pub sessions: Sessions,
    /// Users' passwords.
    pub passwords: Passwords,
    /// Where users come from.
    pub identity: Identity,
    /// How reverse proxies ask.
    pub forward_auth: ForwardAuth,
    /// Where Envoy asks.
    pub ext_authz: ExtAuthz,
    /// How those behind a proxy hear who calls.
    pub identity_headers: IdentityHeaders,
    /// A service that Sealgate stands in front of.
    pub gateway: Gateway,
    /// What requests to the API behind need, in the order in which they are looked at.
    pub routes: Vec<Route>,
    /// How often something may be done.
    pub limits: Limits,
    /// The store.
    pub store: Store,
    /// The audit log.
    pub audit: Audit,
    /// Whom to tell about a vulnerability.
    pub security: Security,
    /// The server's own log.
    pub log: Log,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whose keys are taken.
    pub environment: Environment,
    /// Web pages of which origins may call the API; `*` for all.
    #[serde(deserialize_with = "origins")]
    pub cors_origins: Vec<String>,
    /// Reverse proxies whose word on a client's address is taken.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request may take.
    #[serde(deserialize_with = "within::<1, 600, _>")]
    pub request_timeout_seconds: u32,
}

/// The server's certificate: both or neither.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those between it and the root, in PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
}

/// How reverse proxies ask whether a request may go through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardAuth {
    /// In which headers they tell of the client's request.
    pub headers: OriginalHeaders,
}

/// Where Envoy asks whether a request may go through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtAuthz {
    /// The address to listen on; nowhere if absent.
    pub listen: Option<SocketAddr>,
}

/// Access tokens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// How they are signed.
    pub algorithm: Algorithm,
    /// How long one is good for.
    #[serde(deserialize_with = "within::<1, 2_592_000, _>")]
    pub lifetime_seconds: u32,
    /// How long a line of renewals can last.
    #[serde(deserialize_with = "within::<1, 31_536_000, _>")]
    pub max_lifetime_seconds: u32,
    /// For how long a new key is published before it signs.
    #[serde(deserialize_with = "within::<0, 86_400, _>")]
    pub publish_lead_seconds: u32,
    /// `iss` of every token.
    #[serde(deserialize_with = "issuer")]
    pub issuer: String,
    /// How many verified tokens are remembered.
    #[serde(deserialize_with = "within::<0, 10_000_000, _>")]
    pub cache: u32,
}

/// Managed keys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// After how many days a key is due for rotation.
    #[serde(deserialize_with = "within::<1, 3650, _>")]
    pub rotation_days: u32,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// For how long keys are honoured without news from the store.
    #[serde(deserialize_with = "within::<100, 3_600_000, _>")]
    pub max_staleness_ms: u32,
    /// How many connections read from a server of PostgreSQL at the same time, at most.
    #[serde(deserialize_with = "within::<1, 1000, _>")]
    pub connections: u32,
}

/// The audit log.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// How served requests are recorded.
    pub requests: Requests,
}

/// How served requests are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Requests {
    /// One record for a key, address, route and minute.
    #[default]
    Counted,
    /// One record each, durable before the answer.
    All,
}

/// Whom to tell about a vulnerability (RFC 9116).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Addresses, best first.
    #[serde(deserialize_with = "contacts")]
    pub contact: Vec<String>,
    /// For how long `security.txt` says that it holds.
    #[serde(deserialize_with = "within::<1, 365, _>")]
    pub expires_days: u32,
}

/// The server's own log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged: a level, or levels by module (`info,sealgate_store=debug`).
    #[serde(deserialize_with = "levels")]
    pub level: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

impl Settings {
    /// What no field can tell alone.
    ///
    /// # Errors
    /// Names the settings that do not fit each other.
    pub fn check(&self) -> Result<(), String> {
        let Tokens {
            lifetime_seconds,
            max_lifetime_seconds,
            ..
        } = self.tokens;
        if max_lifetime_seconds < lifetime_seconds {
            return Err(format!(
                "tokens.max_lifetime_seconds ({max_lifetime_seconds}) is less than \
                 tokens.lifetime_seconds ({lifetime_seconds})"
            ));
        }
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => Err("tls.cert is set and tls.key is not".to_owned()),
            (None, Some(_)) => Err("tls.key is set and tls.cert is not".to_owned()),
            _ => Ok(()),
        }?;
        if self.database_url.is_some() && self.database_url_file.is_some() {
            return Err(
                "database_url and database_url_file are set, and only one can count".to_owned(),
            );
        }
        self.sessions.check()?;
        self.limits.check()?;
        self.passwords.check()?;
        self.identity_headers.check(&self.sessions.header)?;
        self.gateway.check()?;
        self.identity.check()
    }

    /// What the use cases need to know.
    #[must_use]
    pub fn authority(&self) -> authority::Settings {
        authority::Settings {
            issuer: self.tokens.issuer.clone(),
            algorithm: self.tokens.algorithm,
            token_seconds: self.tokens.lifetime_seconds.into(),
            token_max_seconds: self.tokens.max_lifetime_seconds.into(),
            publish_lead_seconds: self.tokens.publish_lead_seconds.into(),
            environment: self.server.environment,
            rotation_days: self.keys.rotation_days,
            max_staleness_millis: self.store.max_staleness_ms.into(),
            audit_all_requests: self.audit.requests == Requests::All,
            token_cache: self.tokens.cache as usize,
            anonymous_per_minute: self.limits.anonymous_per_minute,
            public_per_minute: self.limits.public_per_minute,
            sessions: self.sessions.core(),
            passwords: self.passwords.core(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            environment: Environment::Production,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            request_timeout_seconds: 30,
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            lifetime_seconds: 3_600,
            max_lifetime_seconds: 86_400,
            publish_lead_seconds: 7_200,
            issuer: "sealgate".to_owned(),
            cache: 100_000,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { rotation_days: 90 }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            max_staleness_ms: 1_000,
            connections: 8,
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            contact: Vec::new(),
            expires_days: 180,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
        }
    }
}

/// Reads what is logged: one level, or levels by module.
///
/// # Errors
/// Says what a level is.
pub fn parse_levels(text: &str) -> Result<Targets, String> {
    let wrong = || {
        format!(
            "`{}` is not a log level: write off, error, warn, info, debug or trace, or levels by \
             module such as info,sealgate_store=debug",
            text.escape_default()
        )
    };
    // A word alone would be taken for the name of a module, and all of that be logged.
    let is_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if !text.split(',').all(is_level) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

fn within<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    u32::try_from(number)
        .ok()
        .filter(|number| (MIN..=MAX).contains(number))
        .ok_or_else(|| de::Error::custom(format!("{number} is not between {MIN} and {MAX}")))
}

/// A text that a token can hold: what JSON would have to escape is never written into one, and a
/// token is short enough for a header.
fn issuer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_out_of_place = |c: char| matches!(c, '"' | '\\') || c.is_control();
    let complaint = if text.trim().is_empty() {
        "it must not be empty".to_owned()
    } else if text.len() > MAX_ISSUER_BYTES {
        format!(
            "its {} bytes are more than {MAX_ISSUER_BYTES}, the most it may have",
            text.len()
        )
    } else if text.contains(is_out_of_place) {
        "it must not have double quotes, backslashes or control characters in it".to_owned()
    } else {
        return Ok(text);
    };
    Err(de::Error::custom(complaint))
}

fn levels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_levels(&text).map_err(de::Error::custom)?;
    Ok(text)
}

/// Networks in CIDR notation; an address alone is a network of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| {
        let address = text.parse::<IpAddr>().map(IpNet::from).ok();
        address.or_else(|| text.parse().ok()).ok_or_else(|| {
            de::Error::custom(format!(
                "`{}` is not an address or a network in CIDR notation, such as 10.0.0.0/8",
                text.escape_default()
            ))
        })
    };
    texts.iter().map(parse).collect()
}

/// Origins as browsers send them (RFC 6454 section 6.2).
fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let is_origin = |text: &str| {
        text == "*"
            || ["https://", "http://"].iter().any(|scheme| {
                text.strip_prefix(scheme).is_some_and(|host| {
                    !host.is_empty()
                        && !host.contains(['/', '?', '#', '@', '*', '\\'])
                        && host.chars().all(|c| c.is_ascii_graphic())
                })
            })
    };
    texts(deserializer, is_origin, |text| {
        format!("`{text}` is not an origin such as https://app.example.com, nor `*`")
    })
}

/// What RFC 9116 section 2.5.3 takes for a contact.
fn contacts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let is_contact = |text: &str| {
        ["mailto:", "https://", "tel:"].iter().any(|scheme| {
            text.strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty())
        }) && text.chars().all(|c| c.is_ascii_graphic())
    };
    texts(deserializer, is_contact, |text| {
        format!("`{text}` is not a contact: write mailto:…, https://… or tel:…")
    })
}

fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_right: impl Fn(&str) -> bool,
    complaint: impl Fn(&str) -> String,
) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    match texts.iter().find(|text| !is_right(text)) {
        Some(wrong) => {
            let wrong = wrong.escape_default().to_string();
            Err(de::Error::custom(complaint(&wrong)))
        }
        None => Ok(texts),
    }
}

#[cfg(test)]
mod tests;
