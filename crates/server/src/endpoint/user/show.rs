//! `GET /api/users/{username}`: one user.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::view::UserView;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, UserName};
use crate::openapi::{Absent, Guarded, Parameters, Scoped};

/// Show a user
#[utoipa::path(
    get,
    path = "/api/users/{username}",
    tag = "Users",
    params(("username" = String, Path, description = "The user's name, in letters of either case")),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The user", body = UserView),
        Guarded,
        Scoped,
        Parameters,
        Absent,
    ),
)]
pub(crate) async fn show_user(
    State(server): State<Arc<Server>>,
    _: Authorized<Admin>,
    UserName(name): UserName,
) -> Result<Json<UserView>, Problem> {
    Ok(Json(server.authority.user(&name).await?.into()))
}
