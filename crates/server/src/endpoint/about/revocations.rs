//! `GET /.well-known/sealgate-revocations`: what was revoked, for whoever verifies tokens on their own.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use sealgate_core::authority::SignedList;

use super::conditional::Conditional;
use crate::app::Server;
use crate::error::Problem;
use crate::openapi::Always;

/// Show what was revoked
///
/// A JSON Web Signature by a key of the JWK set: which keys, tokens, sessions and users' sessions were
/// ended before they expired. To be asked for every two seconds, with `If-None-Match`; the answer to who
/// has the list is 304. The format is specified in `docs/revocations.md`.
#[utoipa::path(
    get,
    path = "/.well-known/sealgate-revocations",
    tag = "About",
    responses(
        (
            status = 200,
            description = "The list",
            body = String,
            content_type = "application/sealgate-revocations+jwt",
        ),
        (status = 304, description = "It is the list that the request names by its `ETag`"),
        Always,
    ),
)]
pub(crate) async fn revocations(
    State(server): State<Arc<Server>>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let list = server.authority.revocation_list().await?;
    let content = Conditional {
        media_type: SignedList::MEDIA_TYPE,
        cache: format!(
            "public, max-age={}, must-revalidate",
            SignedList::TTL_SECONDS
        ),
        tag: list.tag().to_owned(),
        // All answers share the one text.
        body: Bytes::from_owner(Text(list)),
    };
    Ok(content.answer(&request))
}

struct Text(Arc<SignedList>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.text().as_bytes()
    }
}
