//! `ANY /api/auth/verify`: may this request go through, and whose is it? Reverse proxies ask, and read
//! the answer from its status and headers: it has no body, whatever comes of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{self, RefOr, ResponseBuilder, Type};

use crate::app::Server;
use crate::gate::forward_auth::ForwardAuth;
use crate::serve::ClientAddress;

/// Verify a request for a proxy
///
/// For `auth_request` of nginx, `ForwardAuth` of Traefik, `forward_auth` of Caddy and their like. The
/// method that the client used is read from `X-Forwarded-Method` or `X-Original-Method`, which must
/// agree; without either, that of this request counts. The path is read from `X-Forwarded-Uri` or
/// `X-Original-URI`. A setting of the server may name one pair, and then the other does not count, or
/// none. The server's policy says what they need; where no rule fits, a safe method needs
/// `api:read`, any other `api:write`, and a user who is logged in is let through. Other methods than
/// those listed are answered in the same way. No answer has a body.
#[utoipa::path(
    get,
    path = "/api/auth/verify",
    tag = "Proxies",
    security(
        ("ApiKeyAuth" = []),
        ("BearerAuth" = []),
        ("SessionAuth" = [], "SealKeyAuth" = []),
        ("SessionAuth" = [])
    ),
    params(
        ("X-Forwarded-Method" = Option<String>, Header, description = "The client's method"),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "The client's path and query"),
        ("X-Original-Method" = Option<String>, Header, description = "The client's method"),
        ("X-Original-URI" = Option<String>, Header, description = "The client's path and query"),
    ),
    responses(Answers),
)]
pub(crate) async fn verify(State(server): State<Arc<Server>>, request: Request) -> Response {
    let peer = request.extensions().get::<ClientAddress>();
    let peer = peer.map_or(IpAddr::from(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let (parts, _) = request.into_parts();
    ForwardAuth(&server).answer(&parts, peer).await
}

/// Verify a request for a proxy (POST)
///
/// The same as `GET /api/auth/verify`, for proxies that ask with the client's method.
#[utoipa::path(
    post,
    path = "/api/auth/verify",
    tag = "Proxies",
    security(
        ("ApiKeyAuth" = []),
        ("BearerAuth" = []),
        ("SessionAuth" = [], "SealKeyAuth" = []),
        ("SessionAuth" = [])
    ),
    responses(Answers),
)]
pub(crate) async fn verify_by_post(server: State<Arc<Server>>, request: Request) -> Response {
    verify(server, request).await
}

/// The answers, for the document. They have no bodies, unlike those of all other endpoints.
struct Answers;

/// Names and descriptions.
type Headers = &'static [(&'static str, &'static str)];

const IDENTITY: Headers = &[
    ("X-Auth-Kind", "`key`, `token`, `session` or `anonymous`"),
    (
        "X-Auth-Key-Id",
        "The managed key: the caller's, or the one that seals the session; `-` if there is none",
    ),
    (
        "X-Auth-Subject",
        "The key's identifier; of a session the user's name, percent-encoded but for visible ASCII",
    ),
    (
        "X-Auth-Permissions",
        "What the caller may do, separated by spaces; `-` for nothing, and of a session",
    ),
    ("X-Auth-Environment", "The environment"),
];
const CHALLENGE: Headers = &[("WWW-Authenticate", "The kinds of credential that are taken")];
const WAIT: Headers = &[("Retry-After", "Seconds until the next request may come")];

impl IntoResponses for Answers {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let answers: [(u16, &str, Headers); 7] = [
            (200, "The request may go through", IDENTITY),
            (
                400,
                "What is told of the client's request contradicts itself, can be read in several ways, or is not told where there are rules",
                &[],
            ),
            (401, "No credential, or one that is not honoured", CHALLENGE),
            (403, "The caller is known, and may not do this", &[]),
            (429, "Too much for now", WAIT),
            (500, "Something is broken here", &[]),
            (503, "The store cannot answer now", WAIT),
        ];
        let described = answers.into_iter().map(|(status, description, headers)| {
            let mut answer = ResponseBuilder::new().description(description);
            for (name, description) in headers {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let header = HeaderBuilder::new()
                    .schema(Some(text))
                    .description(Some(*description));
                answer = answer.header(*name, header.build());
            }
            (status.to_string(), answer.build().into())
        });
        described.collect()
    }
}
