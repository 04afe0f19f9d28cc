//! A [`Problem`] on its way out: what the caller may know becomes the answer, a refusal goes to the
//! audit log and the metrics, and what is internal goes to the operator's log.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::arrival::Arrival;
use super::observe::CallingKey;
use crate::app::Server;
use crate::error::Problem;

/// Writes out the problem that an answer carries.
pub(crate) async fn envelope(
    State(server): State<Arc<Server>>,
    Extension(arrival): Extension<Arc<Arrival>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        account(&server, &arrival, &problem);
        problem.write(
            &mut response,
            &arrival.id.to_string(),
            &server.http.seal_key_header,
        );
        if let Some(key_id) = problem.denied().and_then(|denied| denied.key_id) {
            response.extensions_mut().insert(CallingKey(key_id));
        }
    }
    response
}

fn account(server: &Server, arrival: &Arrival, problem: &Problem) {
    if let Some(denied) = problem.denied() {
        let reason = denied.reason.slug();
        server
            .authority
            .refused(denied, &arrival.origin(), problem.status().as_u16());
        metrics::counter!("sealgate_refusals_total", "reason" => reason).increment(1);
        tracing::info!(
            reason,
            key_id = denied.key_id.map(tracing::field::display),
            address = %arrival.address,
            request_id = %arrival.id,
            "refused"
        );
    }
    if let Some(detail) = problem.detail() {
        tracing::error!(
            error = problem.slug(),
            detail,
            route = &*arrival.route.name,
            request_id = %arrival.id,
            "not answered as asked"
        );
    }
}
