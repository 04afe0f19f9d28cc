//! The request that a reverse proxy asks about, by the headers in which proxies tell of it.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;

use crate::error::Problem;
use crate::gate::{Asked, forward_auth};

/// The method, and the path with the query, as Traefik and Caddy tell them.
const FORWARDED_METHOD: &str = "x-forwarded-method";
const FORWARDED_URI: &str = "x-forwarded-uri";

/// Both, as nginx is commonly set up to tell them.
const ORIGINAL_METHOD: &str = "x-original-method";
const ORIGINAL_URI: &str = "x-original-uri";

/// In which headers proxies tell of the request; the others are a client's, and do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginalHeaders {
    /// Either pair, or both, or none: what is there has to agree.
    #[default]
    Either,
    /// `X-Original-Method` and `X-Original-URI`.
    XOriginal,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`.
    XForwarded,
    /// None: proxies ask with the client's method, and the path is not told.
    None,
}

impl OriginalHeaders {
    const fn has_forwarded(self) -> bool {
        matches!(self, Self::Either | Self::XForwarded)
    }

    const fn has_original(self) -> bool {
        matches!(self, Self::Either | Self::XOriginal)
    }

    /// The header that every question has to have.
    const fn required(self) -> Option<&'static str> {
        match self {
            Self::XOriginal => Some(ORIGINAL_METHOD),
            Self::XForwarded => Some(FORWARDED_METHOD),
            Self::Either | Self::None => None,
        }
    }
}

/// What a client wants of a proxy.
///
/// The headers count whoever sends them. Who calls directly and makes them up learns about their own
/// credential alone; to overlook them because the proxy is not known would be to take its `GET` for
/// the client's `POST`. A client can add the header that its proxy does not set, and not remove the one
/// that it does: so those that are there have to agree. Behind a proxy that sets neither, a client would
/// choose what is judged, unless [`OriginalHeaders`] says that neither counts.
#[derive(Debug)]
pub(crate) struct OriginalRequest<'a> {
    method: Cow<'a, Method>,
    /// The path without the query; none if nobody told it, or it is no text.
    path: Option<&'a str>,
}

impl<'a> OriginalRequest<'a> {
    /// Reads the headers that count; without any it is the request itself that is asked about.
    pub fn read(
        headers: &'a HeaderMap,
        own: &'a Method,
        counting: OriginalHeaders,
    ) -> Result<Self, Problem> {
        // In one pass: this is asked of every question, and each look-up has to hash a name.
        let (mut methods, mut uris) = ([None; 2], [None; 2]);
        for (name, value) in headers {
            let (told, place) = match name.as_str() {
                FORWARDED_METHOD if counting.has_forwarded() => (&mut methods, 0),
                ORIGINAL_METHOD if counting.has_original() => (&mut methods, 1),
                FORWARDED_URI if counting.has_forwarded() => (&mut uris, 0),
                ORIGINAL_URI if counting.has_original() => (&mut uris, 1),
                _ => continue,
            };
            if told[place].replace(value).is_some() {
                let message = "is there more than once";
                return Err(Problem::ambiguous(name.to_string(), message));
            }
        }
        let path = match agreed([FORWARDED_URI, ORIGINAL_URI], uris)? {
            Some((name, uri)) => read_path(name, uri)?,
            None => None,
        };
        let method = match agreed([FORWARDED_METHOD, ORIGINAL_METHOD], methods)? {
            Some((name, method)) => Cow::Owned(read_method(name, method, own)?),
            None => match counting.required() {
                Some(name) => return Err(Problem::ambiguous(name, "the proxy does not send it")),
                None => Cow::Borrowed(own),
            },
        };
        Ok(Self { method, path })
    }

    /// As the gate wants it.
    pub fn asked<'b>(&'b self, headers: &'b HeaderMap, address: IpAddr) -> Asked<'b> {
        Asked {
            route: forward_auth::PATH,
            method: &self.method,
            path: self.path,
            headers,
            address,
        }
    }
}

/// What two headers say that mean the same: those that are there have to say one thing.
fn agreed<'a>(
    names: [&'static str; 2],
    values: [Option<&'a HeaderValue>; 2],
) -> Result<Option<(&'static str, &'a HeaderValue)>, Problem> {
    match values {
        [None, None] => Ok(None),
        [Some(value), None] => Ok(Some((names[0], value))),
        [None, Some(value)] => Ok(Some((names[1], value))),
        [Some(one), Some(other)] if one == other => Ok(Some((names[0], one))),
        [Some(_), Some(_)] => {
            let message = format!("says something else than {}", names[0]);
            Err(Problem::ambiguous(names[1], message))
        }
    }
}

/// A method is as it is spelled: `get` is not `GET` (RFC 9110 section 9.1), and not safe.
///
/// A proxy asks with `GET`, or with the client's method; then that is what it would tell, and anything
/// else was made up by the client.
fn read_method(name: &'static str, value: &HeaderValue, own: &Method) -> Result<Method, Problem> {
    let told = Method::from_bytes(value.as_bytes())
        .map_err(|_| Problem::ambiguous(name, "it is no method of HTTP"))?;
    if told != *own && ![Method::GET, Method::HEAD].contains(own) {
        let message = format!("says something else than the method of the question, {own}");
        return Err(Problem::ambiguous(name, message));
    }
    Ok(told)
}

/// What stands before the query. Bytes that are no text make it none.
fn read_path<'a>(name: &'static str, value: &'a HeaderValue) -> Result<Option<&'a str>, Problem> {
    let uri = value.as_bytes();
    if !uri.starts_with(b"/") && uri != b"*" {
        let message = "it must be a path, which begins with a slash";
        return Err(Problem::ambiguous(name, message));
    }
    let end = uri.iter().position(|byte| *byte == b'?');
    Ok(std::str::from_utf8(&uri[..end.unwrap_or(uri.len())]).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use http::HeaderName;

    use super::*;

    /// The permission that is needed by default, or nothing if the request is refused.
    fn needed(own: &Method, headers: &[(&str, &str)]) -> Option<&'static str> {
        needed_with(OriginalHeaders::Either, own, headers)
    }

    fn needed_with(
        counting: OriginalHeaders,
        own: &Method,
        headers: &[(&str, &str)],
    ) -> Option<&'static str> {
        let map = header_map(headers);
        let original = OriginalRequest::read(&map, own, counting).ok()?;
        Some(if original.method.is_safe() {
            "api:read"
        } else {
            "api:write"
        })
    }

    fn read(map: &HeaderMap) -> OriginalRequest<'_> {
        OriginalRequest::read(map, &Method::GET, OriginalHeaders::Either).unwrap()
    }

    fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn the_path_is_told_as_the_client_sent_it_and_without_the_query() {
        for (uri, path) in [
            ("/a?b=c?d", "/a"),
            ("/a%2Fb/../c", "/a%2Fb/../c"),
            ("//a", "//a"),
            ("*", "*"),
            ("/caf\u{e9}", "/caf\u{e9}"),
        ] {
            let map = header_map(&[("X-Forwarded-Uri", uri)]);
            let original = read(&map);
            assert_eq!(original.path, Some(path));
        }
        let mut map = HeaderMap::new();
        let no_text = HeaderValue::from_bytes(b"/caf\xe9").unwrap();
        map.insert(FORWARDED_URI, no_text);
        assert_eq!(read(&map).path, None);
    }

    #[test]
    fn without_a_header_the_requests_own_method_counts() {
        for (method, permission) in [
            (Method::GET, "api:read"),
            (Method::HEAD, "api:read"),
            (Method::OPTIONS, "api:read"),
            (Method::TRACE, "api:read"),
            (Method::POST, "api:write"),
            (Method::PUT, "api:write"),
            (Method::PATCH, "api:write"),
            (Method::DELETE, "api:write"),
            (Method::CONNECT, "api:write"),
        ] {
            assert_eq!(needed(&method, &[]), Some(permission));
        }
    }

    #[test]
    fn what_a_proxy_tells_of_the_method_counts_and_has_to_agree() {
        let (forwarded, original) = ("X-Forwarded-Method", "X-Original-Method");
        for (headers, permission) in [
            (&[(forwarded, "DELETE")][..], Some("api:write")),
            (&[(original, "DELETE")], Some("api:write")),
            (&[(original, "OPTIONS")], Some("api:read")),
            (&[(original, "get")], Some("api:write")),
            (&[(original, "PROPFIND")], Some("api:write")),
            (&[(original, "PUT"), (forwarded, "PUT")], Some("api:write")),
            (&[(original, "PUT"), (forwarded, "GET")], None),
            (&[(original, "GET"), (forwarded, "PUT")], None),
            (&[(original, "GET"), (original, "GET")], None),
            (&[(original, "GET, PUT")], None),
            (&[(original, "")], None),
        ] {
            assert_eq!(needed(&Method::GET, headers), permission, "{headers:?}");
        }
    }

    #[test]
    fn a_question_with_a_method_of_its_own_is_about_that_method() {
        for name in ["X-Forwarded-Method", "X-Original-Method"] {
            for (own, told, permission) in [
                (Method::POST, "POST", Some("api:write")),
                (Method::POST, "GET", None),
                (Method::POST, "OPTIONS", None),
                (Method::POST, "DELETE", None),
                (Method::OPTIONS, "GET", None),
                (Method::HEAD, "POST", Some("api:write")),
            ] {
                assert_eq!(needed(&own, &[(name, told)]), permission, "{own} {told}");
            }
        }
    }

    #[test]
    fn headers_that_the_proxy_does_not_send_do_not_count() {
        use OriginalHeaders::{None as Nothing, XForwarded, XOriginal};
        let (forwarded, original) = ("X-Forwarded-Method", "X-Original-Method");
        for (counting, own, headers, permission) in [
            (
                XOriginal,
                "GET",
                &[(original, "POST")][..],
                Some("api:write"),
            ),
            (
                XOriginal,
                "GET",
                &[(original, "POST"), (forwarded, "GET")],
                Some("api:write"),
            ),
            (XOriginal, "GET", &[(forwarded, "GET")], None),
            (XOriginal, "GET", &[], None),
            (XForwarded, "GET", &[(forwarded, "POST")], Some("api:write")),
            (
                XForwarded,
                "GET",
                &[(original, "GET"), (forwarded, "POST")],
                Some("api:write"),
            ),
            (XForwarded, "GET", &[(original, "GET")], None),
            (
                Nothing,
                "POST",
                &[(original, "GET"), (forwarded, "OPTIONS")],
                Some("api:write"),
            ),
            (
                Nothing,
                "GET",
                &[(original, "POST"), (original, "")],
                Some("api:read"),
            ),
        ] {
            let own = own.parse().unwrap();
            let found = needed_with(counting, &own, headers);
            assert_eq!(found, permission, "{counting:?} {own} {headers:?}");
        }
        let both = header_map(&[
            ("X-Forwarded-Uri", "/f"),
            ("X-Original-URI", "/o"),
            (forwarded, "GET"),
            (original, "GET"),
        ]);
        for (counting, path) in [
            (XOriginal, Some("/o")),
            (XForwarded, Some("/f")),
            (Nothing, None),
        ] {
            let read = OriginalRequest::read(&both, &Method::GET, counting).unwrap();
            assert_eq!(read.path, path, "{counting:?}");
        }
    }

    #[test]
    fn what_a_proxy_tells_of_the_path_has_to_be_one_and_to_agree() {
        let (forwarded, original) = ("X-Forwarded-Uri", "X-Original-URI");
        for (headers, is_taken) in [
            (&[(forwarded, "/a?b=c")][..], true),
            (&[(original, "/caf\u{e9}")], true),
            (&[(original, "*")], true),
            (&[(original, "/a"), (forwarded, "/a")], true),
            (&[(original, "/a"), (forwarded, "/b")], false),
            (&[(original, "/a"), (original, "/a")], false),
            (&[(original, "")], false),
            (&[(original, "http://example.com/a")], false),
        ] {
            let permission = needed(&Method::GET, headers);
            assert_eq!(permission.is_some(), is_taken, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_adds_what_the_proxy_tells_is_not_weakened(
            added in "(GET|HEAD|get|POST| |,|[!-~]){0,3}",
            name in "X-(Forwarded|Original)-Method",
        ) {
            let told = [("X-Original-Method", "POST"), (name.as_str(), added.trim())];
            prop_assert_ne!(needed(&Method::GET, &told), Some("api:read"));
        }
    }
}
