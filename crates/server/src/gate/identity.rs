//! The headers in which the one behind the gate hears who calls.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};
use sealgate_core::key::Environment;

use super::{Passed, Who};
use crate::error::Problem;

/// The names of the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// `key`, `token`, `session` or `anonymous`.
    pub kind: HeaderName,
    /// The managed key that was used, itself or through a token, or that seals the session.
    pub key_id: HeaderName,
    /// The key's identifier, or the user's name.
    pub subject: HeaderName,
    /// What the caller may do.
    pub permissions: HeaderName,
    /// The server's environment.
    pub environment: HeaderName,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            kind: HeaderName::from_static("x-auth-kind"),
            key_id: HeaderName::from_static("x-auth-key-id"),
            subject: HeaderName::from_static("x-auth-subject"),
            permissions: HeaderName::from_static("x-auth-permissions"),
            environment: HeaderName::from_static("x-auth-environment"),
        }
    }
}

/// What stands in a header that has nothing to say. None is ever left out or empty: a proxy that copies
/// what is there would let the client's own header stand.
pub(super) const NOTHING: HeaderValue = HeaderValue::from_static("-");

impl IdentityHeaders {
    /// All names.
    #[must_use]
    pub const fn names(&self) -> [&HeaderName; 5] {
        let Self {
            kind,
            key_id,
            subject,
            permissions,
            environment,
        } = self;
        [kind, key_id, subject, permissions, environment]
    }

    /// What they say of a caller, in the order of [`Self::names`].
    pub(super) fn values(
        &self,
        passed: &Passed,
        environment: Environment,
    ) -> Result<[HeaderValue; 5], Problem> {
        let key_id = || match passed.key_id() {
            None => Ok(NOTHING),
            Some(id) => {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                value(&self.key_id, id.0.as_hyphenated().encode_lower(&mut text))
            }
        };
        let (kind, subject, permissions) = match &passed.who {
            Who::Anonymous => ("anonymous", NOTHING, NOTHING),
            Who::Managed(identity) => {
                let kind = identity.token().map_or("key", |_| "token");
                let permissions = value(&self.permissions, &identity.permissions())?;
                (kind, key_id()?, permissions)
            }
            Who::Session(session) => {
                let subject = value(&self.subject, &escaped(session.username()))?;
                ("session", subject, NOTHING)
            }
        };
        Ok([
            HeaderValue::from_static(kind),
            key_id()?,
            subject,
            permissions,
            HeaderValue::from_static(environment.as_str()),
        ])
    }
}

fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, Problem> {
    if text.is_empty() {
        return Ok(NOTHING);
    }
    HeaderValue::from_str(text)
        .map_err(|_| Problem::Internal(format!("what is to be said in {name} fits no header")))
}

/// A name as a header can hold it: bytes that are not visible ASCII, and `%` and `,`, are
/// percent-encoded (RFC 3986 section 2.1). A comma would make two values of it (RFC 9110 section 5.3).
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b',') {
            text.push(byte.into());
        } else {
            // A string takes whatever is written to it.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_told_in_visible_ascii() {
        for (name, told) in [
            ("ada", "ada"),
            ("ada@example.com", "ada@example.com"),
            ("Ada Lovelace", "Ada%20Lovelace"),
            ("zoë", "zo%C3%AB"),
            ("100%", "100%25"),
            ("ada,admin", "ada%2Cadmin"),
            ("a\r\nX-Auth-Kind: key", "a%0D%0AX-Auth-Kind:%20key"),
        ] {
            assert_eq!(escaped(name), told);
        }
    }

    proptest! {
        #[test]
        fn every_name_fits_a_header_and_no_two_are_told_alike(one: String, other: String) {
            prop_assert!(escaped(&one).bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(escaped(&one) == escaped(&other), one == other);
        }
    }
}
