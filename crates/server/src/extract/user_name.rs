//! The `{username}` of a path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use sealgate_core::identity::MAX_LOGIN_FIELD;

use crate::error::Problem;

/// The name of a user, of whatever directory. The use cases tell whether there is one.
pub(crate) struct UserName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for UserName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|_| Problem::invalid("username", "it is not UTF-8"))?;
        if name.len() > MAX_LOGIN_FIELD {
            return Err(Problem::invalid("username", "it must have 1 to 256 bytes"));
        }
        if name.chars().any(char::is_control) {
            let message = "it must have no control characters";
            return Err(Problem::invalid("username", message));
        }
        Ok(Self(name))
    }
}
