//! `GET /api/encrypt`: what the encryption service offers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Server;
use crate::endpoint::SEALING_BODY;
use crate::error::Problem;
use crate::extract::{Authorized, Read};
use crate::openapi::{Guarded, Scoped};

/// What the encryption service offers the calling key.
#[derive(Serialize, ToSchema)]
pub(crate) struct Offer {
    /// How texts are sealed.
    #[schema(example = "AES-256-GCM-SIV")]
    algorithm: &'static str,
    /// The version of the key that would seal now; 0 before the first text is sealed.
    #[schema(example = 1)]
    key_version: u32,
    /// How much is taken.
    limits: Limits,
}

/// How much is taken, in bytes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Limits {
    /// The longest plaintext, as UTF-8.
    #[schema(example = 785_408)]
    max_plaintext_bytes: usize,
    /// The longest body of a request.
    #[schema(example = 1_048_576)]
    max_body_bytes: usize,
}

/// Show what the encryption service offers
///
/// Needs the permission `api:read`.
#[utoipa::path(
    get,
    path = "/api/encrypt",
    tag = "Encryption",
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses((status = 200, description = "The offer", body = Offer), Guarded, Scoped),
)]
pub(crate) async fn sealing_offer(
    State(server): State<Arc<Server>>,
    who: Authorized<Read>,
) -> Result<Json<Offer>, Problem> {
    let offer = server.authority.sealing_offer(&who.identity).await?;
    Ok(Json(Offer {
        algorithm: offer.algorithm,
        key_version: offer.key_version,
        limits: Limits {
            max_plaintext_bytes: offer.max_plaintext_bytes,
            max_body_bytes: SEALING_BODY.0,
        },
    }))
}
