//! `POST /api/users/{username}/logout`: all sessions of a user end.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Done;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, UserName};
use crate::openapi::{Absent, Conflicting, Guarded, Parameters, Scoped};

/// Log a user out everywhere
///
/// All sessions of the user end, within a second on every server; the user can log in again. Where
/// users come from a directory outside, any name is taken.
#[utoipa::path(
    post,
    path = "/api/users/{username}/logout",
    tag = "Users",
    params(("username" = String, Path, description = "The user's name, in letters of either case")),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "They have ended", body = Done),
        Guarded,
        Scoped,
        Parameters,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn log_out_user(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    UserName(name): UserName,
) -> Result<Json<Done>, Problem> {
    server.authority.log_out_user(&name, &who.caller()).await?;
    Ok(Json(Done {
        message: "All sessions of the user have ended",
        username: name,
    }))
}
