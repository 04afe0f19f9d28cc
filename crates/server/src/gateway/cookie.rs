//! One cookie in place of another: what a rule adds to `Cookie` leaves the client's other cookies as
//! they are.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Version};

/// Puts a cookie into the request in place of the client's of that name. `cookie` is `name=value`.
pub(super) fn replace(headers: &mut HeaderMap, cookie: &HeaderValue) {
    let name = name_of(cookie.as_bytes()).to_owned();
    let mut line = Vec::new();
    for sent in headers.get_all(COOKIE) {
        for pair in sent.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            if !pair.is_empty() && name_of(pair) != name {
                push(&mut line, pair);
            }
        }
    }
    push(&mut line, cookie.as_bytes());
    if let Ok(mut line) = HeaderValue::from_maybe_shared(line) {
        line.set_sensitive(cookie.is_sensitive());
        headers.insert(COOKIE, line);
    }
}

/// Makes one line of the several that HTTP/2 allows (RFC 9113 section 8.2.3).
pub(super) fn join(headers: &mut HeaderMap, version: Version) {
    if version != Version::HTTP_2 || headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut line = Vec::new();
    for sent in headers.get_all(COOKIE) {
        push(&mut line, sent.as_bytes());
    }
    if let Ok(line) = HeaderValue::from_maybe_shared(line) {
        headers.insert(COOKIE, line);
    }
}

fn push(line: &mut Vec<u8>, pair: &[u8]) {
    if !line.is_empty() {
        line.extend_from_slice(b"; ");
    }
    line.extend_from_slice(pair);
}

/// What stands before the equals sign, without the spaces that some servers overlook there.
fn name_of(pair: &[u8]) -> &[u8] {
    let name = pair.split(|byte| *byte == b'=').next();
    name.unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(sent: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in sent {
            headers.append(COOKIE, line.parse().unwrap());
        }
        replace(&mut headers, &HeaderValue::from_static("portal=ours"));
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
        headers[COOKIE].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_clients_cookie_of_that_name_goes_and_the_others_stay() {
        for (sent, line) in [
            (&[][..], "portal=ours"),
            (&["theme=dark"], "theme=dark; portal=ours"),
            (&["portal=forged"], "portal=ours"),
            (&["a=1; portal=forged;b=2"], "a=1; b=2; portal=ours"),
            (&["portal=x", "portal =y; c=3"], "c=3; portal=ours"),
            (&["portal"], "portal=ours"),
            (
                &["PORTAL=other; portals=z"],
                "PORTAL=other; portals=z; portal=ours",
            ),
            (&[";;"], "portal=ours"),
        ] {
            assert_eq!(replaced(sent), line, "{sent:?}");
        }
    }

    #[test]
    fn the_crumbs_of_http_2_become_one_line() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join(&mut headers, Version::HTTP_2);
        assert_eq!(
            headers.get_all(COOKIE).iter().collect::<Vec<_>>(),
            ["a=1; b=2"]
        );
    }
}
