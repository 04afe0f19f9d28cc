//! `POST /api/encrypt`: a text is sealed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Authorized, StrictJson, Write};
use crate::openapi::{Guarded, JsonBody, Scoped};

/// A text to be sealed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plaintext {
    /// The text.
    #[schema(example = "attack at dawn")]
    plaintext: String,
}

/// A sealed text.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sealed {
    /// What to keep.
    #[schema(example = "sg1.AAAAAYv0pG1m...")]
    ciphertext: String,
    /// The key that sealed it.
    key_id: Uuid,
}

/// Seal a text
///
/// Needs the permission `api:write`. The calling key, and those it is rotated to, can open it
/// again; no other key can.
#[utoipa::path(
    post,
    path = "/api/encrypt",
    tag = "Encryption",
    request_body = Plaintext,
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The sealed text", body = Sealed),
        Guarded,
        Scoped,
        JsonBody,
    ),
)]
pub(crate) async fn encrypt(
    State(server): State<Arc<Server>>,
    who: Authorized<Write>,
    StrictJson(body): StrictJson<Plaintext>,
) -> Result<Json<Sealed>, Problem> {
    let authority = &server.authority;
    let sealed = authority
        .encrypt(&who.identity, &body.plaintext, &who.caller())
        .await?;
    Ok(Json(Sealed {
        ciphertext: sealed.ciphertext,
        key_id: sealed.key_id.0,
    }))
}
