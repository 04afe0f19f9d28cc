//! `POST /api/auth/token/renew`: an access token is exchanged for a later one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::TokenAnswer;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Authorized, TokenAlone};
use crate::openapi::Guarded;

/// Renew an access token
///
/// Takes a token that has not expired, and gives one with the same rights and a later expiry, never
/// past the maximum lifetime counted from the first token of the line.
#[utoipa::path(
    post,
    path = "/api/auth/token/renew",
    tag = "Tokens",
    security(("BearerAuth" = [])),
    responses((status = 200, description = "The new token", body = TokenAnswer), Guarded),
)]
pub(crate) async fn renew_token(
    State(server): State<Arc<Server>>,
    who: Authorized<TokenAlone>,
) -> Result<Json<TokenAnswer>, Problem> {
    let grant = server.authority.renew(&who.identity, &who.caller()).await?;
    Ok(Json(grant.into()))
}
