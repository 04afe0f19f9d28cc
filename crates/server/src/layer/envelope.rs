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

/// What an answer has for a body that carries a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemBody {
    /// The error envelope.
    Envelope,
    /// Nothing: who reads the answer looks at its status and headers.
    Empty,
}

/// Writes out the problem that an answer carries.
pub(crate) async fn envelope(
    State((server, body)): State<(Arc<Server>, ProblemBody)>,
    Extension(arrival): Extension<Arc<Arrival>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        account(&server, &arrival, &problem);
        let seal_key = &server.http.seal_key_header;
        match body {
            ProblemBody::Envelope => {
                problem.write(&mut response, &arrival.id.to_string(), seal_key);
            }
            ProblemBody::Empty => {
                tell_operator(&arrival, &problem);
                problem.write_bare(&mut response, seal_key);
            }
        }
        if let Some(key_id) = problem.denied().and_then(|denied| denied.key_id) {
            response.extensions_mut().insert(CallingKey(key_id));
        }
    }
    response
}

/// What the caller would be told goes to the log, where no body tells it and no other line does.
fn tell_operator(arrival: &Arrival, problem: &Problem) {
    if problem.denied().is_none() && problem.detail().is_none() {
        tracing::warn!(
            error = problem.slug(),
            message = %problem.message(),
            address = %arrival.address,
            request_id = %arrival.id,
            "answered without a body"
        );
    }
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
