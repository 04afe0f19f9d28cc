//! LDAP: a user is who they say if the directory lets them bind with their password.

mod conversation;
mod name;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sealgate_core::identity::{IdentityProvider, NotIdentified, UserData};
use sealgate_core::secret::SecretText;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use self::conversation::Conversation;
use self::name::{Name, PLACEHOLDER, is_attribute};
use crate::{is_loopback, tls, unavailable};

/// Where the directory is and how its users are found.
#[derive(Clone)]
pub struct LdapOptions {
    /// `ldaps://host` or `ldap://host`, with a port if it is not 636 or 389.
    pub url: String,
    /// Whether a connection to `ldap://` is encrypted before anything is said (RFC 4511 section
    /// 4.14).
    pub start_tls: bool,
    /// Whether passwords may cross a network unencrypted. Without it, `ldap://` without
    /// `start_tls` is for this machine alone.
    pub allow_plaintext: bool,
    /// Certificates to trust, in PEM, in place of those that the operating system trusts.
    pub ca_file: Option<PathBuf>,
    /// How a user's entry is found.
    pub user: UserLookup,
    /// The attributes of the user's entry that become user data. They are read as the user.
    pub attributes: Vec<String>,
    /// The longest a login may take, from the connection to the last answer.
    pub timeout: Duration,
}

/// How a user's entry is found.
#[derive(Clone, Debug)]
pub enum UserLookup {
    /// Its name follows from the user's.
    Template {
        /// The entry's name, such as `uid={username},ou=people,dc=example,dc=org`.
        dn: String,
    },
    /// It is looked for.
    Search {
        /// Where to look, with all that is below.
        base: String,
        /// What to look for, such as `(uid={username})`.
        filter: String,
        /// Who looks. An empty name looks anonymously.
        bind_dn: String,
        /// The password of who looks.
        bind_password: SecretText,
    },
}

/// An LDAP directory (RFC 4511).
///
/// Each login has a connection of its own, on which the user binds. Who a user is, is
/// `{"username": …, "dn": …, "attributes": {name: [values]}}`, without attributes that are not
/// text. Referrals are not followed.
///
/// A user's name is of printable ASCII, without spaces around it or two in a row: a directory takes
/// many spellings of a name for the same (RFC 4518), and a login's tries are counted by spelling.
/// An empty password is refused unasked, since a directory takes it for no login at all and says
/// yes (RFC 4513 section 5.1.2).
pub struct Ldap {
    directory: Arc<Directory>,
    timeout: Duration,
}

/// What is known of a directory, shared by the conversations with it.
struct Directory {
    url: Url,
    start_tls: bool,
    tls: Option<Arc<ClientConfig>>,
    user: UserLookup,
    attributes: Vec<String>,
}

impl Ldap {
    /// Takes the options; nothing is asked yet.
    ///
    /// # Errors
    /// Says which option cannot be used.
    pub fn new(options: LdapOptions) -> Result<Self, String> {
        let url = parse_url(&options.url)?;
        let encrypted = url.scheme() == "ldaps" || options.start_tls;
        if url.scheme() == "ldaps" && options.start_tls {
            return Err("start_tls is for ldap://: ldaps:// is encrypted as it is".to_owned());
        }
        if !encrypted && !options.allow_plaintext && !is_local(&url) {
            return Err(
                "passwords would cross the network unencrypted: take ldaps:// or start_tls"
                    .to_owned(),
            );
        }
        if options.timeout.is_zero() {
            return Err("a login needs some time: the timeout is 0".to_owned());
        }
        check_lookup(&options.user)?;
        check_attributes(&options.attributes)?;
        let tls = encrypted
            .then(|| {
                check_host(&url)?;
                tls::client_config(options.ca_file.as_deref()).map(Arc::new)
            })
            .transpose()?;
        Ok(Self {
            directory: Arc::new(Directory {
                url,
                start_tls: options.start_tls,
                tls,
                user: options.user,
                attributes: options.attributes,
            }),
            timeout: options.timeout,
        })
    }

    /// Whether passwords cross a network unencrypted.
    pub fn is_plaintext(&self) -> bool {
        self.directory.tls.is_none() && !is_local(&self.directory.url)
    }
}

#[async_trait]
impl IdentityProvider for Ldap {
    async fn identify(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<UserData, NotIdentified> {
        let name = Name::parse(username).ok_or(NotIdentified::Refused)?;
        // A password that ends a text in C can be an empty one to a directory.
        if password.expose().is_empty() || password.expose().contains('\0') {
            return Err(NotIdentified::Refused);
        }
        // A task of its own, since the protocol's library panics at an answer that is malformed. It
        // ends with the set it is in.
        let mut task = JoinSet::new();
        let directory = Arc::clone(&self.directory);
        let password = password.clone();
        task.spawn(async move { Conversation::identify(&directory, &name, &password).await });
        match tokio::time::timeout(self.timeout, task.join_next()).await {
            Ok(Some(Ok(outcome))) => outcome,
            Ok(_) => Err(unavailable("the answer is malformed")),
            Err(_) => Err(unavailable(format!("no answer within {:?}", self.timeout))),
        }
    }

    fn describe(&self) -> String {
        let how = if self.directory.start_tls {
            " with StartTLS"
        } else {
            ""
        };
        format!("the LDAP directory at {}{how}", self.directory.url)
    }
}

impl fmt::Debug for Ldap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ldap")
            .field("url", &self.directory.url.as_str())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LdapOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapOptions")
            .field("start_tls", &self.start_tls)
            .field("ca_file", &self.ca_file)
            .field("user", &self.user)
            .field("attributes", &self.attributes)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    // The text is not shown: there may be a password in it.
    let url = Url::parse(text).map_err(|error| format!("the directory's URL: {error}"))?;
    if !matches!(url.scheme(), "ldap" | "ldaps") {
        return Err("the directory's URL begins with neither ldaps:// nor ldap://".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the directory's URL has no host in it".to_owned());
    }
    let more = !url.username().is_empty()
        || url.password().is_some()
        || !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || url.fragment().is_some();
    if more {
        return Err(
            "the directory's URL has more than a host and a port: the rest are settings".to_owned(),
        );
    }
    Ok(url)
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// TLS needs a name that a certificate can be for.
fn check_host(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    ServerName::try_from(host)
        .map(drop)
        .map_err(|_| format!("`{host}` is not a name that TLS can verify"))
}

fn check_lookup(user: &UserLookup) -> Result<(), String> {
    match user {
        UserLookup::Template { dn } if !dn.contains(PLACEHOLDER) => {
            Err(format!("the template of a user's DN has no {PLACEHOLDER}"))
        }
        UserLookup::Search { filter, .. } if !filter.contains(PLACEHOLDER) => {
            Err(format!("the filter that finds a user has no {PLACEHOLDER}"))
        }
        UserLookup::Search { filter, .. }
            if ldap3::parse_filter(filter.replace(PLACEHOLDER, "ada")).is_err() =>
        {
            Err("the filter that finds a user is not a filter, such as (uid={username})".to_owned())
        }
        UserLookup::Search {
            bind_dn,
            bind_password,
            ..
        } if bind_dn.is_empty() != bind_password.expose().is_empty() => {
            Err("bind_dn and its password are both there, or neither is".to_owned())
        }
        UserLookup::Template { .. } | UserLookup::Search { .. } => Ok(()),
    }
}

/// Neither all attributes, `*` and `+`, nor the password are anything for a token.
fn check_attributes(attributes: &[String]) -> Result<(), String> {
    for name in attributes {
        if !is_attribute(name) {
            return Err(format!(
                "`{}` is not the name of an attribute",
                name.escape_debug()
            ));
        }
        if name.to_ascii_lowercase().starts_with("userpassword") {
            return Err("the attribute userPassword is not for reading".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> LdapOptions {
        LdapOptions {
            url: url.to_owned(),
            start_tls: false,
            allow_plaintext: false,
            ca_file: None,
            user: UserLookup::Template {
                dn: "uid={username},dc=example,dc=org".to_owned(),
            },
            attributes: vec!["mail".to_owned()],
            timeout: Duration::from_secs(5),
        }
    }

    fn search(filter: &str, bind_dn: &str, password: &str) -> UserLookup {
        UserLookup::Search {
            base: "dc=example,dc=org".to_owned(),
            filter: filter.to_owned(),
            bind_dn: bind_dn.to_owned(),
            bind_password: SecretText::new(password.to_owned()),
        }
    }

    fn refused(options: LdapOptions) -> String {
        Ldap::new(options).unwrap_err()
    }

    #[test]
    fn an_url_that_cannot_be_used_is_told_without_its_password() {
        for url in [
            "",
            "localhost",
            "ldap://",
            "ldap:///dc=example",
            "https://localhost",
            "ldapi://%2frun%2fldapi",
            "ldap://cn=ada:hunter2@localhost",
            "ldap://localhost/dc=hunter2",
            "ldap://localhost/?hunter2",
        ] {
            let error = refused(options(url));
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_crosses_a_network_unencrypted_only_if_that_is_allowed() {
        let url = "ldap://directory.example";
        assert!(refused(options(url)).contains("unencrypted"));
        let allowed = Ldap::new(LdapOptions {
            allow_plaintext: true,
            ..options(url)
        });
        assert!(allowed.unwrap().is_plaintext());
        for local in ["ldap://localhost", "ldap://127.0.0.1:1389", "ldap://[::1]"] {
            assert!(!Ldap::new(options(local)).unwrap().is_plaintext());
        }
    }

    #[test]
    fn start_tls_is_for_connections_that_begin_without() {
        let both = LdapOptions {
            start_tls: true,
            ..options("ldaps://directory.example")
        };
        assert!(refused(both).contains("start_tls"));
    }

    #[test]
    fn a_lookup_has_a_place_for_the_name() {
        for user in [
            UserLookup::Template {
                dn: "uid=ada,dc=example,dc=org".to_owned(),
            },
            search("(uid=ada)", "cn=reader", "x"),
            search("(uid={username}", "cn=reader", "x"),
            search("(uid={username})", "cn=reader", ""),
            search("(uid={username})", "", "x"),
        ] {
            let options = LdapOptions {
                user,
                ..options("ldap://localhost")
            };
            assert!(Ldap::new(options).is_err());
        }
    }

    #[test]
    fn attributes_are_named_one_by_one_and_are_no_passwords() {
        for name in [
            "",
            "*",
            "+",
            "1.1.",
            "userPassword",
            "USERPASSWORD;x-a",
            "a b",
            "a,b",
        ] {
            let options = LdapOptions {
                attributes: vec![name.to_owned()],
                ..options("ldap://localhost")
            };
            assert!(refused(options).contains("attribute"), "{name}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let options = LdapOptions {
            user: search("(uid={username})", "cn=reader", "hunter2"),
            ..options("ldap://localhost")
        };
        assert!(!format!("{options:?}").contains("hunter2"));
        let ldap = Ldap::new(options).unwrap();
        assert!(!format!("{ldap:?}{}", ldap.describe()).contains("hunter2"));
        assert_eq!(ldap.describe(), "the LDAP directory at ldap://localhost");
    }
}
