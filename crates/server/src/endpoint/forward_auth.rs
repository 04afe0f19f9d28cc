//! `ANY /api/auth/verify`: may this request go through, and whose is it? Reverse proxies ask, and read
//! the answer from its status and headers: it has no body, whatever comes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, StatusCode};
use sealgate_core::authority::Identity;
use sealgate_core::key::{Environment, KeyId};
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{self, RefOr, ResponseBuilder, Type};

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{AnyCaller, OriginalRequest, PresentedSession};
use crate::layer::rate_limit::describe_allowance;
use crate::layer::{CallingKey, Use};

/// `key`, `token` or `session`.
const KIND: HeaderName = HeaderName::from_static("x-auth-kind");
/// The managed key that was used, itself or through a token, or that seals the session.
const KEY_ID: HeaderName = HeaderName::from_static("x-auth-key-id");
/// The key's identifier, or the user's name.
const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
/// What the caller may do.
const PERMISSIONS: HeaderName = HeaderName::from_static("x-auth-permissions");
/// The environment.
const ENVIRONMENT: HeaderName = HeaderName::from_static("x-auth-environment");

/// What stands in a header that has nothing to say. None is ever left out or empty: a proxy that copies
/// what is there would let the client's own header stand.
const NOTHING: &str = "-";

/// Verify a request for a proxy
///
/// For `auth_request` of nginx, `ForwardAuth` of Traefik, `forward_auth` of Caddy and their like. The
/// method that the client used is read from `X-Forwarded-Method` or `X-Original-Method`, which must
/// agree; without either, that of this request counts. A safe method needs `api:read`, any other
/// `api:write`. A session has no permissions: a user who is logged in is let through. Other methods than
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
pub(crate) async fn verify(
    State(server): State<Arc<Server>>,
    caller: AnyCaller,
    original: OriginalRequest,
) -> Result<Response, Problem> {
    match caller {
        AnyCaller::Managed(who) => {
            who.identity.require(original.permission())?;
            Verified::of_identity(&who.identity, &server).answer()
        }
        AnyCaller::Session(presented) => let_user_through(&server, &presented).await,
    }
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
pub(crate) async fn verify_by_post(
    server: State<Arc<Server>>,
    caller: AnyCaller,
    original: OriginalRequest,
) -> Result<Response, Problem> {
    verify(server, caller, original).await
}

/// Opens a session, and counts its use. A wrong seal key is the client's fault here, whatever the
/// settings say: a proxy takes 500 for a fault of its own.
async fn let_user_through(
    server: &Server,
    presented: &PresentedSession,
) -> Result<Response, Problem> {
    let (authority, client) = (&server.authority, &presented.client);
    let session = authority
        .open_session(presented.token(), client.seal_key(), client.arrival.address)
        .await
        .map_err(|error| Problem::of_session(error, StatusCode::UNAUTHORIZED))?;
    Use::of(authority, &client.arrival, StatusCode::OK)
        .of_session(authority, &session)
        .await?;
    let key_id = session.sealed_by().key_id();
    let verified = Verified {
        kind: "session",
        key_id,
        subject: escaped(session.username()),
        permissions: String::new(),
        environment: authority.settings().environment,
    };
    let mut response = verified.answer()?;
    if let Some(allowance) = session.allowance() {
        describe_allowance(response.headers_mut(), allowance);
    }
    if let Some(key_id) = key_id {
        response.extensions_mut().insert(CallingKey(key_id));
    }
    Ok(response)
}

/// Who may be let through.
struct Verified {
    kind: &'static str,
    key_id: Option<KeyId>,
    subject: String,
    permissions: String,
    environment: Environment,
}

impl Verified {
    fn of_identity(identity: &Identity, server: &Server) -> Self {
        let key_id = identity.key_id();
        Self {
            kind: identity.token().map_or("key", |_| "token"),
            key_id: Some(key_id),
            subject: key_id.to_string(),
            permissions: identity.permissions().into_owned(),
            environment: server.authority.settings().environment,
        }
    }

    fn answer(self) -> Result<Response, Problem> {
        let mut response = StatusCode::OK.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let key_id = self.key_id.map(|id| id.to_string()).unwrap_or_default();
        for (name, text) in [
            (KIND, self.kind),
            (KEY_ID, &key_id),
            (SUBJECT, &self.subject),
            (PERMISSIONS, &self.permissions),
            (ENVIRONMENT, self.environment.as_str()),
        ] {
            let text = if text.is_empty() { NOTHING } else { text };
            let value = HeaderValue::from_str(text).map_err(|_| {
                Problem::Internal(format!("what is to be said in {name} fits no header"))
            })?;
            headers.insert(name, value);
        }
        Ok(response)
    }
}

/// A name as a header can hold it: bytes that are not visible ASCII, and `%` and `,`, are
/// percent-encoded (RFC 3986 section 2.1). A comma would make two values of it (RFC 9110 section 5.3).
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b',') {
            text.push(byte.into());
        } else {
            // A string takes whatever is written to it.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The answers, for the document. They have no bodies, unlike those of all other endpoints.
struct Answers;

/// Names and descriptions.
type Headers = &'static [(&'static str, &'static str)];

const IDENTITY: Headers = &[
    ("X-Auth-Kind", "`key`, `token` or `session`"),
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
                "What is told of the client's request contradicts itself",
                &[],
            ),
            (401, "No credential, or one that is not honoured", CHALLENGE),
            (403, "The caller is known, and lacks the permission", &[]),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_told_in_visible_ascii() {
        for (name, told) in [
            ("ada", "ada"),
            ("ada@example.com", "ada@example.com"),
            ("Ada Lovelace", "Ada%20Lovelace"),
            ("zoë", "zo%C3%AB"),
            ("100%", "100%25"),
            ("ada,admin", "ada%2Cadmin"),
            ("a\r\nX-Auth-Kind: key", "a%0D%0AX-Auth-Kind:%20key"),
        ] {
            assert_eq!(escaped(name), told);
        }
    }

    proptest! {
        #[test]
        fn every_name_fits_a_header_and_no_two_are_told_alike(one: String, other: String) {
            prop_assert!(escaped(&one).bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(escaped(&one) == escaped(&other), one == other);
        }
    }
}
