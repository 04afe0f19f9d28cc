//! Users' sessions: a user logs in, and a token stands for that from then on. The user's data in the
//! token is sealed with a key that the client keeps.

pub(super) mod login;
pub(super) mod logout;
pub(super) mod profile;
pub(super) mod renew;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use sealgate_core::authority::{LoggedIn, SealedBy};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Server;
use crate::error::Problem;
use crate::extract::SealingClient;
use crate::layer::rate_limit::describe_allowance;
use crate::layer::{CallingKey, Use};

/// The message of a session token that was issued, as clients know it.
const LOGGED_IN: &str =
    "Login successful! Please use the token in the Authorization header for future requests.";

/// A session token that was just issued.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    /// What to do now.
    #[schema(
        example = "Login successful! Please use the token in the Authorization header for \
                        future requests."
    )]
    message: &'static str,
    /// The token, and whose it is.
    data: IssuedSession,
}

/// A session token, and whose it is.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedSession {
    /// The token, to be sent as `Authorization: Bearer`, with the same seal key.
    #[schema(example = "v4.public.eyJhdWQiOiJnb21hbHV1bSIs...")]
    token: String,
    /// The user's name.
    #[schema(example = "ada")]
    username: String,
}

/// The answer with a session token. A managed key that seals it was used, which counts first.
async fn issued(
    server: &Server,
    client: &SealingClient,
    session: &LoggedIn,
) -> Result<Response, Problem> {
    let authority = &server.authority;
    if let SealedBy::Managed(key_id) = session.sealed_by {
        let used = Use::of(authority, &client.arrival, StatusCode::OK);
        used.of_key(authority, key_id).await?;
    }
    let body = SessionAnswer {
        message: LOGGED_IN,
        data: IssuedSession {
            token: session.token.expose().to_owned(),
            username: session.username.clone(),
        },
    };
    let mut response = Json(body).into_response();
    if let Some(allowance) = session.allowance {
        describe_allowance(response.headers_mut(), allowance);
    }
    name_key(&mut response, session.sealed_by);
    Ok(response)
}

/// Names the managed key that seals the session, for the log line of the request.
fn name_key(response: &mut Response, sealed_by: SealedBy) {
    if let SealedBy::Managed(key_id) = sealed_by {
        response.extensions_mut().insert(CallingKey(key_id));
    }
}
