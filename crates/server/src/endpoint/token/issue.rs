//! `POST /api/auth/token`: a managed key is exchanged for an access token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::TokenAnswer;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Authorized, KeyAlone};
use crate::openapi::Guarded;

/// Exchange a key for an access token
///
/// Takes the key itself, in `X-API-Key`; a token is renewed, not exchanged. The token dies with its
/// key: revoked, expired or disabled now means refused now.
#[utoipa::path(
    post,
    path = "/api/auth/token",
    tag = "Tokens",
    security(("ApiKeyAuth" = [])),
    responses((status = 200, description = "The token", body = TokenAnswer), Guarded),
)]
pub(crate) async fn issue_token(
    State(server): State<Arc<Server>>,
    who: Authorized<KeyAlone>,
) -> Result<Json<TokenAnswer>, Problem> {
    let grant = server
        .authority
        .exchange(&who.identity, &who.caller())
        .await?;
    Ok(Json(grant.into()))
}
