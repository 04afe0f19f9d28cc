//! The credentials that a request carries, read as the server reads them.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use crate::refusal::{Cause, Refusal};

/// The header of a managed key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request carries. At most one of each: a header that is there twice means that somebody on the
/// way reads another one than we do.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    /// What `Authorization: Bearer` holds.
    pub token: Option<&'a str>,
    /// Whether there is an `X-API-Key`.
    pub has_key: bool,
    /// What the header of seal keys holds.
    pub seal_key: Option<&'a str>,
}

impl<'a> Presented<'a> {
    /// Reads the headers. One that is there but can hold no credential is refused, never ignored.
    pub fn read(headers: &'a HeaderMap, seal_key_header: &HeaderName) -> Result<Self, Refusal> {
        let token = only(headers, &AUTHORIZATION)?.map(bearer).transpose()?;
        let has_key = only(headers, &API_KEY)?.is_some();
        if token.is_none() && !has_key {
            return Err(Refusal::NoCredential);
        }
        Ok(Self {
            token,
            has_key,
            seal_key: only(headers, seal_key_header)?,
        })
    }
}

/// What a header holds that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Cause> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if !value.is_empty() => {
            value.to_str().map(Some).map_err(|_| Cause::Malformed)
        }
        _ => Err(Cause::Malformed),
    }
}

/// What follows `Bearer` and at least one space (RFC 6750 section 2.1); the scheme's letters may be of
/// either case (RFC 9110 section 11.1).
fn bearer(value: &str) -> Result<&str, Cause> {
    let parts = value.split_once(' ');
    match parts.map(|(scheme, token)| (scheme, token.trim_start_matches(' '))) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
            Ok(token)
        }
        _ => Err(Cause::Malformed),
    }
}

/// Fewest and most hexadecimal digits of a seal key.
const DIGITS: std::ops::RangeInclusive<usize> = 40..=128;

/// Whether a seal key is one that a client made for itself: `PREFIX_SECONDS_DIGITS`, or digits alone.
///
/// Another one may be a managed key, of which only the server knows whether it is still honoured, or the
/// default key, of which only the server knows whether it is taken at all.
pub(crate) fn is_clients_own(seal_key: &str) -> bool {
    let digits = |text: &str| {
        DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match seal_key.rsplit_once('_') {
        Some((start, end)) => {
            let seconds = start.rsplit_once('_').map(|(_, seconds)| seconds);
            let is_time = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
            seconds.is_some_and(is_time) && digits(end) && !seal_key.contains('.')
        }
        None => digits(seal_key),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SEAL: HeaderName = HeaderName::from_static("x-gomaluum-key");

    fn read(headers: &[(HeaderName, &[u8])]) -> Result<(bool, bool), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let presented = Presented::read(&map, &SEAL)?;
        Ok((presented.token == Some("abc"), presented.has_key))
    }

    #[test]
    fn the_schemes_letter_case_and_the_number_of_spaces_do_not_matter() {
        for value in [&b"Bearer abc"[..], b"bearer abc", b"BEARER   abc"] {
            assert_eq!(read(&[(AUTHORIZATION, value)]), Ok((true, false)));
        }
        assert_eq!(read(&[(API_KEY, b"k")]), Ok((false, true)));
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
        ] {
            let refused = Err(Cause::Malformed.into());
            assert_eq!(read(&[(AUTHORIZATION, value)]), refused);
            // A good one beside it does not help.
            assert_eq!(read(&[(AUTHORIZATION, value), (API_KEY, b"k")]), refused);
        }
        assert_eq!(read(&[]), Err(Refusal::NoCredential));
        assert_eq!(read(&[(SEAL, b"k")]), Err(Refusal::NoCredential));
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused_even_if_both_say_the_same() {
        for name in [API_KEY, AUTHORIZATION] {
            let twice = [(name.clone(), &b"Bearer abc"[..]), (name, b"Bearer abc")];
            assert_eq!(read(&twice), Err(Cause::Malformed.into()));
        }
        let seal_keys = [
            (AUTHORIZATION, &b"Bearer abc"[..]),
            (SEAL, b"k"),
            (SEAL, b"k"),
        ];
        assert_eq!(read(&seal_keys), Err(Cause::Malformed.into()));
    }

    #[test]
    fn seal_keys_that_only_the_server_can_judge_are_told_apart() {
        for own in [
            "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd",
            "other_1_a1b2c3d4e5f6789012345678901234567890abcd",
            "0123456789ABCDEF0123456789abcdef01234567",
        ] {
            assert!(is_clients_own(own), "{own}");
        }
        for other in [
            "",
            "gomaluum-default-key-2024",
            "aB3dE5fG.0123456789ABCDEFGHIJKLMNOPQRSTUVWXY16oWPc",
            "gml_1703123456_a1b2",
            "gml_now_a1b2c3d4e5f6789012345678901234567890abcd",
            "a1b2c3d4e5f6789012345678901234567890abcd_",
            "_a1b2c3d4e5f6789012345678901234567890abcd",
            "0123456789abcdef",
        ] {
            assert!(!is_clients_own(other), "{other}");
        }
    }
}
