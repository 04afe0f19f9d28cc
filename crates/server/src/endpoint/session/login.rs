//! `POST /api/auth/login`, also `/api/login`: a user gives a password for a session token.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use sealgate_core::authority::Login;
use sealgate_core::secret::SecretText;
use sealgate_core::user::secret_text;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{SessionAnswer, issued};
use crate::app::Server;
use crate::error::Problem;
use crate::extract::{SealingClient, StrictJson};
use crate::openapi::{Guarded, JsonBody, Scoped};

/// Who logs in. Fields that are not known are passed over.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Credentials {
    /// The user's name, at most 256 bytes.
    #[schema(example = "your_username")]
    username: String,
    /// The password, at most 256 bytes.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, format = Password, example = "your_password")]
    password: SecretText,
}

/// Log a user in
///
/// The token holds the user's data, sealed with the key in the header `x-gomaluum-key`, or with the
/// default key if there is none; it opens with the same key alone. A managed key needs the permission
/// `session:seal`, and the session ends with it. Whatever is wrong with name or password, the answer is
/// the same; after too many failures one has to wait.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "Sessions",
    params(("x-gomaluum-key" = Option<String>, Header, description = "The seal key")),
    request_body = Credentials,
    responses(
        (status = 200, description = "The session token", body = SessionAnswer),
        Guarded,
        Scoped,
        JsonBody,
    ),
)]
pub(crate) async fn log_in(
    State(server): State<Arc<Server>>,
    client: SealingClient,
    StrictJson(credentials): StrictJson<Credentials>,
) -> Result<Response, Problem> {
    let login = Login {
        username: &credentials.username,
        password: credentials.password,
        seal_key: client.seal_key(),
        address: client.arrival.address,
        origin: &client.arrival.origin(),
    };
    let session = server.authority.login(login).await;
    let session =
        session.map_err(|error| Problem::of_session(error, server.http.wrong_key_status))?;
    metrics::counter!("sealgate_logins_total", "seal_key" => session.sealed_by.kind()).increment(1);
    issued(&server, &client, &session).await
}

/// Log a user in, at the short path
///
/// The same as `POST /api/auth/login`.
#[utoipa::path(
    post,
    path = "/api/login",
    tag = "Sessions",
    params(("x-gomaluum-key" = Option<String>, Header, description = "The seal key")),
    request_body = Credentials,
    responses(
        (status = 200, description = "The session token", body = SessionAnswer),
        Guarded,
        Scoped,
        JsonBody,
    ),
)]
pub(crate) async fn log_in_shortly(
    server: State<Arc<Server>>,
    client: SealingClient,
    credentials: StrictJson<Credentials>,
) -> Result<Response, Problem> {
    log_in(server, client, credentials).await
}
