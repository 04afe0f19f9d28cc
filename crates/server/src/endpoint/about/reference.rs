//! `GET /api/reference`: the API, for people.

use axum::response::Html;
use http::HeaderName;
use http::header::CONTENT_SECURITY_POLICY;

use crate::openapi::{Always, Limited};
use crate::reference::PAGE;

/// Show the API reference
///
/// One page without anything from elsewhere, drawn from the OpenAPI document.
#[utoipa::path(
    get,
    path = "/api/reference",
    tag = "About",
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        Limited,
        Always,
    ),
)]
pub(crate) async fn reference() -> ([(HeaderName, &'static str); 1], Html<&'static str>) {
    let policy = [(CONTENT_SECURITY_POLICY, PAGE.policy.as_str())];
    (policy, Html(PAGE.html.as_str()))
}
