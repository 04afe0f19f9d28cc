//! `GET /api/auth/keys/{id}`: one key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::view::KeyView;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, KeyReference};
use crate::openapi::{Absent, Guarded, Parameters, Scoped};

/// Show a key
#[utoipa::path(
    get,
    path = "/api/auth/keys/{id}",
    tag = "Keys",
    params(("id" = String, Path, description = "The key's `key_id`, or its prefix")),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The key", body = KeyView),
        Guarded,
        Scoped,
        Parameters,
        Absent,
    ),
)]
pub(crate) async fn show_key(
    State(server): State<Arc<Server>>,
    _: Authorized<Admin>,
    KeyReference(id): KeyReference,
) -> Result<Json<KeyView>, Problem> {
    let record = server.authority.key(&id).await?;
    Ok(Json(server.authority.view(&record)))
}
