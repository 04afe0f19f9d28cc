//! `POST /api/key/validate`: whether a seal key is written as one.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use sealgate_core::seal_key::SealKeyFormat;
use sealgate_core::secret::SecretText;
use serde::Serialize;
use utoipa::ToSchema;

use super::{answer, spend};
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{SealKeyHeader, Unreadable};
use crate::layer::arrival::Arrival;
use crate::openapi::{Always, Limited};

/// What can be said of a seal key by its form.
#[derive(Serialize, ToSchema)]
pub(crate) struct Verdict {
    /// Whether it is written as a seal key is.
    valid: bool,
    /// `timestamped`, `hex`, `managed` or `default`, of a valid one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "timestamped")]
    format: Option<&'static str>,
    /// What is wrong with it, of one that is not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Check how a seal key is written
///
/// Looks at the form of the header alone. Of a managed key that is its checksum: whether there is such
/// a key, and whether it is honoured, is not told here. The default key is well-formed too; where a
/// client has to send a key of its own (`sessions.require_key`), the login refuses it all the same. Each
/// address may ask so many times a minute.
#[utoipa::path(
    post,
    path = "/api/key/validate",
    tag = "Seal keys",
    params(("x-gomaluum-key" = Option<String>, Header, description = "The seal key")),
    responses(
        (
            status = 200,
            description = "What can be said of it",
            body = Verdict,
            examples(
                ("valid" = (value = json!({"valid": true, "format": "timestamped"}))),
                ("invalid" = (value = json!({
                    "valid": false,
                    "reason": "the second part of a timestamped key is a time in unix seconds"
                }))),
            ),
        ),
        Limited,
        Always,
    ),
)]
pub(crate) async fn validate_seal_key(
    State(server): State<Arc<Server>>,
    Extension(arrival): Extension<Arc<Arrival>>,
    SealKeyHeader(header): SealKeyHeader,
) -> Result<Response, Problem> {
    let allowance = spend(&server, &arrival)?;
    let (format, reason) = match examine(&server, header) {
        Ok(format) => (Some(format.as_str()), None),
        Err(reason) => (None, Some(reason)),
    };
    let body = Verdict {
        valid: format.is_some(),
        format,
        reason,
    };
    Ok(answer(body, allowance))
}

fn examine(
    server: &Server,
    header: Result<Option<SecretText>, Unreadable>,
) -> Result<SealKeyFormat, String> {
    let name = &server.http.seal_key_header;
    match header {
        Ok(Some(text)) => server.authority.examine_seal_key(text.expose()),
        Ok(None) => Err(format!("there is no header {name}")),
        Err(Unreadable::Repeated) => Err(format!("the header {name} is there more than once")),
        Err(Unreadable::Empty) => Err(format!("the header {name} is empty")),
        Err(Unreadable::NotAscii) => Err(format!(
            "the header {name} has characters other than the visible ones of ASCII"
        )),
    }
}
