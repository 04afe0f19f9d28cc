//! Requests whose form makes them unfit to be passed on: the one behind the gateway could understand
//! another request than the gate judged.

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use crate::error::Problem;

/// The methods that a client is told of where another one is not taken.
pub(super) const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Checks the form of a request, and makes one of the two ways to name a host.
pub(super) fn check(request: &mut Parts) -> Result<(), Problem> {
    // A tunnel to wherever the client likes; and an echo of what only the service is to be told.
    if request.method == Method::CONNECT || request.method == Method::TRACE {
        return Err(Problem::MethodNotAllowed);
    }
    let path = request.uri.path();
    if !path.starts_with('/') && (path != "*" || request.method != Method::OPTIONS) {
        return Err(Problem::ambiguous("path", "it must begin with a slash"));
    }
    check_length(&request.headers)?;
    unify_host(request)
}

/// hyper makes one of equal lengths over HTTP/1 and leaves them over HTTP/2; a service may refuse them,
/// or take either (RFC 9110 section 8.6).
fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_none() {
        return Ok(());
    }
    let message = "it is there more than once";
    Err(Problem::ambiguous("Content-Length", message))
}

/// An absolute URI, and each request of HTTP/2, names a host apart from the header `Host`: two that
/// differ are two requests (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
fn unify_host(request: &mut Parts) -> Result<(), Problem> {
    if let Some(authority) = request.uri.authority() {
        let authority = authority.as_str();
        let mut hosts = request.headers.get_all(HOST).iter();
        let differs =
            |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
        if hosts.any(differs) {
            let message = "it names another host than the request's URI";
            return Err(Problem::ambiguous("Host", message));
        }
        if let Ok(host) = HeaderValue::from_str(authority) {
            request.headers.insert(HOST, host);
        }
    }
    let host = request.headers.get(HOST);
    if host.is_some_and(|host| !host.as_bytes().iter().copied().all(fits_host)) {
        return Err(Problem::ambiguous("Host", "it is not the name of a host"));
    }
    Ok(())
}

/// Whether a byte may stand in a host with a port (RFC 3986 sections 3.2.2 and 3.2.3).
const fn fits_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'[' | b']' | b'%')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn checked(method: &str, uri: &str, host: Option<&str>) -> Option<String> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        check(&mut parts).ok()?;
        let host = parts.headers.get(HOST);
        Some(host.map_or_else(String::new, |it| it.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_host_is_named_once_or_twice_alike() {
        for (uri, host, told) in [
            ("/a", Some("app"), "app"),
            ("/a", Some("app:80"), "app:80"),
            ("/a", Some("[::1]:80"), "[::1]:80"),
            ("/a", None, ""),
            ("http://app/a", None, "app"),
            ("http://app/a", Some("APP"), "app"),
            ("http://app", Some("app"), "app"),
        ] {
            assert_eq!(
                checked("GET", uri, host).as_deref(),
                Some(told),
                "{uri} {host:?}"
            );
        }
        for (uri, host) in [
            ("http://other/a", Some("app")),
            ("http://app:80/a", Some("app")),
            ("http://user@app/a", Some("app")),
            ("http://user@app/a", None),
            ("/a", Some("app/admin")),
            ("/a", Some("app\"")),
            ("/a", Some("app, other")),
        ] {
            assert_eq!(checked("GET", uri, host), None, "{uri} {host:?}");
        }
    }

    #[test]
    fn a_length_is_told_once() {
        let is_passed = |lengths: &[&str]| {
            let mut request = Request::post("/a");
            for length in lengths {
                request = request.header(CONTENT_LENGTH, *length);
            }
            check(&mut request.body(()).unwrap().into_parts().0).is_ok()
        };
        assert!(is_passed(&[]));
        assert!(is_passed(&["4"]));
        assert!(!is_passed(&["4", "4"]));
        assert!(!is_passed(&["4", "40"]));
    }

    #[test]
    fn what_is_no_path_is_not_passed_on() {
        for (method, uri) in [
            ("GET", "*"),
            ("GET", "app:80"),
            ("CONNECT", "app:80"),
            ("TRACE", "/"),
        ] {
            assert_eq!(checked(method, uri, Some("app:80")), None, "{method} {uri}");
        }
        assert!(checked("OPTIONS", "*", Some("app")).is_some());
        assert!(checked("PROPFIND", "/a", Some("app")).is_some());
    }
}
