//! `PATCH /api/users/{username}`: something of a user is changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::user::UserPatch;
use sealgate_core::view::UserView;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, StrictJson, UserName};
use crate::openapi::{Absent, Conflicting, Guarded, JsonBody, Scoped};

/// Change a user
///
/// Changes the fields that the body names and leaves the others as they are; null takes a name or an
/// address of mail away. What changes shows in sessions that begin later; switching a user off ends
/// all of them at once.
#[utoipa::path(
    patch,
    path = "/api/users/{username}",
    tag = "Users",
    params(("username" = String, Path, description = "The user's name, in letters of either case")),
    request_body(content = UserPatch, example = json!({
        "email": null,
        "roles": ["student", "tutor"],
        "is_active": true
    })),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The user as it is now", body = UserView),
        Guarded,
        Scoped,
        JsonBody,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn update_user(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    UserName(name): UserName,
    StrictJson(patch): StrictJson<UserPatch>,
) -> Result<Json<UserView>, Problem> {
    let changed = server
        .authority
        .update_user(&name, patch, &who.caller())
        .await?;
    Ok(Json(changed.into()))
}
