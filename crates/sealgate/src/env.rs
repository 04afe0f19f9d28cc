//! Every environment variable that Sealgate reads, in one place.
//!
//! An empty variable counts as absent. Each setting of `sealgate.toml` has one: its section and name
//! in capitals, without `server`.

use std::ffi::OsString;

/// The settings file.
pub const CONFIG: &str = "SEALGATE_CONFIG";
/// The master key itself: 64 hexadecimal digits.
pub const MASTER_KEY: &str = "SEALGATE_MASTER_KEY";
/// A file that holds the master key.
pub const MASTER_KEY_FILE: &str = "SEALGATE_MASTER_KEY_FILE";

/// The secret key that signs session tokens, in hexadecimal digits, as GoMaluum keeps it.
pub const PASETO_SECRET_KEY: &str = "PASETO_SECRET_KEY";
/// Its public half.
pub const PASETO_PUBLIC_KEY: &str = "PASETO_PUBLIC_KEY";

/// Where systemd puts credentials (`LoadCredential=sealgate-master-key:…`).
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Where systemd wants a service's data (`StateDirectory=sealgate`); the first of a list counts.
pub const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// Where a user's data belongs (XDG Base Directory Specification); `~/.local/share` if absent.
pub const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
/// The user's home directory.
pub const HOME: &str = "HOME";
/// No colours if it is there (<https://no-color.org>).
pub const NO_COLOR: &str = "NO_COLOR";
/// What kind of terminal it is; no colours on a `dumb` one.
pub const TERM: &str = "TERM";

/// A variable that stands for a setting.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The setting's section, if it is in one, and its name.
    pub setting: &'static str,
    /// How its text is read.
    pub kind: Kind,
}

/// How the text of a variable is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A number.
    Number,
    /// `1`, `true`, `0` or `false`.
    Switch,
    /// Texts with commas between them.
    List,
    /// Numbers with commas between them.
    Numbers,
}

/// The variables that stand for settings.
pub const SETTINGS: &[Variable] = &[
    variable("SEALGATE_DATA_DIR", "data_dir", Kind::Text),
    variable("SEALGATE_DATABASE_URL", "database_url", Kind::Text),
    variable(
        "SEALGATE_DATABASE_URL_FILE",
        "database_url_file",
        Kind::Text,
    ),
    variable("SEALGATE_JSON", "json", Kind::Switch),
    variable("SEALGATE_QUIET", "quiet", Kind::Switch),
    variable("SEALGATE_LISTEN", "server.listen", Kind::Text),
    variable("SEALGATE_ENVIRONMENT", "server.environment", Kind::Text),
    variable("SEALGATE_CORS_ORIGINS", "server.cors_origins", Kind::List),
    variable(
        "SEALGATE_TRUSTED_PROXIES",
        "server.trusted_proxies",
        Kind::List,
    ),
    variable(
        "SEALGATE_REQUEST_TIMEOUT_SECONDS",
        "server.request_timeout_seconds",
        Kind::Number,
    ),
    variable("SEALGATE_TLS_CERT", "tls.cert", Kind::Text),
    variable("SEALGATE_TLS_KEY", "tls.key", Kind::Text),
    variable("SEALGATE_TOKENS_ALGORITHM", "tokens.algorithm", Kind::Text),
    variable(
        "SEALGATE_TOKENS_LIFETIME_SECONDS",
        "tokens.lifetime_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_TOKENS_MAX_LIFETIME_SECONDS",
        "tokens.max_lifetime_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_TOKENS_PUBLISH_LEAD_SECONDS",
        "tokens.publish_lead_seconds",
        Kind::Number,
    ),
    variable("SEALGATE_TOKENS_ISSUER", "tokens.issuer", Kind::Text),
    variable("SEALGATE_TOKENS_CACHE", "tokens.cache", Kind::Number),
    variable(
        "SEALGATE_KEYS_ROTATION_DAYS",
        "keys.rotation_days",
        Kind::Number,
    ),
    variable(
        "SEALGATE_SESSIONS_AUDIENCE",
        "sessions.audience",
        Kind::Text,
    ),
    variable("SEALGATE_SESSIONS_ISSUER", "sessions.issuer", Kind::Text),
    variable("SEALGATE_SESSIONS_HEADER", "sessions.header", Kind::Text),
    variable(
        "SEALGATE_SESSIONS_KEY_PREFIX",
        "sessions.key_prefix",
        Kind::Text,
    ),
    variable(
        "SEALGATE_SESSIONS_DEFAULT_KEY",
        "sessions.default_key",
        Kind::Text,
    ),
    variable(
        "SEALGATE_SESSIONS_REQUIRE_KEY",
        "sessions.require_key",
        Kind::Switch,
    ),
    variable(
        "SEALGATE_SESSIONS_WRONG_KEY_STATUS",
        "sessions.wrong_key_status",
        Kind::Number,
    ),
    variable(
        "SEALGATE_SESSIONS_IDLE_LIFETIME_SECONDS",
        "sessions.idle_lifetime_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_SESSIONS_MAX_LIFETIME_SECONDS",
        "sessions.max_lifetime_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_PASSWORDS_MEMORY_KIB",
        "passwords.memory_kib",
        Kind::Number,
    ),
    variable(
        "SEALGATE_PASSWORDS_PASSES",
        "passwords.passes",
        Kind::Number,
    ),
    variable("SEALGATE_PASSWORDS_LANES", "passwords.lanes", Kind::Number),
    variable(
        "SEALGATE_PASSWORDS_MAX_CONCURRENT",
        "passwords.max_concurrent",
        Kind::Number,
    ),
    variable(
        "SEALGATE_PASSWORDS_MIN_LENGTH",
        "passwords.min_length",
        Kind::Number,
    ),
    variable("SEALGATE_IDENTITY_BACKEND", "identity.backend", Kind::Text),
    variable(
        "SEALGATE_IDENTITY_HTTP_URL",
        "identity.http.url",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_FORMAT",
        "identity.http.format",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_USERNAME_FIELD",
        "identity.http.username_field",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_PASSWORD_FIELD",
        "identity.http.password_field",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_SUCCESS",
        "identity.http.success",
        Kind::Numbers,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_SUCCESS_COOKIE",
        "identity.http.success_cookie",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_TIMEOUT_SECONDS",
        "identity.http.timeout_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_IDENTITY_HTTP_CA_FILE",
        "identity.http.ca_file",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_URL",
        "identity.ldap.url",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_START_TLS",
        "identity.ldap.start_tls",
        Kind::Switch,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_ALLOW_PLAINTEXT",
        "identity.ldap.allow_plaintext",
        Kind::Switch,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_USER_DN",
        "identity.ldap.user_dn",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_SEARCH_BASE",
        "identity.ldap.search_base",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_SEARCH_FILTER",
        "identity.ldap.search_filter",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_BIND_DN",
        "identity.ldap.bind_dn",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_BIND_PASSWORD_FILE",
        "identity.ldap.bind_password_file",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_ATTRIBUTES",
        "identity.ldap.attributes",
        Kind::List,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_TIMEOUT_SECONDS",
        "identity.ldap.timeout_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_IDENTITY_LDAP_CA_FILE",
        "identity.ldap.ca_file",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HEADERS_KIND",
        "identity_headers.kind",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HEADERS_KEY_ID",
        "identity_headers.key_id",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HEADERS_SUBJECT",
        "identity_headers.subject",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HEADERS_PERMISSIONS",
        "identity_headers.permissions",
        Kind::Text,
    ),
    variable(
        "SEALGATE_IDENTITY_HEADERS_ENVIRONMENT",
        "identity_headers.environment",
        Kind::Text,
    ),
    variable("SEALGATE_GATEWAY_UPSTREAM", "gateway.upstream", Kind::Text),
    variable("SEALGATE_GATEWAY_LISTEN", "gateway.listen", Kind::Text),
    variable(
        "SEALGATE_GATEWAY_PRESERVE_HOST",
        "gateway.preserve_host",
        Kind::Switch,
    ),
    variable(
        "SEALGATE_GATEWAY_CONNECT_TIMEOUT_SECONDS",
        "gateway.connect_timeout_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_GATEWAY_RESPONSE_TIMEOUT_SECONDS",
        "gateway.response_timeout_seconds",
        Kind::Number,
    ),
    variable(
        "SEALGATE_GATEWAY_KEEP_CREDENTIALS",
        "gateway.keep_credentials",
        Kind::Switch,
    ),
    variable("SEALGATE_GATEWAY_CA_FILE", "gateway.ca_file", Kind::Text),
    variable(
        "SEALGATE_FORWARD_AUTH_HEADERS",
        "forward_auth.headers",
        Kind::Text,
    ),
    variable("SEALGATE_EXT_AUTHZ_LISTEN", "ext_authz.listen", Kind::Text),
    variable(
        "SEALGATE_LIMITS_ANONYMOUS_PER_MINUTE",
        "limits.anonymous_per_minute",
        Kind::Number,
    ),
    variable(
        "SEALGATE_LIMITS_PUBLIC_PER_MINUTE",
        "limits.public_per_minute",
        Kind::Number,
    ),
    variable("SEALGATE_LIMITS_REDIS_URL", "limits.redis_url", Kind::Text),
    variable(
        "SEALGATE_LIMITS_REDIS_URL_FILE",
        "limits.redis_url_file",
        Kind::Text,
    ),
    variable(
        "SEALGATE_LIMITS_WHEN_UNAVAILABLE",
        "limits.when_unavailable",
        Kind::Text,
    ),
    variable(
        "SEALGATE_STORE_MAX_STALENESS_MS",
        "store.max_staleness_ms",
        Kind::Number,
    ),
    variable(
        "SEALGATE_STORE_CONNECTIONS",
        "store.connections",
        Kind::Number,
    ),
    variable("SEALGATE_AUDIT_REQUESTS", "audit.requests", Kind::Text),
    variable("SEALGATE_SECURITY_CONTACT", "security.contact", Kind::List),
    variable(
        "SEALGATE_SECURITY_EXPIRES_DAYS",
        "security.expires_days",
        Kind::Number,
    ),
    variable("SEALGATE_LOG_FORMAT", "log.format", Kind::Text),
    variable("SEALGATE_LOG_LEVEL", "log.level", Kind::Text),
];

/// The value of a variable, unless it is absent or empty.
pub fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether a switch was set, before anything else was read.
pub fn is_on(name: &str) -> bool {
    value(name).is_some_and(|value| value == "1" || value == "true")
}

/// Variables that begin like ours and that nothing reads: most often a slip of the pen.
pub fn unknown() -> Vec<String> {
    let known = |name: &str| {
        [CONFIG, MASTER_KEY, MASTER_KEY_FILE].contains(&name)
            || SETTINGS.iter().any(|variable| variable.name == name)
    };
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<String> = names
        .filter(|name| name.starts_with("SEALGATE_") && !known(name))
        .collect();
    unknown.sort();
    unknown
}

const fn variable(name: &'static str, setting: &'static str, kind: Kind) -> Variable {
    Variable {
        name,
        setting,
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_for_its_setting() {
        for variable in SETTINGS {
            let path = variable.setting.trim_start_matches("server.");
            let name = format!("SEALGATE_{}", path.replace('.', "_").to_uppercase());
            assert_eq!(variable.name, name);
        }
    }
}
