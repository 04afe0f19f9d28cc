//! The whole of the HTTP side as one service: every endpoint, and what happens around them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::{App, Server};
use crate::error::Problem;
use crate::layer::ProblemBody;
use crate::{endpoint, layer, openapi};

/// Every endpoint, with all layers around it.
///
/// Each request has to carry [`ClientAddress`](crate::serve::ClientAddress) as an extension.
pub fn router(app: App) -> Router {
    let document = openapi::document_with(&app.http.seal_key_header);
    let server = Arc::new(Server::new(app, &document));
    with_layers(endpoints(&server), Callers::Clients, &server)
        .merge(with_layers(
            forward_auth(&server),
            Callers::Proxies,
            &server,
        ))
        .with_state(server)
}

/// Who sends requests, and reads the answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Callers {
    /// Programs, and pages in browsers.
    Clients,
    /// Reverse proxies, on behalf of whoever called them.
    Proxies,
}

/// The endpoints; those that are not public have a guard at the door.
fn endpoints(server: &Arc<Server>) -> Router<Arc<Server>> {
    let guard = from_fn_with_state(Arc::clone(server), layer::authenticate);
    let guarded = Router::from(endpoint::guarded()).route_layer(guard);
    let guard = from_fn_with_state(Arc::clone(server), layer::authenticate_unless_session);
    let of_either = Router::from(endpoint::of_either_token()).route_layer(guard);
    Router::from(endpoint::public())
        .merge(Router::from(endpoint::sessions()))
        .merge(of_either)
        .merge(guarded)
        .fallback(async || Problem::NotFound("path"))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
}

/// What proxies ask. It takes every credential, as the guard and the handler find out together.
fn forward_auth(server: &Arc<Server>) -> Router<Arc<Server>> {
    let guard = from_fn_with_state(Arc::clone(server), layer::authenticate_unless_session);
    Router::from(endpoint::forward_auth()).route_layer(guard)
}

/// What happens around every handler, from the outside in.
fn with_layers(
    router: Router<Arc<Server>>,
    callers: Callers,
    server: &Arc<Server>,
) -> Router<Arc<Server>> {
    let state = || Arc::clone(server);
    let body = match callers {
        Callers::Clients => ProblemBody::Envelope,
        Callers::Proxies => ProblemBody::Empty,
    };
    let cors = match callers {
        Callers::Clients => layer::cors(&server.http.cors_origins, &server.http.seal_key_header),
        // It would answer 200 to OPTIONS whatever the credential, and a proxy would let it through.
        Callers::Proxies => None,
    };
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(state(), layer::arrive))
            .layer(from_fn(layer::observe))
            .layer(from_fn_with_state(state(), layer::protect))
            .option_layer(cors)
            .layer(from_fn_with_state((state(), body), layer::envelope))
            .layer(CatchPanicLayer::custom(layer::catch_panic))
            .layer(from_fn_with_state(
                server.http.request_timeout,
                layer::timeout,
            )),
    )
}
