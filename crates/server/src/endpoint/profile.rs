//! `GET /api/auth/profile`: the calling key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::view::KeyView;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{AnyCredential, Authorized};
use crate::openapi::Guarded;

/// Show the calling key
///
/// Any valid key or token will do; no permission is needed to look at oneself.
#[utoipa::path(
    get,
    path = "/api/auth/profile",
    tag = "Tokens",
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses((status = 200, description = "The key", body = KeyView), Guarded),
)]
pub(crate) async fn profile(
    State(server): State<Arc<Server>>,
    who: Authorized<AnyCredential>,
) -> Result<Json<KeyView>, Problem> {
    let id = who.identity.key_id().to_string();
    let record = server.authority.key(&id).await?;
    Ok(Json(server.authority.view(&record)))
}
