//! Around what anybody may read: no address reads it too often.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::arrival::Arrival;
use super::rate_limit::describe_address;
use crate::app::Server;
use crate::error::Problem;

/// Takes one request off what the address may do, and says what it has left.
pub(crate) async fn limit_address(
    State(server): State<Arc<Server>>,
    Extension(arrival): Extension<Arc<Arrival>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let allowance = server.authority.spend_public(arrival.address)?;
    let mut response = next.run(request).await;
    if let Some(allowance) = allowance {
        describe_address(response.headers_mut(), allowance);
    }
    Ok(response)
}
