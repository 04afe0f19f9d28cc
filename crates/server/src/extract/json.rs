//! JSON bodies, read strictly: all of it, once, and nothing unknown.

use std::error::Error;
use std::mem;
use std::sync::Arc;

use axum::extract::{FromRequest, OptionalFromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError};
use serde::de::DeserializeOwned;
use zeroize::Zeroize as _;

use super::fault;
use crate::error::Problem;
use crate::layer::BodyLimit;
use crate::layer::arrival::Arrival;

/// A JSON body; as `Option<StrictJson<T>>` one that may be left out
/// or null. It is `T`'s part to refuse
/// unknown fields; one that is there twice is always refused.
pub(crate) struct StrictJson<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match Payload::read(request).await? {
            Some(payload) => payload.parse().map(Self),
            None => Err(no_object()),
        }
    }
}

impl<T: DeserializeOwned, S: Sync> OptionalFromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, Problem> {
        match Payload::read(request).await? {
            Some(payload) if !payload.is_null() => payload.parse().map(|it| Some(Self(it))),
            _ => Ok(None),
        }
    }
}

/// A body that is there, and says that it is JSON. It may hold a password or a plaintext.
struct Payload(Bytes);

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
    async fn read(request: Request) -> Result<Option<Self>, Problem> {
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
        if is_json(&parts.headers) {
            Ok(Some(Self(bytes)))
        } else {
            Err(Problem::UnsupportedMediaType)
        }
    }

    fn is_null(&self) -> bool {
        self.0.trim_ascii() == b"null"
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // Serde takes an array for an object whose fields come in their order.
        if !self.0.trim_ascii_start().starts_with(b"{") {
            return Err(no_object());
        }
        let mut reader = serde_json::Deserializer::from_slice(&self.0);
        let value = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| fault::describe("body", error.path(), &error.inner().to_string()))?;
        reader
            .end()
            .map_err(|error| Problem::invalid("body", error))?;
        Ok(value)
    }
}

fn no_object() -> Problem {
    Problem::invalid("body", "a JSON object is expected")
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

/// `application/json`, in UTF-8 where a charset is named at all (RFC 8259 section 8.1).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut parts = value.unwrap_or_default().split(';').map(str::trim);
    let is_json = |media_type: &str| media_type.eq_ignore_ascii_case("application/json");
    parts.next().is_some_and(is_json)
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_media_type_and_charset() {
        let is = |value: &str| {
            is_json(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                value.parse().unwrap(),
            )]))
        };
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=utf-8"));
        assert!(is("application/json;charset=\"UTF-8\""));
        assert!(!is("application/json; charset=utf-16"));
        assert!(!is("text/plain"));
        assert!(!is("application/json+x"));
        assert!(!is(""));
        assert!(!is_json(&HeaderMap::new()));
    }
}
