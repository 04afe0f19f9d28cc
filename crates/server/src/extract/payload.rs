//! Bodies as bytes: all of one, once it says what it is.

use std::error::Error;
use std::mem;
use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError};
use zeroize::Zeroize as _;

use crate::error::{MediaType, Problem};
use crate::layer::BodyLimit;
use crate::layer::arrival::Arrival;

/// A body that is there, and says that it is of the media type that is wanted. It may hold a password, a
/// plaintext or a token.
pub(super) struct Payload(Bytes);

impl Drop for Payload {
    /// Overwrites the bytes, if nobody else holds them: those that arrived together with other
    /// requests are the connection's.
    fn drop(&mut self) {
        if let Ok(mut bytes) = mem::take(&mut self.0).try_into_mut() {
            bytes.as_mut().zeroize();
        }
    }
}

impl Payload {
    /// The body of a request; nothing if it is empty, whatever it says it is.
    pub async fn read(request: Request, wanted: MediaType) -> Result<Option<Self>, Problem> {
        let (parts, body) = request.into_parts();
        let arrival = parts.extensions.get::<Arc<Arrival>>();
        let note = |is_sending| arrival.inspect(|it| it.set_sending(is_sending));
        note(true);
        let collected = body.collect().await;
        note(false);
        let bytes = collected
            .map_err(|error| unreadable(&error, parts.extensions.get()))?
            .to_bytes();
        if bytes.is_empty() {
            return Ok(None);
        }
        let payload = Self(bytes);
        if is_of(wanted, &parts.headers) {
            Ok(Some(payload))
        } else {
            Err(Problem::UnsupportedMediaType(wanted))
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn unreadable(error: &axum::Error, limit: Option<&BodyLimit>) -> Problem {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let (Some(BodyLimit(bytes)), true) = (limit, error.is::<LengthLimitError>()) {
            return Problem::PayloadTooLarge(*bytes);
        }
        cause = error.source();
    }
    Problem::invalid("body", "it ended before it was complete")
}

/// The media type, in UTF-8 where a charset is named at all (of JSON: RFC 8259 section 8.1).
fn is_of(wanted: MediaType, headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut parts = value.unwrap_or_default().split(';').map(str::trim);
    let is_wanted = |media_type: &str| media_type.eq_ignore_ascii_case(wanted.as_str());
    parts.next().is_some_and(is_wanted)
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(value: &str, wanted: MediaType) -> bool {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        is_of(wanted, &headers)
    }

    #[test]
    fn a_form_is_told_by_its_media_type_and_charset() {
        let is = |value: &str| says(value, MediaType::Form);
        assert!(is("application/x-www-form-urlencoded"));
        assert!(is("Application/X-WWW-Form-Urlencoded; charset=UTF-8"));
        assert!(!is("application/x-www-form-urlencoded; charset=latin1"));
        assert!(!is("multipart/form-data; boundary=x"));
        assert!(!is("application/json"));
    }

    #[test]
    fn json_is_told_by_its_media_type_and_charset() {
        let is = |value: &str| says(value, MediaType::Json);
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=utf-8"));
        assert!(is("application/json;charset=\"UTF-8\""));
        assert!(!is("application/json; charset=utf-16"));
        assert!(!is("text/plain"));
        assert!(!is("application/json+x"));
        assert!(!is(""));
        assert!(!is_of(MediaType::Json, &HeaderMap::new()));
    }
}
