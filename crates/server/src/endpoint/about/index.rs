//! `GET /`: what this is, and where to read on.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::{Always, Limited};

/// What this is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Index {
    /// The service's name.
    #[schema(example = "Sealgate")]
    service: &'static str,
    /// Where people read on.
    #[schema(example = "/api/reference")]
    reference: &'static str,
    /// Where programs read on.
    #[schema(example = "/api/openapi.json")]
    openapi: &'static str,
}

/// Tell what this is
#[utoipa::path(
    get,
    path = "/",
    tag = "About",
    responses((status = 200, description = "Where to read on", body = Index), Limited, Always),
)]
pub(crate) async fn index() -> Json<Index> {
    Json(Index {
        service: "Sealgate",
        reference: "/api/reference",
        openapi: "/api/openapi.json",
    })
}
