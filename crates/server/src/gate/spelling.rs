//! Names of headers that a service may take for one another.

use http::HeaderMap;
use http::HeaderName;

/// Whether a service may take one name for the other. To those that hear of headers as of variables,
/// which began with CGI (RFC 3875 section 4.1.18), a hyphen is an underscore, and to some so is any other
/// mark.
pub(crate) fn is_spelling_of(name: &str, known: &str) -> bool {
    let (name, known) = (name.as_bytes(), known.as_bytes());
    name.len() == known.len()
        && name.iter().zip(known).all(|(one, other)| {
            one.eq_ignore_ascii_case(other)
                || !(one.is_ascii_alphanumeric() || other.is_ascii_alphanumeric())
        })
}

/// Removes all spellings of a name.
pub(super) fn remove_spellings(headers: &mut HeaderMap, of: &str) {
    let is_spelling = |name: &&HeaderName| is_spelling_of(name.as_str(), of);
    let names: Vec<HeaderName> = headers.keys().filter(is_spelling).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_alike_and_letters_and_digits_are_not() {
        for (name, is_spelling) in [
            ("x-user-1", true),
            ("X_User.1", true),
            ("x~user-1", true),
            ("x-user-2", false),
            ("x-user1-", false),
            ("x-user-", false),
            ("xauser-1", false),
        ] {
            assert_eq!(is_spelling_of(name, "x-user-1"), is_spelling, "{name}");
        }
    }
}
