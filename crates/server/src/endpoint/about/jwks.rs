//! `GET /.well-known/jwks.json`: what others verify access tokens and lists of revocations with.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::conditional::Conditional;
use crate::app::Server;
use crate::openapi::{Always, Limited};

/// Show the public keys of access tokens
///
/// A JWK set (RFC 7517), for whoever verifies on their own: fetched anew each hour, it has every key before
/// that signs. As long as tokens are signed with HS256, whose keys are secret, there is only the key that
/// signs lists of revocations. With `If-None-Match`, the answer to who has it is 304.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "About",
    responses(
        (
            status = 200,
            description = "The set",
            body = Object,
            content_type = "application/jwk-set+json",
            example = json!({"keys": []}),
        ),
        (status = 304, description = "It is the set that the request names by its `ETag`"),
        Limited,
        Always,
    ),
)]
pub(crate) async fn jwks(State(server): State<Arc<Server>>, request: HeaderMap) -> Response {
    let set = server.authority.jwk_set().to_string();
    Conditional::of_keys("application/jwk-set+json", set, server.authority.settings())
        .answer(&request)
}
