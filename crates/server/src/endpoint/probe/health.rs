//! `GET /healthz`: the process lives.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::Always;

/// That the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Tell whether the process lives
///
/// Looks at nothing else: a process whose store is away lives, and restarting it would not help.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Operation",
    responses((status = 200, description = "It lives", body = Health), Always),
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
