//! Seal keys, for who has none yet or is not sure of one. Anybody may ask, each address so many times a
//! minute; nothing of a seal key is kept, and the store is not asked.

pub(super) mod generate;
pub(super) mod validate;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use sealgate_core::rate::Allowance;
use serde::Serialize;

use crate::app::Server;
use crate::error::Problem;
use crate::layer::arrival::Arrival;
use crate::layer::rate_limit::describe_address;

/// Takes one request off what the address may do.
fn spend(server: &Server, arrival: &Arrival) -> Result<Option<Allowance>, Problem> {
    Ok(server.authority.spend_anonymous(arrival.address)?)
}

/// An answer that says what the address has left.
fn answer(body: impl Serialize, allowance: Option<Allowance>) -> Response {
    let mut response = Json(body).into_response();
    if let Some(allowance) = allowance {
        describe_address(response.headers_mut(), allowance);
    }
    response
}
