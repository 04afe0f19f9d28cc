//! A handler that panics or never comes to an end is answered like any other problem.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::arrival::Arrival;
use crate::error::Problem;

/// The answer after a panic, for [`tower_http::catch_panic`]. Its payload could hold anything, a
/// secret too, so nobody looks at it.
pub(crate) fn catch_panic(_payload: Box<dyn Any + Send + 'static>) -> Response {
    Problem::Internal("a handler panicked".to_owned()).into_response()
}

/// Ends what takes too long: the client's fault while its body arrives, ours after that.
pub(crate) async fn timeout(
    State(limit): State<Duration>,
    Extension(arrival): Extension<Arc<Arrival>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_) if arrival.is_sending() => Err(Problem::RequestTimeout),
        Err(_) => Err(Problem::took_too_long(limit)),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::request_id::RequestIds;
    use crate::route::Route;

    /// What comes of a handler that never ends.
    async fn ended(is_sending: bool) -> Problem {
        let route = Arc::new(Route::new("GET", "/"));
        let id = RequestIds::default().next();
        let arrival = Arc::new(Arrival::new(id, route, &Request::default(), &[]));
        arrival.set_sending(is_sending);
        let response = Router::new()
            .route("/", get(std::future::pending::<()>))
            .layer(from_fn_with_state(Duration::ZERO, timeout))
            .layer(Extension(arrival))
            .oneshot(Request::new(Body::empty()))
            .await;
        let mut response = response.unwrap_or_else(|never| match never {});
        response.extensions_mut().remove().expect("a problem")
    }

    #[tokio::test]
    async fn who_is_late_is_told_apart() {
        assert_eq!(ended(true).await.slug(), "request_timeout");
        assert_eq!(ended(false).await.slug(), "service_unavailable");
    }

    #[test]
    fn a_panics_payload_is_not_looked_at() {
        let response = catch_panic(Box::new("hunter2"));
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
