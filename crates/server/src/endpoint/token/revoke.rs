//! `POST /api/auth/revoke`: a token is dead from now on, whoever holds it (RFC 7009).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::authority::Revoked;
use serde::Serialize;
use utoipa::ToSchema;

use super::TokenForm;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Authorized, Introspect, StrictForm};
use crate::openapi::{FormBody, Guarded, Scoped};

/// An object without members: that the token is not good any more is all there is to say.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenRevoked {}

/// Revoke a token
///
/// For services that are handed tokens (RFC 7009): an access token is dead from now on, a session token
/// with its whole session, within a second on every server. A token that is not good anyway, or is none,
/// is answered the same. A managed key is refused: keys are revoked at `/api/auth/keys/{id}/revoke`.
/// Needs the permission `token:introspect`, or an administrator; holders log out instead.
#[utoipa::path(
    post,
    path = "/api/auth/revoke",
    tag = "Tokens",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "It is not good any more", body = TokenRevoked),
        Guarded,
        Scoped,
        FormBody,
    ),
)]
pub(crate) async fn revoke_token(
    State(server): State<Arc<Server>>,
    who: Authorized<Introspect>,
    StrictForm(form): StrictForm<TokenForm>,
) -> Result<Json<TokenRevoked>, Problem> {
    let token = form.token.expose();
    match server
        .authority
        .revoke_presented(token, &who.caller())
        .await?
    {
        Revoked::ManagedKey => Err(Problem::UnsupportedTokenType),
        Revoked::Token | Revoked::Session | Revoked::Nothing => Ok(Json(TokenRevoked {})),
    }
}
