//! How long a body may be, whether the client says its length beforehand or not.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::Limited;

use crate::error::Problem;

/// The limit of a route, in bytes, as an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub usize);

/// Refuses a body that says it is longer, and cuts off one that turns out to be.
pub(crate) async fn limit_body(
    limit: BodyLimit,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let BodyLimit(bytes) = limit;
    if request.body().size_hint().lower() > bytes as u64 {
        return Err(Problem::PayloadTooLarge(bytes));
    }
    request.extensions_mut().insert(limit);
    let request = request.map(|body| Body::new(Limited::new(body, bytes)));
    Ok(next.run(request).await)
}
