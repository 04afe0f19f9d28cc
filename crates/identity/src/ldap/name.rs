//! Names that go into what a directory is asked, escaped for where they go.

use ldap3::{dn_escape, ldap_escape};

/// Where the user's name goes in a template or a filter.
pub(super) const PLACEHOLDER: &str = "{username}";

/// A user's name that a directory has one spelling of, but for the letters' case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Nothing if the name is empty, has other characters than those of printable ASCII, or spaces
    /// that a directory leaves out (RFC 4518 section 2.6.1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let tidy = !text.is_empty()
            && !text.starts_with(' ')
            && !text.ends_with(' ')
            && !text.contains("  ");
        (printable && tidy).then(|| Self(text.to_owned()))
    }

    /// The name as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// An entry's name with this one in it (RFC 4514 section 2.4).
    pub(super) fn in_dn(&self, template: &str) -> String {
        template.replace(PLACEHOLDER, &dn_escape(self.0.as_str()))
    }

    /// A filter with this name in it (RFC 4515 section 3).
    pub(super) fn in_filter(&self, template: &str) -> String {
        template.replace(PLACEHOLDER, &ldap_escape(self.0.as_str()))
    }
}

/// Whether this describes one attribute: a name or a number, with options or without (RFC 4512
/// section 2.5).
pub(super) fn is_attribute(text: &str) -> bool {
    let mut parts = text.split(';');
    let kind = parts.next().unwrap_or_default();
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let named = kind.starts_with(|c: char| c.is_ascii_alphabetic()) && word(kind);
    let numbered = kind.contains('.') && kind != NO_ATTRIBUTES && kind.split('.').all(number);
    (named || numbered) && parts.all(word)
}

/// What asks for an entry without any of its attributes (RFC 4511 section 4.5.1.8).
pub(super) const NO_ATTRIBUTES: &str = "1.1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_name_has_one_spelling() {
        for text in [
            "ada",
            "a.b@example.org",
            "Ada Lovelace",
            "*)(uid=*",
            "ada,ou=people",
            "#1",
        ] {
            assert_eq!(name(text).as_str(), text);
        }
        for text in [
            "",
            " ",
            " ada",
            "ada ",
            "a  b",
            "a\tb",
            "ada\0",
            "a\u{ad}da",
            "ａda",
            "é",
        ] {
            assert_eq!(Name::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_stays_within_its_place() {
        let filter = |text: &str| name(text).in_filter("(uid={username})");
        assert_eq!(filter("*)(uid=*"), r"(uid=\2a\29\28uid=\2a)");
        assert_eq!(filter(r"\2a"), r"(uid=\5c2a)");
        let dn = |text: &str| name(text).in_dn("uid={username},dc=org");
        assert_eq!(dn("ada,ou=people"), r"uid=ada\2cou\3dpeople,dc=org");
        assert_eq!(dn("#ada+cn=x"), r"uid=\23ada\2bcn\3dx,dc=org");
        assert_eq!(dn(r#"a"<>;\"#), r"uid=a\22\3c\3e\3b\5c,dc=org");
    }

    #[test]
    fn a_name_like_the_placeholder_is_put_in_once() {
        assert_eq!(
            name("{username}").in_filter("(|(uid={username})(mail={username}))"),
            "(|(uid={username})(mail={username}))"
        );
    }

    #[test]
    fn attributes_are_told_from_lists_and_wildcards() {
        for text in ["mail", "memberOf", "cn;lang-en", "2.5.4.3", "x-1"] {
            assert!(is_attribute(text), "{text}");
        }
        for text in [
            "", "*", "+", "1.1", "1", "2.5.", "mail,cn", "-a", "a b", "cn;", "a_b",
        ] {
            assert!(!is_attribute(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_name_adds_anything_to_a_filter_or_a_dn(text in "[ -~]{1,40}") {
            if let Some(name) = Name::parse(&text) {
                let filter = name.in_filter("{username}");
                prop_assert!(!filter.contains(['*', '(', ')']));
                let dn = name.in_dn("{username}");
                prop_assert!(!dn.contains([',', '+', '=', ';', '"', '<', '>']));
            }
        }
    }
}
