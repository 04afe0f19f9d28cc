//! `POST /api/auth/keys`: a key is made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::header::LOCATION;
use http::{HeaderName, StatusCode};
use sealgate_core::request::KeyRequest;
use sealgate_core::view::KeyView;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, StrictJson};
use crate::openapi::{Guarded, JsonBody, Scoped};

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    /// The key, without anything secret.
    key: KeyView,
    /// The key itself. It is shown this once and cannot be read back.
    #[schema(example = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3")]
    api_key: String,
    /// A first access token of the key's.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")]
    token: String,
    /// What to do now.
    message: &'static str,
}

/// Create a key
///
/// The key's text is in this answer and nowhere else. Keys that exist already are imported at the
/// command line.
#[utoipa::path(
    post,
    path = "/api/auth/keys",
    tag = "Keys",
    request_body(content = KeyRequest, example = json!({
        "name": "Production API Key",
        "permissions": "api:read api:write",
        "expires_in_days": 90
    })),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (
            status = 201,
            description = "The key, shown this once",
            body = CreatedKey,
            headers(("Location" = String, description = "Where the key is found from now on")),
        ),
        Guarded,
        Scoped,
        JsonBody,
    ),
)]
pub(crate) async fn create_key(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    StrictJson(request): StrictJson<KeyRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<CreatedKey>), Problem> {
    refuse_import(&request)?;
    let created = server
        .authority
        .create(request, &who.caller_answered(StatusCode::CREATED))
        .await?;
    let location = format!("/api/auth/keys/{}", created.record.id);
    let answer = CreatedKey {
        key: server.authority.view(&created.record),
        api_key: created.api_key.expose().to_owned(),
        token: created.grant.token.expose().to_owned(),
        message: "Keep the API key in a safe place now: it is not shown again",
    };
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(answer)))
}

/// A key that exists already has no business on the network: whoever could send it here would be
/// trusted with a secret that only its holder needs.
fn refuse_import(request: &KeyRequest) -> Result<(), Problem> {
    match request.api_key {
        Some(_) => Err(Problem::invalid(
            "api_key",
            "unknown field: keys are imported at the command line, by `sealgate create --from`",
        )),
        None => Ok(()),
    }
}
