//! The crumbs that HTTP/2 makes of `Cookie`.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Version};

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

#[cfg(test)]
mod tests {
    use super::*;

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
