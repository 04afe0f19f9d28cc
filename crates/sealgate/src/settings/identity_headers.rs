//! The headers in which those behind a proxy hear who calls.

use hyper::header::HeaderName;
use serde::Deserialize;

use super::sessions::free_header;

/// Their names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityHeaders {
    /// Of what kind the credential is.
    #[serde(deserialize_with = "free_header")]
    pub kind: HeaderName,
    /// Which managed key was used.
    #[serde(deserialize_with = "free_header")]
    pub key_id: HeaderName,
    /// Who calls.
    #[serde(deserialize_with = "free_header")]
    pub subject: HeaderName,
    /// What they may do.
    #[serde(deserialize_with = "free_header")]
    pub permissions: HeaderName,
    /// The server's environment.
    #[serde(deserialize_with = "free_header")]
    pub environment: HeaderName,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        let sealgate_server::IdentityHeaders {
            kind,
            key_id,
            subject,
            permissions,
            environment,
        } = sealgate_server::IdentityHeaders::default();
        Self {
            kind,
            key_id,
            subject,
            permissions,
            environment,
        }
    }
}

impl IdentityHeaders {
    /// Checks that each is told in a header of its own.
    ///
    /// # Errors
    /// Names two settings that are the same header; `seal_key` is that of seal keys.
    pub fn check(&self, seal_key: &HeaderName) -> Result<(), String> {
        let Self {
            kind,
            key_id,
            subject,
            permissions,
            environment,
        } = self;
        let named = [
            ("sessions.header", seal_key),
            ("identity_headers.kind", kind),
            ("identity_headers.key_id", key_id),
            ("identity_headers.subject", subject),
            ("identity_headers.permissions", permissions),
            ("identity_headers.environment", environment),
        ];
        for (place, (setting, header)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..place].iter().find(|(_, known)| known == header) {
                return Err(format!(
                    "{other} and {setting} are the same header, {header}"
                ));
            }
        }
        Ok(())
    }

    /// As the server wants them.
    #[must_use]
    pub fn server(&self) -> sealgate_server::IdentityHeaders {
        let Self {
            kind,
            key_id,
            subject,
            permissions,
            environment,
        } = self.clone();
        sealgate_server::IdentityHeaders {
            kind,
            key_id,
            subject,
            permissions,
            environment,
        }
    }
}
