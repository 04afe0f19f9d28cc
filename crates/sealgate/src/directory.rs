//! The directory outside that users come from, as the settings have it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealgate_core::identity::IdentityProvider;
use sealgate_core::secret::SecretText;
use sealgate_identity::{Format, HttpOptions, HttpUpstream, Ldap, LdapOptions, UserLookup};
use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};
use crate::settings::{Backend, BodyFormat, HttpLogin, Identity, LdapDirectory};

/// A directory outside.
pub struct Directory {
    /// What asks it.
    pub provider: Arc<dyn IdentityProvider>,
    /// Whether passwords travel to it in the clear.
    pub is_plaintext: bool,
}

/// The directory that the settings name; none if users are those of the store. It is not asked yet.
///
/// # Errors
/// Names the setting that is of no use.
pub fn of(identity: &Identity) -> Outcome<Option<Directory>> {
    match identity.backend {
        Backend::Embedded => Ok(None),
        Backend::Http => http(&identity.http).map(Some),
        Backend::Ldap => ldap(&identity.ldap).map(Some),
    }
}

fn http(settings: &HttpLogin) -> Outcome<Directory> {
    let options = HttpOptions {
        url: settings.url.clone().unwrap_or_default(),
        format: match settings.format {
            BodyFormat::Json => Format::Json,
            BodyFormat::Form => Format::Form,
        },
        username_field: settings.username_field.clone(),
        password_field: settings.password_field.clone(),
        success: Some(settings.success.clone()).filter(|statuses| !statuses.is_empty()),
        success_cookie: settings.success_cookie.clone(),
        timeout: Duration::from_secs(settings.timeout_seconds.into()),
        ca_file: settings.ca_file.clone(),
    };
    let upstream = HttpUpstream::new(options).map_err(|why| complain("http", &why))?;
    Ok(Directory {
        is_plaintext: upstream.is_plaintext(),
        provider: Arc::new(upstream),
    })
}

fn ldap(settings: &LdapDirectory) -> Outcome<Directory> {
    let options = LdapOptions {
        url: settings.url.clone().unwrap_or_default(),
        start_tls: settings.start_tls,
        allow_plaintext: settings.allow_plaintext,
        ca_file: settings.ca_file.clone(),
        user: user_lookup(settings)?,
        attributes: settings.attributes.clone(),
        timeout: Duration::from_secs(settings.timeout_seconds.into()),
    };
    let directory = Ldap::new(options).map_err(|why| complain("ldap", &why))?;
    Ok(Directory {
        is_plaintext: directory.is_plaintext(),
        provider: Arc::new(directory),
    })
}

fn user_lookup(settings: &LdapDirectory) -> Outcome<UserLookup> {
    if let Some(dn) = &settings.user_dn {
        return Ok(UserLookup::Template { dn: dn.clone() });
    }
    let bind_password = match &settings.bind_password_file {
        Some(path) => read_password(path)?,
        None => SecretText::new(String::new()),
    };
    Ok(UserLookup::Search {
        base: settings.search_base.clone().unwrap_or_default(),
        filter: settings.search_filter.clone(),
        bind_dn: settings.bind_dn.clone().unwrap_or_default(),
        bind_password,
    })
}

/// The first line of the file.
fn read_password(path: &Path) -> Outcome<SecretText> {
    let text = fs::read_to_string(path).map_err(|error| {
        let shown = path.display();
        complain("ldap", &format!("bind_password_file {shown}: {error}"))
    })?;
    let text = Zeroizing::new(text);
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(SecretText::new(line.to_owned())),
        _ => Err(complain(
            "ldap",
            &format!("bind_password_file {} is empty", path.display()),
        )),
    }
}

fn complain(section: &str, why: &str) -> Failure {
    Failure::new(format!("identity.{section}: {why}"))
}
