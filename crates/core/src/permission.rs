//! Permissions: space-separated `area:verb`, with the wildcards `area:*` and `*`.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::redact::redact;

/// Longest text of a permission set, in characters.
pub const MAX_LENGTH: usize = 255;
/// Most entries of a permission set.
pub const MAX_ENTRIES: usize = 32;

/// A checked set of permissions, as it was written, each entry once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Permissions(Arc<str>);

impl Permissions {
    /// Checks a space-separated list; no entry at all is a set that allows nothing.
    ///
    /// # Errors
    /// Says which entry is not of the form, or which limit is passed.
    pub fn parse(text: &str) -> Result<Self, InvalidPermissions> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidPermissions::TooLong);
        }
        let mut entries: Vec<&str> = Vec::new();
        for entry in text.split(' ').filter(|entry| !entry.is_empty()) {
            if !is_entry(entry) {
                return Err(InvalidPermissions::Entry(redact(entry)));
            }
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        if entries.len() > MAX_ENTRIES {
            return Err(InvalidPermissions::TooMany);
        }
        Ok(Self(entries.join(" ").into()))
    }

    /// The set as text, entries separated by one space.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an entry grants `needed`.
    #[must_use]
    pub fn allow(&self, needed: Permission<'_>) -> bool {
        allow(&self.0, needed)
    }
}

/// Whether an already checked list, as a token carries it, grants `needed`.
#[must_use]
pub fn allow(permissions: &str, needed: Permission<'_>) -> bool {
    let Permission(needed) = needed;
    permissions.split(' ').any(|entry| {
        entry == needed
            || entry == "*"
            || entry.strip_suffix('*').is_some_and(|area| {
                area.ends_with(':') && needed.starts_with(area) && needed.len() > area.len()
            })
    })
}

/// What two already checked lists both grant. Of two entries that have something in common, one grants
/// all that the other does, so that the narrower of each pair is all there is.
#[must_use]
pub fn granted_by_both(one: &str, other: &str) -> String {
    let entries = |list: &'_ str, by: &'_ str| -> Vec<String> {
        let entries = list.split(' ').filter(|entry| !entry.is_empty());
        let granted = entries.filter(|entry| allow(by, Permission(entry)));
        granted.map(str::to_owned).collect()
    };
    let mut both = entries(one, other);
    for entry in entries(other, one) {
        if !both.contains(&entry) {
            both.push(entry);
        }
    }
    both.join(" ")
}

/// One permission that a request needs, such as `api:read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission<'a>(pub &'a str);

impl Permission<'static> {
    /// What a safe method needs unless a route says otherwise.
    pub const READ: Self = Self("api:read");
    /// What any other method needs unless a route says otherwise.
    pub const WRITE: Self = Self("api:write");
    /// What a managed key needs to seal users' sessions.
    pub const SEAL: Self = Self("session:seal");
    /// What a service needs to ask about tokens of others, and to revoke them.
    pub const INTROSPECT: Self = Self("token:introspect");
}

fn is_entry(entry: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'))
    };
    entry == "*"
        || entry
            .split_once(':')
            .is_some_and(|(area, verb)| is_word(area) && (verb == "*" || is_word(verb)))
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permissions({:?})", self.as_str())
    }
}

/// Why a text is not a permission set.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidPermissions {
    /// The text is over [`MAX_LENGTH`].
    #[error("permissions are at most 255 characters")]
    TooLong,
    /// There are more than [`MAX_ENTRIES`] entries.
    #[error("at most 32 permissions")]
    TooMany,
    /// An entry is not of the form.
    #[error("`{0}` is not a permission: write `area:verb`, `area:*` or `*`, separated by spaces")]
    Entry(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &str) -> Permissions {
        Permissions::parse(text).unwrap()
    }

    #[test]
    fn a_permission_is_granted_by_itself_its_area_or_everything() {
        for granting in ["api:read", "api:*", "*", "x:y api:read"] {
            assert!(set(granting).allow(Permission::READ), "{granting}");
        }
        for other in ["", "api:write", "ap:*", "api:rea", "api:reads", "apix:*"] {
            assert!(!set(other).allow(Permission::READ), "{other}");
        }
    }

    #[test]
    fn what_two_sets_grant_is_the_narrower_of_each_pair() {
        for (one, other, both) in [
            ("*", "api:read x:y", "api:read x:y"),
            ("api:* x:y", "api:read *", "api:read api:* x:y"),
            (
                "api:read api:write",
                "api:write api:read",
                "api:read api:write",
            ),
            ("api:*", "apix:read", ""),
            ("", "*", ""),
            ("*", "*", "*"),
        ] {
            let sorted = |text: &str| {
                let mut entries: Vec<_> = text.split(' ').map(str::to_owned).collect();
                entries.sort();
                entries
            };
            assert_eq!(
                sorted(&granted_by_both(one, other)),
                sorted(both),
                "{one}, {other}"
            );
            assert_eq!(
                sorted(&granted_by_both(other, one)),
                sorted(both),
                "{other}, {one}"
            );
        }
    }

    #[test]
    fn spaces_and_repeats_are_folded() {
        assert_eq!(
            set("  api:read   api:write api:read ").as_str(),
            "api:read api:write"
        );
    }

    #[test]
    fn what_is_not_of_the_form_is_named() {
        for text in [
            "api",
            "api:",
            ":read",
            "api:re\u{7}ad",
            "api:read\tapi:write",
            "a:b:c",
            "a:*b",
            "*:read",
            "é:x",
        ] {
            assert!(
                matches!(Permissions::parse(text), Err(InvalidPermissions::Entry(_))),
                "{text}"
            );
        }
        assert_eq!(
            Permissions::parse(&"a".repeat(256)),
            Err(InvalidPermissions::TooLong)
        );
        let many: Vec<String> = (0..33).map(|n| format!("a:{n}")).collect();
        assert_eq!(
            Permissions::parse(&many.join(" ")),
            Err(InvalidPermissions::TooMany)
        );
    }

    #[test]
    fn what_both_grant_is_the_narrower_of_each_pair() {
        for (one, other, both) in [
            ("api:read api:write", "api:read", "api:read"),
            ("*", "api:* x:y", "api:* x:y"),
            ("api:* x:y", "api:read x:*", "x:y api:read"),
            ("api:read", "api:write", ""),
            ("", "*", ""),
            ("*", "*", "*"),
        ] {
            assert_eq!(granted_by_both(one, other), both, "{one} and {other}");
        }
    }

    proptest! {
        #[test]
        fn both_grant_what_each_of_them_grants(
            one in "((a:(x|y|\\*)|b:(x|\\*)|\\*) ?){0,3}",
            other in "((a:(x|y|\\*)|b:(x|\\*)|\\*) ?){0,3}",
        ) {
            if let (Ok(one), Ok(other)) = (Permissions::parse(&one), Permissions::parse(&other)) {
                let both = granted_by_both(one.as_str(), other.as_str());
                for needed in ["a:x", "a:y", "b:x", "c:x"].map(Permission) {
                    let expected = one.allow(needed) && other.allow(needed);
                    prop_assert_eq!(allow(&both, needed), expected, "{:?}", needed);
                }
            }
        }

        #[test]
        fn any_text_is_refused_or_kept_canonical(text in ".{0,300}") {
            if let Ok(permissions) = Permissions::parse(&text) {
                let again = Permissions::parse(permissions.as_str()).unwrap();
                prop_assert_eq!(again, permissions);
            }
        }
    }
}
