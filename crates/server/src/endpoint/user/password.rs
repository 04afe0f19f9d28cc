//! `POST /api/users/{username}/password`: a user gets another password.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::secret::SecretText;
use sealgate_core::user::secret_text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Done;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, StrictJson, UserName};
use crate::openapi::{Absent, Conflicting, Guarded, JsonBody, Scoped};

/// A password to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The password, of the least length that the settings say and at most 256 bytes.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password, example = "correct horse battery staple")]
    password: SecretText,
}

/// Set a user's password
///
/// All sessions of the user end, within a second on every server.
#[utoipa::path(
    post,
    path = "/api/users/{username}/password",
    tag = "Users",
    params(("username" = String, Path, description = "The user's name, in letters of either case")),
    request_body = NewPassword,
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "It is set", body = Done),
        Guarded,
        Scoped,
        JsonBody,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn set_password(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    UserName(name): UserName,
    StrictJson(NewPassword { password }): StrictJson<NewPassword>,
) -> Result<Json<Done>, Problem> {
    let changed = server
        .authority
        .set_password(&name, password, &who.caller())
        .await?;
    Ok(Json(Done {
        message: "Password changed",
        username: changed.username.to_string(),
    }))
}
