//! `GET /api/openapi.json`: the API, for programs.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::app::Server;
use crate::openapi::{Always, Limited};

/// Show the OpenAPI document
///
/// Version 3.1, made from the code that answers.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "About",
    responses(
        (
            status = 200,
            description = "The document",
            body = Object,
            content_type = "application/json",
        ),
        Limited,
        Always,
    ),
)]
pub(crate) async fn openapi(
    State(server): State<Arc<Server>>,
) -> ([(HeaderName, &'static str); 1], Bytes) {
    (
        [(CONTENT_TYPE, "application/json")],
        server.document.clone(),
    )
}
