//! `POST /api/decrypt`: a sealed text is opened.

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

/// A text to be opened.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ciphertext {
    /// What was answered when it was sealed.
    #[schema(example = "sg1.AAAAAYv0pG1m...")]
    ciphertext: String,
}

/// An opened text.
#[derive(Serialize, ToSchema)]
pub(crate) struct Opened {
    /// The text.
    #[schema(example = "attack at dawn")]
    plaintext: String,
    /// The key that opened it.
    key_id: Uuid,
}

/// Open a sealed text
///
/// Needs the permission `api:write`. What was altered, cut off, or sealed by another line of keys
/// does not open; the answer does not tell these apart.
#[utoipa::path(
    post,
    path = "/api/decrypt",
    tag = "Encryption",
    request_body = Ciphertext,
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "The text", body = Opened),
        Guarded,
        Scoped,
        JsonBody,
    ),
)]
pub(crate) async fn decrypt(
    State(server): State<Arc<Server>>,
    who: Authorized<Write>,
    StrictJson(body): StrictJson<Ciphertext>,
) -> Result<Json<Opened>, Problem> {
    let plaintext = server
        .authority
        .decrypt(&who.identity, &body.ciphertext)
        .await?;
    Ok(Json(Opened {
        plaintext: plaintext.expose().to_owned(),
        key_id: who.identity.key_id().0,
    }))
}
