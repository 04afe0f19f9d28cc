//! `POST /api/auth/token/renew`: a token is exchanged for a later one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::TokenAnswer;
use crate::app::Server;
use crate::endpoint::session::SessionAnswer;
use crate::endpoint::session::renew::renew_session;
use crate::error::Problem;
use crate::extract::EitherToken;
use crate::openapi::{Guarded, Scoped};

/// A token of the same kind as the one that was sent.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is one or the other")]
pub(crate) enum Renewed {
    /// An access token.
    Access(TokenAnswer),
    /// A session token.
    Session(SessionAnswer),
}

/// Renew a token
///
/// Takes an access token or a session token that has not expired, a session's with its seal key, and
/// gives one with the same rights and data and a later expiry, never past the maximum lifetime counted
/// from the first token of the line. The one that was sent stays good until it expires.
#[utoipa::path(
    post,
    path = "/api/auth/token/renew",
    tag = "Tokens",
    security(("BearerAuth" = []), ("SessionAuth" = [], "SealKeyAuth" = []), ("SessionAuth" = [])),
    responses(
        (status = 200, description = "The new token", body = Renewed),
        Guarded,
        Scoped,
    ),
)]
pub(crate) async fn renew_token(
    State(server): State<Arc<Server>>,
    token: EitherToken,
) -> Result<Response, Problem> {
    match token {
        EitherToken::Access(who) => {
            let grant = server.authority.renew(&who.identity, &who.caller()).await?;
            Ok(Json(TokenAnswer::from(grant)).into_response())
        }
        EitherToken::Session(presented) => renew_session(&server, &presented).await,
    }
}
