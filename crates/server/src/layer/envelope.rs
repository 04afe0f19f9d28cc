//! A [`Problem`] on its way out: what the caller may know becomes the answer.

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
        server.gate.account(&arrival.unanswered(), &problem);
        let seal_key = &server.http.seal_key_header;
        problem.write(&mut response, &arrival.id.to_string(), seal_key);
        if let Some(key_id) = problem.denied().and_then(|denied| denied.key_id) {
            response.extensions_mut().insert(CallingKey(key_id));
        }
    }
    response
}
