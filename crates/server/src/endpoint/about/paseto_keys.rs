//! `GET /.well-known/paseto-keys.json`: what others verify session tokens with.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use sealgate_core::view::SessionKeyView;
use serde::Serialize;
use utoipa::ToSchema;

use super::conditional::Conditional;
use crate::app::Server;
use crate::error::Problem;
use crate::openapi::{Always, Limited};

/// The public keys of session tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionKeys {
    /// Newest first. One of them signs.
    keys: Vec<SessionKeyView>,
}

/// Show the public keys of session tokens
///
/// As PASERK (`k4.public`), by the identifier that is in the footer of each token. They verify a token;
/// its data opens with the seal key alone. Fetched anew each hour, the set has every key before that signs.
/// With `If-None-Match`, the answer to who has it is 304.
#[utoipa::path(
    get,
    path = "/.well-known/paseto-keys.json",
    tag = "About",
    responses(
        (status = 200, description = "The keys", body = SessionKeys),
        (status = 304, description = "They are those that the request names by their `ETag`"),
        Limited,
        Always,
    ),
)]
pub(crate) async fn paseto_keys(
    State(server): State<Arc<Server>>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let keys = server.authority.session_key_views();
    let set = serde_json::to_string(&SessionKeys { keys })
        .map_err(|error| Problem::Internal(error.to_string()))?;
    let content = Conditional::of_keys("application/json", set, server.authority.settings());
    Ok(content.answer(&request))
}
