//! Headers that tell browsers and caches what not to do with an answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::app::Server;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// On every answer.
const ALWAYS: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (RESOURCE_POLICY, "same-origin"),
];

/// On answers that do not say otherwise. Most hold a secret or are about one, so that no cache may
/// keep them (RFC 6749 section 5.1).
const UNLESS_SAID: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// A year. Other hosts of the domain are none of our business.
const TRANSPORT_POLICY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the headers.
pub(crate) async fn protect(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in UNLESS_SAID {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if server.http.tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, TRANSPORT_POLICY);
    }
    response
}
