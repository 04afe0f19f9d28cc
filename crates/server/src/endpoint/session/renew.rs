//! The part of `POST /api/auth/token/renew` that is about sessions.

use axum::response::Response;

use super::issued;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::PresentedSession;

/// Renews a session: the same data under the same seal key, a later expiry.
pub(in crate::endpoint) async fn renew_session(
    server: &Server,
    presented: &PresentedSession,
) -> Result<Response, Problem> {
    let client = &presented.client;
    let arrival = &client.arrival;
    let session = server
        .authority
        .renew_session(
            presented.token(),
            client.seal_key(),
            arrival.address,
            &arrival.origin(),
        )
        .await
        .map_err(|error| Problem::of_session(error, server.http.wrong_key_status))?;
    issued(server, client, &session).await
}
