//! Permissions: which of them grant what a request needs. The same rule as the server's: `area:verb`,
//! with the wildcards `area:*` and `*`.

use std::sync::Arc;

use http::Method;

use crate::error::Error;
use crate::identity::{Identity, Kind};
use crate::refusal::Refusal;

/// What a safe method needs unless a route says otherwise.
const READ: &str = "api:read";
/// What any other method needs unless a route says otherwise.
const WRITE: &str = "api:write";

/// Whether a list of permissions, separated by spaces, grants `needed`.
pub(crate) fn allow(permissions: &str, needed: &str) -> bool {
    permissions.split(' ').any(|entry| {
        entry == needed
            || entry == "*"
            || entry.strip_suffix('*').is_some_and(|area| {
                area.ends_with(':') && needed.starts_with(area) && needed.len() > area.len()
            })
    })
}

/// What a request needs besides a good credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Demand {
    /// `api:read` for safe methods, `api:write` for others; a session needs nothing.
    #[default]
    ByMethod,
    /// All of these. A session has no permissions, so that it passes if there are none.
    Permissions(Arc<[String]>),
}

impl Demand {
    /// Reads permissions that are separated by spaces.
    ///
    /// # Errors
    /// [`Error::Option`] if one of them is not written `area:verb`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let entries = text.split(' ').filter(|entry| !entry.is_empty());
        let checked = entries.map(|entry| {
            if is_single(entry) {
                Ok(entry.to_owned())
            } else {
                let shown = entry.escape_debug();
                let message = format!("`{shown}` is not a permission: write `area:verb`");
                Err(Error::Option(message))
            }
        });
        checked.collect::<Result<_, _>>().map(Self::Permissions)
    }

    /// Whether a caller may send a request of this method.
    pub fn admit(&self, identity: &Identity, method: &Method) -> Result<(), Refusal> {
        match self {
            Self::ByMethod if identity.kind == Kind::Session => Ok(()),
            // RFC 9110 section 9.2.1: a safe method is one that reads.
            Self::ByMethod if method.is_safe() => identity.require(READ),
            Self::ByMethod => identity.require(WRITE),
            Self::Permissions(needed) => needed.iter().try_for_each(|it| identity.require(it)),
        }
    }
}

/// Whether a text names one permission. Who demands a wildcard would demand what nobody spells.
fn is_single(entry: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
    };
    entry
        .split_once(':')
        .is_some_and(|(area, verb)| is_word(area) && is_word(verb))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealgate_core::permission;

    use super::*;

    fn identity(kind: Kind, permissions: &str) -> Identity {
        Identity {
            permissions: permissions.to_owned(),
            ..Identity::of(kind, "someone")
        }
    }

    #[test]
    fn a_permission_is_granted_by_itself_its_area_or_everything() {
        for granting in ["api:read", "api:*", "*", "x:y api:read"] {
            assert!(allow(granting, READ), "{granting}");
        }
        for other in ["", "api:write", "ap:*", "api:rea", "api:reads", "apix:*"] {
            assert!(!allow(other, READ), "{other}");
        }
    }

    #[test]
    fn the_method_decides_unless_permissions_are_named() {
        let reader = identity(Kind::Token, "api:read");
        let writer = identity(Kind::Key, "api:write");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            assert!(Demand::ByMethod.admit(&reader, &method).is_ok());
            assert!(Demand::ByMethod.admit(&writer, &method).is_err());
        }
        let other = Method::from_bytes(b"get").unwrap();
        for method in [Method::POST, Method::DELETE, Method::CONNECT, other] {
            assert!(Demand::ByMethod.admit(&reader, &method).is_err());
            assert!(Demand::ByMethod.admit(&writer, &method).is_ok());
        }
        let named = Demand::parse("orders:read  orders:list").unwrap();
        for (permissions, passes) in [
            ("orders:*", true),
            ("orders:list orders:read", true),
            ("orders:read", false),
            ("api:read", false),
        ] {
            let caller = identity(Kind::Token, permissions);
            assert_eq!(named.admit(&caller, &Method::GET).is_ok(), passes);
        }
    }

    #[test]
    fn a_session_passes_by_method_and_not_where_permissions_are_named() {
        let session = identity(Kind::Session, "");
        assert!(Demand::ByMethod.admit(&session, &Method::POST).is_ok());
        let named = Demand::parse("orders:read").unwrap();
        assert!(named.admit(&session, &Method::GET).is_err());
        let nothing = Demand::parse("").unwrap();
        assert!(nothing.admit(&session, &Method::GET).is_ok());
    }

    #[test]
    fn what_is_not_one_permission_cannot_be_demanded() {
        for text in ["orders", "orders:*", "*", ":read", "a:b:c", "a:b é:x"] {
            assert!(Demand::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn permissions_mean_the_same_here_and_on_the_server(
            permissions in "((a|ab|api):(x|read|\\*)|\\*|[a-z:*]{0,4}| ){0,5}",
            needed in "(a|ab|api):(x|read|re)",
        ) {
            let theirs = permission::allow(&permissions, permission::Permission(&needed));
            prop_assert_eq!(allow(&permissions, &needed), theirs);
        }
    }
}
