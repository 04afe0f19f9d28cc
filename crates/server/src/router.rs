//! The whole of the HTTP side as one service: every endpoint, and what happens around them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::{App, Server};
use crate::error::Problem;
use crate::gateway::Forwarder;
use crate::{endpoint, layer, openapi};

/// The whole HTTP side, as connections see it: the router, and past it the way of questions that most
/// requests are.
#[derive(Clone)]
pub struct Api {
    pub(crate) router: Router,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) gateway: Option<Arc<Forwarder>>,
}

/// A router alone, all of whose requests go the same way.
impl From<Router> for Api {
    fn from(router: Router) -> Self {
        Self {
            router,
            server: None,
            gateway: None,
        }
    }
}

/// Every endpoint, with all layers around it.
pub fn api(app: App) -> Api {
    let document = openapi::document_with(&app.http.seal_key_header);
    let server = Arc::new(Server::new(app, &document));
    let router = with_layers(endpoints(&server), &server)
        .merge(Router::from(endpoint::forward_auth()))
        .with_state(Arc::clone(&server));
    let gateway = server.http.gateway.as_ref();
    let gateway = gateway.map(|it| Forwarder::new(it, Arc::clone(&server), Some(&document)));
    Api {
        router,
        server: Some(server),
        gateway: gateway.map(Arc::new),
    }
}

impl Api {
    /// Apart: Sealgate's own API, and the gateway for a port on which there is nothing else.
    #[must_use]
    pub fn split(self) -> (Self, Option<Self>) {
        let gateway = self.server.as_ref().and_then(|server| {
            let gateway = server.http.gateway.as_ref()?;
            let forwarder = Forwarder::new(gateway, Arc::clone(server), None);
            Some(Self {
                router: Router::new(),
                server: None,
                gateway: Some(Arc::new(forwarder)),
            })
        });
        let own = Self {
            gateway: None,
            ..self
        };
        (own, gateway)
    }
}

/// As [`api`], as a router alone.
///
/// Each request has to carry [`ClientAddress`](crate::serve::ClientAddress) as an extension.
pub fn router(app: App) -> Router {
    api(app).router
}

/// The endpoints; those that are not public have a guard at the door.
fn endpoints(server: &Arc<Server>) -> Router<Arc<Server>> {
    let guard = from_fn_with_state(Arc::clone(server), layer::authenticate);
    let guarded = Router::from(endpoint::guarded()).route_layer(guard);
    let guard = from_fn_with_state(Arc::clone(server), layer::authenticate_unless_session);
    let of_either = Router::from(endpoint::of_either_token()).route_layer(guard);
    let limit = from_fn_with_state(Arc::clone(server), layer::limit_address);
    let published = Router::from(endpoint::published()).route_layer(limit);
    Router::from(endpoint::public())
        .merge(published)
        .merge(Router::from(endpoint::sessions()))
        .merge(of_either)
        .merge(guarded)
        .fallback(async || Problem::NotFound("path"))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
}

/// What happens around every handler, from the outside in.
fn with_layers(router: Router<Arc<Server>>, server: &Arc<Server>) -> Router<Arc<Server>> {
    let state = || Arc::clone(server);
    let cors = layer::cors(&server.http.cors_origins, &server.http.seal_key_header);
    router.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(state(), layer::arrive))
            .layer(from_fn(layer::observe))
            .layer(from_fn_with_state(state(), layer::protect))
            .option_layer(cors)
            .layer(from_fn_with_state(state(), layer::envelope))
            .layer(CatchPanicLayer::custom(layer::catch_panic))
            .layer(from_fn_with_state(
                server.http.request_timeout,
                layer::timeout,
            )),
    )
}
