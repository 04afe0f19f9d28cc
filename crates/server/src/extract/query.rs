//! Query strings, read strictly: each parameter once, and none unknown.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::fault;
use crate::error::Problem;

/// The parameters of a query. It is `T`'s part to refuse unknown ones.
pub(crate) struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let reader = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(reader)
        .map_err(|error| fault::describe("query", error.path(), &error.inner().to_string()))
}
