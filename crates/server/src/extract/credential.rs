//! The credentials a request carries, by the headers they came in. Whether they are anybody's is
//! for the authority to say.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use sealgate_core::error::{Denied, Reason};

use crate::error::{CredentialKind, Problem};

/// The header of a managed key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Whether a token says by its form that it is a session's, and not an access token.
pub(crate) fn is_session_token(token: &str) -> bool {
    token.starts_with("v4.public.")
}

/// What a request carries. At most one of each: a header that is there twice means that somebody on
/// the way reads another one than we do.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    /// What `Authorization: Bearer` holds.
    pub token: Option<&'a str>,
    /// What `X-API-Key` holds.
    pub key: Option<&'a str>,
}

impl<'a> Presented<'a> {
    /// Reads the headers. One that is there but can hold no credential is refused, never ignored.
    pub fn read(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let header = |name, kind| {
            only(headers, &name).map_err(|unreadable| {
                let (reason, key_id) = (unreadable.reason(), None);
                Problem::refused(kind, Denied { reason, key_id })
            })
        };
        let token = match header(AUTHORIZATION, CredentialKind::Token)? {
            Some(value) => Some(bearer(value)?),
            None => None,
        };
        let key = header(API_KEY, CredentialKind::Key)?;
        Ok(Self { token, key })
    }
}

/// Why a header can hold no credential, whatever it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is there more than once.
    Repeated,
    /// There is nothing in it.
    Empty,
    /// It has other characters than the visible ones of ASCII.
    NotAscii,
}

impl Unreadable {
    const fn reason(self) -> Reason {
        match self {
            Self::Repeated => Reason::DuplicateCredential,
            Self::Empty | Self::NotAscii => Reason::MalformedCredential,
        }
    }

    /// The refusal of a seal key.
    pub const fn of_seal_key(self) -> Denied {
        let reason = match self {
            Self::Repeated => Reason::DuplicateCredential,
            Self::Empty | Self::NotAscii => Reason::MalformedSealKey,
        };
        Denied {
            reason,
            key_id: None,
        }
    }
}

/// What a header holds that may be there once.
pub(super) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Unreadable::Repeated),
        (Some(value), None) if value.is_empty() => Err(Unreadable::Empty),
        // As `HeaderValue::to_str`, since no header has control characters, and a word at a time.
        (Some(value), None) if value.as_bytes().is_ascii() => std::str::from_utf8(value.as_bytes())
            .map(Some)
            .map_err(|_| Unreadable::NotAscii),
        (Some(_), None) => Err(Unreadable::NotAscii),
    }
}

/// What follows `Bearer` and at least one space (RFC 6750 section 2.1); the scheme's letters may be
/// of either case (RFC 9110 section 11.1).
fn bearer(value: &str) -> Result<&str, Problem> {
    let parts = value.split_once(' ');
    match parts.map(|(scheme, token)| (scheme, token.trim_start_matches(' '))) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
            Ok(token)
        }
        _ => {
            let reason = Reason::MalformedCredential;
            let key_id = None;
            Err(Problem::refused(
                CredentialKind::Token,
                Denied { reason, key_id },
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn reason(headers: &[(HeaderName, &[u8])]) -> Option<&'static str> {
        let headers: HeaderMap = {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, HeaderValue::from_bytes(value).unwrap());
            }
            map
        };
        let problem = Presented::read(&headers).err()?;
        problem.denied().map(|denied| denied.reason.slug())
    }

    #[test]
    fn the_schemes_letter_case_and_the_number_of_spaces_do_not_matter() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(Presented::read(&headers).unwrap().token, Some("abc"));
        }
    }

    #[test]
    fn what_can_hold_no_credential_is_refused_and_not_ignored() {
        for value in [
            &b""[..],
            b"Bearer",
            b"Bearer ",
            b"Basic YTpi",
            b"abc",
            b"Bearer\tabc",
            b"Bearer caf\xe9",
            b"\xff\xfe",
        ] {
            assert_eq!(
                reason(&[(AUTHORIZATION, value)]),
                Some("malformed_credential")
            );
        }
        for value in [&b""[..], b"\xff\xfe", "clé".as_bytes()] {
            assert_eq!(reason(&[(API_KEY, value)]), Some("malformed_credential"));
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused_even_if_both_say_the_same() {
        for name in [API_KEY, AUTHORIZATION] {
            let twice = [(name.clone(), &b"Bearer a"[..]), (name, b"Bearer a")];
            assert_eq!(reason(&twice), Some("duplicate_credential"));
        }
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_stands(value in vec(any::<u8>(), 0..60)) {
            if let Ok(header) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(API_KEY, header)]);
                if let Ok(presented) = Presented::read(&headers) {
                    prop_assert_eq!(presented.key.map(str::as_bytes), Some(&*value));
                    prop_assert_eq!(presented.token, None);
                }
            }
        }

        #[test]
        fn a_token_is_the_end_of_its_header_and_reads_back(
            scheme in "([Bb][Ee]arer|BEARER)? {0,2}",
            rest in vec(any::<u8>(), 0..60),
        ) {
            let value = [scheme.as_bytes(), &rest].concat();
            if let Ok(header) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
                if let Ok(presented) = Presented::read(&headers) {
                    let token = presented.token.expect("the header was read");
                    prop_assert!(!token.is_empty() && !token.starts_with(' '));
                    prop_assert!(value.ends_with(token.as_bytes()));
                    let again = format!("Bearer {token}");
                    prop_assert_eq!(bearer(&again).ok(), Some(token));
                }
            }
        }
    }
}
