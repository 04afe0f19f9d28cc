//! `POST /api/key/generate`: a seal key is made.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use sealgate_core::seal_key::seal_key_hint;
use serde::Serialize;
use utoipa::ToSchema;

use super::{answer, spend};
use crate::app::Server;
use crate::error::Problem;
use crate::layer::arrival::Arrival;
use crate::openapi::{Always, Limited};

/// A seal key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct GeneratedKey {
    /// The key. It is kept nowhere and cannot be read back.
    #[schema(example = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd")]
    api_key: String,
    /// What to do now.
    #[schema(
        example = "API key generated successfully. Include this key in the 'x-gomaluum-key' \
                        header for enhanced security."
    )]
    message: String,
    /// Always `now`.
    #[schema(example = "now")]
    created_at: &'static str,
}

/// Make a seal key
///
/// A timestamp, and 256 random bits. Send it along when a user logs in, and with every request of that
/// session: the user's data in the session token is encrypted under it. It is stored nowhere; without
/// it the data does not open again. Each address may ask so many times a minute.
#[utoipa::path(
    post,
    path = "/api/key/generate",
    tag = "Seal keys",
    responses(
        (status = 200, description = "The key", body = GeneratedKey),
        Limited,
        Always,
    ),
)]
pub(crate) async fn generate_seal_key(
    State(server): State<Arc<Server>>,
    Extension(arrival): Extension<Arc<Arrival>>,
) -> Result<Response, Problem> {
    let allowance = spend(&server, &arrival)?;
    let authority = &server.authority;
    let key = authority.generate_seal_key();
    let rules = &authority.settings().sessions.seal_keys;
    tracing::info!(
        key = seal_key_hint(key.expose(), rules),
        address = %arrival.address,
        request_id = %arrival.id,
        "a seal key was made"
    );
    let body = GeneratedKey {
        api_key: key.expose().to_owned(),
        message: format!(
            "API key generated successfully. Include this key in the '{}' header for enhanced \
             security.",
            server.http.seal_key_header
        ),
        created_at: "now",
    };
    Ok(answer(body, allowance))
}
