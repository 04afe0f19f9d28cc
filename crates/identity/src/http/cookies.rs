//! The cookies that an answer sets (RFC 6265 section 5.2).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, SET_COOKIE};
use serde_json::{Map, Value};

/// The cookies' names and values, values verbatim. One that is deleted is not among them.
pub(super) fn set_by(headers: &HeaderMap) -> Map<String, Value> {
    let now = moment_of(headers);
    let mut cookies = Map::new();
    for header in headers.get_all(SET_COOKIE) {
        let Ok(text) = std::str::from_utf8(header.as_bytes()) else {
            continue;
        };
        let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            continue;
        }
        if is_deletion(attributes, now) {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), Value::from(value));
        }
    }
    cookies
}

/// When the answer was made, as its server's clock has it: `Expires` is of the same clock.
///
/// Without a date it is the day after the epoch's first. A deletion is dated to the first day.
fn moment_of(headers: &HeaderMap) -> SystemTime {
    headers
        .get(DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(parse_date)
        .unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_hours(24))
}

/// Whether a cookie has expired as it comes: of the two attributes that say so, `Max-Age` counts.
fn is_deletion(attributes: &str, now: SystemTime) -> bool {
    let mut deletion = false;
    for attribute in attributes.split(';') {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("max-age") {
            if let Ok(seconds) = value.parse::<i64>() {
                return seconds <= 0;
            }
        } else if name.eq_ignore_ascii_case("expires") {
            deletion = parse_date(value).is_some_and(|expires| expires <= now);
        }
    }
    deletion
}

/// A date of HTTP, or of the older cookies: `Thu, 01-Jan-1970 00:00:01 GMT`.
fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text)
        .or_else(|_| httpdate::parse_http_date(&text.replace('-', " ")))
        .ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn set(date: Option<&'static str>, cookies: &[&'static str]) -> Value {
        let mut headers = HeaderMap::new();
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        for cookie in cookies {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        Value::Object(set_by(&headers))
    }

    #[test]
    fn values_are_verbatim() {
        assert_eq!(
            set(
                None,
                &["a=b=c; Path=/", " d = \"e f\" ;Secure", "g=%20", "h="]
            ),
            json!({"a": "b=c", "d": "\"e f\"", "g": "%20", "h": ""})
        );
    }

    #[test]
    fn what_is_no_cookie_is_passed_over() {
        assert_eq!(set(None, &["", ";", "a", "=b", "; a=b"]), json!({}));
    }

    #[test]
    fn the_last_of_a_name_counts() {
        assert_eq!(set(None, &["a=1", "a=2"]), json!({"a": "2"}));
        assert_eq!(set(None, &["a=1", "a=; max-age=0"]), json!({}));
        assert_eq!(set(None, &["a=; max-age=0", "a=1"]), json!({"a": "1"}));
    }

    #[test]
    fn a_deletion_sets_nothing() {
        let date = Some("Sun, 22 Nov 2026 00:00:00 GMT");
        for cookie in [
            "a=x; Max-Age=0",
            "a=x; MAX-AGE=-1",
            "a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=x; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/",
            "a=x; Expires=Sun, 22 Nov 2026 00:00:00 GMT",
        ] {
            assert_eq!(set(date, &[cookie]), json!({}), "{cookie}");
        }
        let epoch = "a=x; Expires=Thu, 01 Jan 1970 00:00:01 GMT";
        assert_eq!(set(None, &[epoch]), json!({}));
    }

    #[test]
    fn a_cookie_with_time_left_is_set() {
        let date = Some("Sun, 22 Nov 2026 00:00:00 GMT");
        for cookie in [
            "a=x; Max-Age=60",
            "a=x; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
            "a=x; Expires=Sun, 22 Nov 2026 00:00:01 GMT",
            "a=x; Expires=Sun, 22-Nov-2026 00:00:01 GMT",
            "a=x; Expires=at some time",
        ] {
            assert_eq!(set(date, &[cookie]), json!({"a": "x"}), "{cookie}");
        }
    }
}
