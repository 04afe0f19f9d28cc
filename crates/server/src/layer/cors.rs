//! Which other origins' pages may call the API (Fetch standard, CORS protocol): by default none.

use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{arrival, rate_limit};
use crate::extract::API_KEY;

/// For how long a browser may remember what it was told.
const MAX_AGE: Duration = Duration::from_hours(1);

/// The layer for so many origins; nothing for none, so that no answer has a CORS header. `seal_key` is
/// the header of seal keys.
///
/// Credentials travel in headers that a page sets itself, never in cookies, so `credentials` mode
/// is not allowed even to the origins that are.
pub(crate) fn cors(origins: &[String], seal_key: &HeaderName) -> Option<CorsLayer> {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else if origins.is_empty() {
        return None;
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| parse(origin)))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, API_KEY, seal_key.clone()])
        .expose_headers([
            arrival::REQUEST_ID,
            RETRY_AFTER,
            rate_limit::LIMIT,
            rate_limit::REMAINING,
            rate_limit::RESET,
        ])
        .max_age(MAX_AGE);
    Some(layer)
}

fn parse(origin: &str) -> Option<HeaderValue> {
    let parsed = HeaderValue::from_str(origin.trim_end_matches('/'));
    if parsed.is_err() {
        tracing::warn!("an origin of the CORS setting can be no origin, and is left out");
    }
    parsed.ok()
}
