//! `POST /api/users`: a user is made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::header::LOCATION;
use http::{HeaderName, StatusCode};
use sealgate_core::user::UserRequest;
use sealgate_core::view::UserView;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, StrictJson};
use crate::openapi::{Conflicting, Guarded, JsonBody, Scoped};

/// Create a user
///
/// Of the password a slow hash is kept (Argon2id), and nothing else.
#[utoipa::path(
    post,
    path = "/api/users",
    tag = "Users",
    request_body(content = UserRequest, example = json!({
        "username": "ada",
        "password": "correct horse battery staple",
        "display_name": "Ada Lovelace",
        "email": "ada@example.com",
        "roles": ["student"],
        "attributes": {"matric_no": "2110001"}
    })),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (
            status = 201,
            description = "The user",
            body = UserView,
            headers(("Location" = String, description = "Where the user is found from now on")),
        ),
        Guarded,
        Scoped,
        JsonBody,
        Conflicting,
    ),
)]
pub(crate) async fn create_user(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    StrictJson(request): StrictJson<UserRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<UserView>), Problem> {
    let caller = who.caller_answered(StatusCode::CREATED);
    let user: UserView = server.authority.create_user(request, &caller).await?.into();
    let location = format!("/api/users/{}", user.username);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(user)))
}
