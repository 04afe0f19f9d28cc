//! `POST /api/auth/keys/{id}/rotate`: a key is replaced by a new one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::view::KeyView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, KeyReference, StrictJson};
use crate::openapi::{Absent, Conflicting, Guarded, JsonBody, Scoped};

/// How a key is replaced.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// For how many seconds the old key is still honoured, at most 2592000 (30 days); it stops at
    /// once if absent.
    #[serde(default)]
    #[schema(example = 86400, maximum = 2_592_000)]
    grace_seconds: Option<u32>,
    /// For the audit log, at most 255 characters.
    #[serde(default)]
    #[schema(example = "every 90 days")]
    reason: Option<String>,
}

/// A key that was just replaced.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotatedKey {
    /// What to do now.
    message: &'static str,
    /// The key that was replaced.
    old_key_id: Uuid,
    /// The key that replaces it, without anything secret.
    new_key: KeyView,
    /// The new key itself. It is shown this once and cannot be read back.
    #[schema(example = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3")]
    api_key: String,
    /// A first access token of the new key's.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")]
    token: String,
}

/// Rotate a key
///
/// Makes a new key with the same name, permissions, limits and remaining life. It opens what the
/// old one sealed. The old one stops at once, or after a grace; the body may be left out.
#[utoipa::path(
    post,
    path = "/api/auth/keys/{id}/rotate",
    tag = "Keys",
    params(("id" = String, Path, description = "The key's `key_id`, or its prefix")),
    request_body(content = Option<Rotation>),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The new key, shown this once", body = RotatedKey),
        Guarded,
        Scoped,
        JsonBody,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn rotate_key(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    KeyReference(id): KeyReference,
    body: Option<StrictJson<Rotation>>,
) -> Result<Json<RotatedKey>, Problem> {
    let Rotation {
        grace_seconds,
        reason,
    } = body
        .map(|StrictJson(rotation)| rotation)
        .unwrap_or_default();
    let grace_seconds = grace_seconds.unwrap_or(0);
    let authority = &server.authority;
    let rotated = authority
        .rotate(&id, grace_seconds, reason, &who.caller())
        .await?;
    Ok(Json(RotatedKey {
        message: "Keep the API key in a safe place now: it is not shown again",
        old_key_id: rotated.old.id.0,
        new_key: authority.view(&rotated.new.record),
        api_key: rotated.new.api_key.expose().to_owned(),
        token: rotated.new.grant.token.expose().to_owned(),
    }))
}
