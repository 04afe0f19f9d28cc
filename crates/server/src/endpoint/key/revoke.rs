//! `POST /api/auth/keys/{id}/revoke`: a key is killed, and its tokens with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::clock::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, KeyReference, StrictJson};
use crate::openapi::{Absent, Conflicting, Guarded, JsonBody, Scoped};

/// Why a key is revoked.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocation {
    /// For the audit log, at most 255 characters.
    #[serde(default)]
    #[schema(example = "found in a public repository")]
    reason: Option<String>,
}

/// A key that was just revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedKey {
    /// That it is done.
    message: &'static str,
    /// The key.
    key_id: Uuid,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// Revoke a key
///
/// For good: from now on the key and every token that was issued for it are refused, within a
/// second on every server. The body may be left out. A key cannot revoke itself.
#[utoipa::path(
    post,
    path = "/api/auth/keys/{id}/revoke",
    tag = "Keys",
    params(("id" = String, Path, description = "The key's `key_id`, or its prefix")),
    request_body(content = Option<Revocation>),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "It is revoked", body = RevokedKey),
        Guarded,
        Scoped,
        JsonBody,
        Absent,
        Conflicting,
    ),
)]
pub(crate) async fn revoke_key(
    State(server): State<Arc<Server>>,
    who: Authorized<Admin>,
    KeyReference(id): KeyReference,
    body: Option<StrictJson<Revocation>>,
) -> Result<Json<RevokedKey>, Problem> {
    let reason = body.and_then(|StrictJson(revocation)| revocation.reason);
    let record = server.authority.revoke(&id, reason, &who.caller()).await?;
    Ok(Json(RevokedKey {
        message: "API key revoked",
        key_id: record.id.0,
        revoked_at: record.revoked_at(),
    }))
}
