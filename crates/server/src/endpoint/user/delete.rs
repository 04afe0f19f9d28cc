//! `DELETE /api/users/{username}`: a user is removed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Done;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, UserName};
use crate::openapi::{Absent, Conflicting, Guarded, Parameters, Scoped};

/// Delete a user
///
/// All sessions of the user end, within a second on every server.
#[utoipa::path(
    delete,
    path = "/api/users/{username}",
    tag = "Users",
    params(("username" = String, Path, description = "The user's name, in letters of either case")),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The user is gone", body = Done),
        Guarded,
        Scoped,
        Parameters,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn delete_user(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    UserName(name): UserName,
) -> Result<Json<Done>, Problem> {
    let deleted = server.authority.delete_user(&name, &who.caller()).await?;
    Ok(Json(Done {
        message: "User deleted",
        username: deleted.username.to_string(),
    }))
}
