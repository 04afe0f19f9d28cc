//! `PATCH /api/auth/keys/{id}`: something of a key is changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::request::KeyPatch;
use sealgate_core::view::KeyView;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, KeyReference, StrictJson};
use crate::openapi::{Absent, Conflicting, Guarded, JsonBody, Scoped};

/// Change a key
///
/// Changes the fields that the body names and leaves the others as they are; null takes a limit or
/// the expiry away. Whether a key administers Sealgate, and its environment, do not change.
#[utoipa::path(
    patch,
    path = "/api/auth/keys/{id}",
    tag = "Keys",
    params(("id" = String, Path, description = "The key's `key_id`, or its prefix")),
    request_body(content = KeyPatch, example = json!({
        "permissions": "api:read",
        "rate_limit": 1000,
        "expires_at": null
    })),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The key as it is now", body = KeyView),
        Guarded,
        Scoped,
        JsonBody,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn update_key(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    KeyReference(id): KeyReference,
    StrictJson(patch): StrictJson<KeyPatch>,
) -> Result<Json<KeyView>, Problem> {
    let record = server.authority.update(&id, patch, &who.caller()).await?;
    Ok(Json(server.authority.view(&record)))
}
