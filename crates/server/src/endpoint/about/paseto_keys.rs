//! `GET /.well-known/paseto-keys.json`: what others verify session tokens with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderName;
use http::header::CACHE_CONTROL;
use sealgate_core::view::SessionKeyView;
use serde::Serialize;
use utoipa::ToSchema;

use super::jwks::CACHE;
use crate::app::Server;
use crate::openapi::{Always, Limited};

/// The public keys of session tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionKeys {
    /// Newest first; the first without `verify_until` signs.
    keys: Vec<SessionKeyView>,
}

/// Show the public keys of session tokens
///
/// As PASERK (`k4.public`), by the identifier that is in the footer of each token. They verify a token;
/// its data opens with the seal key alone.
#[utoipa::path(
    get,
    path = "/.well-known/paseto-keys.json",
    tag = "About",
    responses((status = 200, description = "The keys", body = SessionKeys), Limited, Always),
)]
pub(crate) async fn paseto_keys(
    State(server): State<Arc<Server>>,
) -> ([(HeaderName, &'static str); 1], Json<SessionKeys>) {
    let keys = server.authority.session_key_views();
    ([(CACHE_CONTROL, CACHE)], Json(SessionKeys { keys }))
}
