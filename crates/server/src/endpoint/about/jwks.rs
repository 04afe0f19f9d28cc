//! `GET /.well-known/jwks.json`: what others verify access tokens with.

use std::sync::Arc;

use axum::extract::State;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::Server;
use crate::openapi::{Always, Limited};

/// A new key signs at once, and whoever meets a `kid` that it does not know asks again.
pub(super) const CACHE: &str = "public, max-age=300";

/// Show the public keys of access tokens
///
/// A JWK set (RFC 7517). Empty as long as tokens are signed with HS256, whose keys are secret.
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
        Limited,
        Always,
    ),
)]
pub(crate) async fn jwks(
    State(server): State<Arc<Server>>,
) -> ([(HeaderName, &'static str); 2], String) {
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, CACHE),
    ];
    (headers, server.authority.jwk_set().to_string())
}
