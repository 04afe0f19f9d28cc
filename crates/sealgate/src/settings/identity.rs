//! Where users come from: the embedded directory, or one outside.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::within;

/// Where users come from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Which of them.
    pub backend: Backend,
    /// A login over HTTP.
    pub http: HttpLogin,
    /// A directory that speaks LDAP.
    pub ldap: LdapDirectory,
}

/// Where users come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// From Sealgate's own store.
    #[default]
    Embedded,
    /// From a login over HTTP.
    Http,
    /// From a directory that speaks LDAP.
    Ldap,
}

/// A login over HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLogin {
    /// Where to send user name and password.
    pub url: Option<String>,
    /// How they are written.
    pub format: BodyFormat,
    /// The field of the user name.
    #[serde(deserialize_with = "field")]
    pub username_field: String,
    /// The field of the password.
    #[serde(deserialize_with = "field")]
    pub password_field: String,
    /// Statuses that mean yes; all of 200 to 299 if there are none.
    #[serde(deserialize_with = "statuses")]
    pub success: Vec<u16>,
    /// A cookie that a login alone sets.
    pub success_cookie: Option<String>,
    /// How long a login may take.
    #[serde(deserialize_with = "within::<1, 60, _>")]
    pub timeout_seconds: u32,
    /// Whose certificates are believed, in PEM; those of the system if absent.
    pub ca_file: Option<PathBuf>,
}

/// How user name and password are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// A JSON object.
    #[default]
    Json,
    /// As a form in a web page sends them.
    Form,
}

/// A directory that speaks LDAP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapDirectory {
    /// `ldaps://HOST`, or `ldap://HOST` with `start_tls`.
    pub url: Option<String>,
    /// Whether to begin with `StartTLS`.
    pub start_tls: bool,
    /// Whether passwords may travel in the clear.
    pub allow_plaintext: bool,
    /// A user's name in the directory, with `{username}` in it.
    pub user_dn: Option<String>,
    /// Where to search for a user, if the name cannot be told.
    pub search_base: Option<String>,
    /// What to search for, with `{username}` in it.
    pub search_filter: String,
    /// As whom to search; as nobody if absent.
    pub bind_dn: Option<String>,
    /// The file with the password to search.
    pub bind_password_file: Option<PathBuf>,
    /// What to read of a user.
    pub attributes: Vec<String>,
    /// How long a login may take.
    #[serde(deserialize_with = "within::<1, 60, _>")]
    pub timeout_seconds: u32,
    /// Whose certificates are believed, in PEM; those of the system if absent.
    pub ca_file: Option<PathBuf>,
}

impl Identity {
    /// What no field can tell alone.
    ///
    /// # Errors
    /// Names the settings that do not fit each other.
    pub fn check(&self) -> Result<(), String> {
        match self.backend {
            Backend::Http if self.http.url.is_none() => {
                Err("identity.backend is \"http\" and identity.http.url is not set".to_owned())
            }
            Backend::Ldap => self.ldap.check(),
            Backend::Embedded | Backend::Http => Ok(()),
        }
    }
}

impl LdapDirectory {
    fn check(&self) -> Result<(), String> {
        let complaint = if self.url.is_none() {
            "identity.backend is \"ldap\" and identity.ldap.url is not set"
        } else if self.user_dn.is_some() == self.search_base.is_some() {
            "identity.ldap needs one of user_dn, which names a user's entry, and search_base, where \
             it is searched for"
        } else if self.bind_dn.is_some() != self.bind_password_file.is_some() {
            "identity.ldap.bind_dn and identity.ldap.bind_password_file are set together or not at \
             all"
        } else {
            return Ok(());
        };
        Err(complaint.to_owned())
    }
}

impl Default for HttpLogin {
    fn default() -> Self {
        Self {
            url: None,
            format: BodyFormat::Json,
            username_field: "username".to_owned(),
            password_field: "password".to_owned(),
            success: Vec::new(),
            success_cookie: None,
            timeout_seconds: 10,
            ca_file: None,
        }
    }
}

impl Default for LdapDirectory {
    fn default() -> Self {
        Self {
            url: None,
            start_tls: false,
            allow_plaintext: false,
            user_dn: None,
            search_base: None,
            search_filter: "(uid={username})".to_owned(),
            bind_dn: None,
            bind_password_file: None,
            attributes: Vec::new(),
            timeout_seconds: 10,
            ca_file: None,
        }
    }
}

fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(de::Error::custom("it must be the name of a field"));
    }
    Ok(text)
}

fn statuses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let numbers = Vec::<i64>::deserialize(deserializer)?;
    let status = |number: &i64| {
        let status = u16::try_from(*number).ok();
        status
            .filter(|status| (200..=399).contains(status))
            .ok_or_else(|| de::Error::custom(format!("{number} is not between 200 and 399")))
    };
    numbers.iter().map(status).collect()
}
