//! One log line and the metrics of every request. Nothing in either is as the client sent it: the
//! route is a template, the method one of a few, the address was parsed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request};
use axum::middleware::Next;
use axum::response::Response;
use sealgate_core::clock::Stopwatch;
use sealgate_core::key::KeyId;

use super::arrival::Arrival;

/// The calling key, as an extension of the answer: who was served, or refused as far as known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallingKey(pub KeyId);

/// Logs and measures what lies inside.
pub(crate) async fn observe(
    Extension(arrival): Extension<Arc<Arrival>>,
    request: Request,
    next: Next,
) -> Response {
    let stopwatch = Stopwatch::start();
    let response = next.run(request).await;
    let elapsed = stopwatch.elapsed();
    log(&arrival, &response, elapsed);
    measure(&arrival, &response, elapsed);
    response
}

fn log(arrival: &Arrival, response: &Response, elapsed: Duration) {
    let key_id = response.extensions().get::<CallingKey>();
    tracing::info!(
        method = arrival.route.method,
        route = &*arrival.route.path,
        status = response.status().as_u16(),
        duration_ms = elapsed.as_secs_f64() * 1_000.0,
        key_id = key_id.map(|key| tracing::field::display(key.0)),
        address = %arrival.address,
        request_id = %arrival.id,
        "request"
    );
}

fn measure(arrival: &Arrival, response: &Response, elapsed: Duration) {
    let route = &arrival.route;
    metrics::counter!(
        "sealgate_requests_total",
        "method" => route.method,
        "route" => Arc::clone(&route.path),
        "status" => response.status().as_str().to_owned(),
    )
    .increment(1);
    metrics::histogram!(
        "sealgate_request_duration_seconds",
        "method" => route.method,
        "route" => Arc::clone(&route.path),
    )
    .record(elapsed);
}
