//! `GET /metrics`: counts and durations.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::app::Server;
use crate::openapi::Always;

/// Prometheus' text format, version 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Show the metrics
///
/// In Prometheus' text format. Labels are routes, methods, statuses and reasons, never a client's
/// own words.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operation",
    responses(
        (
            status = 200,
            description = "The metrics",
            body = String,
            content_type = "text/plain",
            example = "sealgate_refusals_total{reason=\"unknown_key\"} 1",
        ),
        Always,
    ),
)]
pub(crate) async fn metrics(
    State(server): State<Arc<Server>>,
) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, TEXT)], (server.http.metrics)())
}
