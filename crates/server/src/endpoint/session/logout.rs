//! `POST` and `GET /api/auth/logout`: a session, or an access token, is dead from now on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{EitherToken, PresentedSession};
use crate::openapi::Guarded;

/// A session or a token that is dead.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedOut {
    /// That it is done.
    #[schema(example = "Logged out successfully")]
    message: &'static str,
}

/// Log out
///
/// Ends a session with all its tokens, those it was renewed with too, or one access token; within a
/// second on every server. Other sessions of the user, and other tokens of the key, live on. The seal key
/// is not needed.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "Sessions",
    security(("SessionAuth" = []), ("BearerAuth" = [])),
    responses((status = 200, description = "It is dead", body = LoggedOut), Guarded),
)]
pub(crate) async fn log_out(
    State(server): State<Arc<Server>>,
    token: EitherToken,
) -> Result<Json<LoggedOut>, Problem> {
    let authority = &server.authority;
    match token {
        EitherToken::Access(who) => authority.end_token(&who.identity, &who.caller()).await?,
        EitherToken::Session(presented) => end_session(&server, &presented).await?,
    }
    Ok(Json(LoggedOut {
        message: "Logged out successfully",
    }))
}

/// Log out (GET)
///
/// The same as `POST /api/auth/logout`.
#[utoipa::path(
    get,
    path = "/api/auth/logout",
    tag = "Sessions",
    security(("SessionAuth" = []), ("BearerAuth" = [])),
    responses((status = 200, description = "It is dead", body = LoggedOut), Guarded),
)]
pub(crate) async fn log_out_by_get(
    server: State<Arc<Server>>,
    token: EitherToken,
) -> Result<Json<LoggedOut>, Problem> {
    log_out(server, token).await
}

async fn end_session(server: &Server, presented: &PresentedSession) -> Result<(), Problem> {
    let (authority, client) = (&server.authority, &presented.client);
    authority.check_seal_key_form(client.seal_key())?;
    authority
        .end_session(presented.token(), &client.arrival.origin())
        .await
        .map_err(|error| Problem::of_session(error, server.http.wrong_key_status))
}
