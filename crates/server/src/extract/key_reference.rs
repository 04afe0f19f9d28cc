//! The `{id}` of a path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::error::Problem;

/// What a path names a key by: its identifier or its prefix. The use cases tell which.
pub(crate) struct KeyReference(pub String);

impl<S: Send + Sync> FromRequestParts<S> for KeyReference {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(reference)| Self(reference))
            .map_err(|_| Problem::invalid("id", "it is not UTF-8"))
    }
}
