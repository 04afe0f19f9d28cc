//! What is published for programs that ask for it again and again: sent once, and then only when it has
//! changed (RFC 9110 section 13.1.2).

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use sealgate_core::authority::Settings;
use sha2::{Digest, Sha256};

/// An answer that may not have to be sent.
pub(super) struct Conditional {
    /// What the body is.
    pub media_type: &'static str,
    /// For how long whom it may be kept by.
    pub cache: String,
    /// What tells this content from every other: characters of base64url.
    pub tag: String,
    /// The content.
    pub body: Bytes,
}

impl Conditional {
    /// A set of keys. It is told from others by its hash, which is the same in every process.
    pub fn of_keys(media_type: &'static str, body: String, settings: &Settings) -> Self {
        Self {
            media_type,
            cache: format!("public, max-age={}", max_age(settings)),
            tag: URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..16]),
            body: body.into(),
        }
    }

    /// The content, or 304 for who has it.
    pub fn answer(self, request: &HeaderMap) -> Response {
        let has_it = has(request, &self.tag);
        let mut response = Response::new(if has_it {
            Body::empty()
        } else {
            Body::from(self.body)
        });
        if has_it {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        if !has_it {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        }
        let texts = [
            (CACHE_CONTROL, self.cache),
            (ETAG, format!("\"{}\"", self.tag)),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// For how many seconds a set of keys may be kept.
///
/// A verifier that refreshes each hour, behind a cache that keeps the set for as long as it may, has a set
/// that is an hour and this old at worst. That must not be longer than a new key is published before it
/// signs: half of that time leaves the other half to the verifier, and with the two hours of the default
/// both are an hour.
fn max_age(settings: &Settings) -> i64 {
    const LONGEST: i64 = 3_600;
    (settings.publish_lead_seconds / 2).min(LONGEST)
}

/// Whether the client has this content already: by the weak comparison, of any of the tags that it
/// names.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let lines = request.get_all(IF_NONE_MATCH).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    texts.flat_map(|line| line.split(',')).any(|named| {
        let named = named.trim();
        let opaque = named.strip_prefix("W/").unwrap_or(named);
        named == "*" || opaque.strip_prefix('"').and_then(|it| it.strip_suffix('"')) == Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lines: &[&str]) -> u16 {
        let settings = Settings::default();
        let content = Conditional {
            tag: "abc".to_owned(),
            ..Conditional::of_keys("text/plain", "content".to_owned(), &settings)
        };
        let mut request = HeaderMap::new();
        for line in lines {
            request.append(IF_NONE_MATCH, line.parse().unwrap());
        }
        let answer = content.answer(&request);
        assert_eq!(answer.headers()[ETAG], "\"abc\"");
        assert_eq!(answer.headers()[CACHE_CONTROL], "public, max-age=3600");
        answer.status().as_u16()
    }

    #[test]
    fn who_has_it_gets_304() {
        for lines in [
            &["\"abc\""][..],
            &["W/\"abc\""],
            &["*"],
            &["\"x\", W/\"y\" ,\"abc\""],
            &["\"x\"", "\"abc\""],
        ] {
            assert_eq!(status(lines), 304, "{lines:?}");
        }
        for lines in [
            &[][..],
            &["\"abcd\""],
            &["abc"],
            &["\"ABC\""],
            &["\""],
            &["", ","],
        ] {
            assert_eq!(status(lines), 200, "{lines:?}");
        }
    }

    #[test]
    fn a_set_may_be_kept_for_half_of_the_time_that_a_key_is_published_first() {
        for (lead, age) in [(0, 0), (60, 30), (7_200, 3_600), (86_400, 3_600)] {
            let settings = Settings {
                publish_lead_seconds: lead,
                ..Settings::default()
            };
            assert_eq!(max_age(&settings), age);
        }
    }
}
