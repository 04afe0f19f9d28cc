//! `GET /api/profile`: the user's data, opened.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, VARY};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::name_key;
use crate::app::Server;
use crate::error::Problem;
use crate::extract::PresentedSession;
use crate::layer::Use;
use crate::layer::rate_limit::describe_allowance;
use crate::openapi::{Guarded, Scoped};

/// A user's data.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserProfile<'a> {
    /// That it was opened.
    #[schema(example = "Profile retrieved successfully")]
    message: &'static str,
    /// What the directory told of the user at login.
    // It is JSON already, and is sent as it was sealed.
    #[schema(value_type = Object)]
    data: &'a RawValue,
}

/// Show the user's data
///
/// As it was at login. Send the seal key of the login along: another one does not open the data.
#[utoipa::path(
    get,
    path = "/api/profile",
    tag = "Sessions",
    security(("SessionAuth" = [], "SealKeyAuth" = []), ("SessionAuth" = [])),
    responses(
        (
            status = 200,
            description = "The user's data",
            body = UserProfile<'_>,
            example = json!({
                "message": "Profile retrieved successfully",
                "data": {
                    "username": "ada",
                    "display_name": "Ada Lovelace",
                    "email": "ada@example.com",
                    "roles": ["student"],
                    "attributes": {"matric_no": "2110001"}
                }
            }),
        ),
        Guarded,
        Scoped,
    ),
)]
pub(crate) async fn user_profile(
    State(server): State<Arc<Server>>,
    presented: PresentedSession,
) -> Result<Response, Problem> {
    let PresentedSession { client, .. } = &presented;
    let (authority, arrival) = (&server.authority, &client.arrival);
    let session = authority
        .open_session(presented.token(), client.seal_key(), arrival.address)
        .await
        .map_err(|error| Problem::of_session(error, server.http.wrong_key_status))?;
    Use::of(authority, arrival, StatusCode::OK)
        .of_session(authority, &session)
        .await?;
    let data = serde_json::from_str(session.data())
        .map_err(|error| Problem::Internal(format!("sealed data that is no JSON: {error}")))?;
    let body = UserProfile {
        message: "Profile retrieved successfully",
        data,
    };
    let headers = [
        (CACHE_CONTROL, "no-store".to_owned()),
        (VARY, vary(&server.http.seal_key_header)),
    ];
    let mut response = (headers, Json(body)).into_response();
    if let Some(allowance) = session.allowance() {
        describe_allowance(response.headers_mut(), allowance);
    }
    name_key(&mut response, session.sealed_by());
    Ok(response)
}

fn vary(seal_key: &HeaderName) -> String {
    format!("{AUTHORIZATION}, {seal_key}")
}
