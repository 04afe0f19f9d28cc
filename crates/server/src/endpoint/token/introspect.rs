//! `POST /api/auth/introspect`: whether a token is good now, and for what (RFC 7662).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::authority::{ActiveToken, Introspection, TokenKind};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::TokenForm;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Authorized, Introspect, StrictForm};
use crate::openapi::{FormBody, Guarded, Scoped};

/// What can be told of a token (RFC 7662 section 2.2). Times are unix seconds. Of one that is not good
/// there is `active` alone.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct TokenState {
    /// Whether it is good now.
    #[schema(example = true)]
    active: bool,
    /// Of which kind it is: `access_token`, `session_token` or `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "access_token")]
    kind: Option<&'static str>,
    /// What it allows now, separated by spaces; `*` of an administrator's. A session has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "api:read api:write")]
    scope: Option<String>,
    /// The managed key that it is, or was issued for; not of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "550e8400-e29b-41d4-a716-446655440000")]
    client_id: Option<Uuid>,
    /// The user's name, of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// `Bearer`, of a token. A managed key is sent as `X-API-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Bearer")]
    token_type: Option<&'static str>,
    /// When it ends; not of a managed key without expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_800_003_600)]
    exp: Option<i64>,
    /// When it was issued, or the key was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_800_000_000)]
    iat: Option<i64>,
    /// From when on it is good, of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Whom it stands for: the key's identifier, or the user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "550e8400-e29b-41d4-a716-446655440000")]
    sub: Option<String>,
    /// Whom it is for, of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "sealgate")]
    iss: Option<String>,
    /// The token's own identifier; a managed key has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0199c2a0-6f3e-7c41-8f0a-3d5b7e9a1c24")]
    jti: Option<Uuid>,
}

impl From<Introspection> for TokenState {
    fn from(introspection: Introspection) -> Self {
        match introspection {
            Introspection::Inactive => Self::default(),
            Introspection::Active(token) => (*token).into(),
        }
    }
}

impl From<ActiveToken> for TokenState {
    fn from(token: ActiveToken) -> Self {
        Self {
            active: true,
            kind: Some(token.kind.as_str()),
            scope: token.scope,
            client_id: token.client_id.map(|id| id.0),
            username: token.username,
            token_type: (token.kind != TokenKind::Key).then_some("Bearer"),
            exp: token.expires_at,
            iat: token.issued_at,
            nbf: token.not_before,
            sub: Some(token.subject),
            aud: token.audience,
            iss: Some(token.issuer),
            jti: token.jti,
        }
    }
}

/// Ask about a token
///
/// For services that are handed tokens (RFC 7662): whether an access token, a session token or a managed
/// key is good now, and for what. Of whatever is not, the answer is the same. It is no use of the token:
/// it is not counted as one, takes nothing off the key's limit, and the addresses that the key allows are
/// not compared with the caller's. The user data of a session stays sealed; that its seal key was revoked
/// does not show. Needs the permission `token:introspect`, or an administrator.
#[utoipa::path(
    post,
    path = "/api/auth/introspect",
    tag = "Tokens",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "What can be told of it", body = TokenState),
        Guarded,
        Scoped,
        FormBody,
    ),
)]
pub(crate) async fn introspect_token(
    State(server): State<Arc<Server>>,
    _: Authorized<Introspect>,
    StrictForm(form): StrictForm<TokenForm>,
) -> Result<Json<TokenState>, Problem> {
    let introspection = server.authority.introspect(form.token.expose()).await?;
    Ok(Json(introspection.into()))
}
