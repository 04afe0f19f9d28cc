//! JSON bodies, read strictly: all of it, once, and nothing unknown.

use axum::extract::{FromRequest, OptionalFromRequest, Request};
use serde::de::DeserializeOwned;

use super::fault;
use super::payload::Payload;
use crate::error::{MediaType, Problem};

/// A JSON body; as `Option<StrictJson<T>>` one that may be left out
/// or null. It is `T`'s part to refuse
/// unknown fields; one that is there twice is always refused.
pub(crate) struct StrictJson<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match Payload::read(request, MediaType::Json).await? {
            Some(payload) => parse(&payload).map(Self),
            None => Err(no_object()),
        }
    }
}

impl<T: DeserializeOwned, S: Sync> OptionalFromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, Problem> {
        match Payload::read(request, MediaType::Json).await? {
            Some(payload) if !is_null(&payload) => parse(&payload).map(|it| Some(Self(it))),
            _ => Ok(None),
        }
    }
}

fn is_null(payload: &Payload) -> bool {
    payload.bytes().trim_ascii() == b"null"
}

fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, Problem> {
    // Serde takes an array for an object whose fields come in their order.
    if !payload.bytes().trim_ascii_start().starts_with(b"{") {
        return Err(no_object());
    }
    let mut reader = serde_json::Deserializer::from_slice(payload.bytes());
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| fault::describe("body", error.path(), &error.inner().to_string()))?;
    reader
        .end()
        .map_err(|error| Problem::invalid("body", error))?;
    Ok(value)
}

fn no_object() -> Problem {
    Problem::invalid("body", "a JSON object is expected")
}
