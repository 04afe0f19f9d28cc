//! What Envoy is told.
//!
//! The `code` of the answer's `status` alone decides whether Envoy lets a request through: a missing one
//! is 0, which is OK, whatever else the answer says. So every answer has one.

use envoy_types::ext_authz::v3::pb::{
    CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValueOption, HttpResponse,
    HttpStatus, OkHttpResponse,
};
use envoy_types::pb::envoy::config::core::v3::HeaderValue as EnvoyHeader;
use envoy_types::pb::google::rpc;
use http::header::{CACHE_CONTROL, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::Code;

use super::question::Question;
use crate::error::Problem;
use crate::gate::{Cookies, Gate, Passed, Refused, is_spelling_of};
use crate::layer::arrival::REQUEST_ID;
use crate::layer::rate_limit;

/// Let it through, with these headers in place of the client's, and without these.
pub(super) fn let_through(
    gate: &Gate,
    question: &Question<'_>,
    passed: &Passed,
) -> Result<CheckResponse, Problem> {
    let mut headers = HeaderMap::with_capacity(8);
    if let Cookies::These(line) = passed.cookies(&question.headers) {
        headers.insert(COOKIE, line);
    }
    for (name, value) in passed.injected(&question.headers) {
        headers.insert(name, value);
    }
    gate.write_identity(passed, &mut headers)?;
    let mut limit = HeaderMap::new();
    if let Some(allowance) = passed.allowance() {
        rate_limit::describe_allowance(&mut limit, allowance);
    }
    Ok(CheckResponse {
        status: Some(status(Code::Ok)),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            // Envoy removes after it has set.
            headers_to_remove: to_remove(gate, question, passed, &headers),
            headers: options(&headers)?,
            response_headers_to_add: options(&limit)?,
            ..OkHttpResponse::default()
        })),
        ..CheckResponse::default()
    })
}

/// The credentials and what other rules add, unless the rule puts something in their place, and what
/// could be taken for a header of ours.
fn to_remove(
    gate: &Gate,
    question: &Question<'_>,
    passed: &Passed,
    headers: &HeaderMap,
) -> Vec<String> {
    let credentials = gate.credential_headers();
    let identity = gate.identity_headers().names().into_iter();
    let ours = identity.chain(&credentials).map(HeaderName::as_str);
    let ours: Vec<&str> = ours.chain(passed.reserved()).collect();
    let unsaid = credentials.iter().map(HeaderName::as_str);
    let unsaid = unsaid.chain(passed.reserved());
    let lookalikes = question.names().filter(|name| {
        let is_lookalike = |known: &&str| is_spelling_of(name, known);
        ours.iter().any(is_lookalike)
    });
    let mut names: Vec<String> = unsaid
        .chain(lookalikes)
        .filter(|name| !headers.contains_key(*name))
        .map(str::to_ascii_lowercase)
        .collect();
    if passed.cookies(&question.headers) == Cookies::Nothing && !headers.contains_key(COOKIE) {
        names.push(COOKIE.as_str().to_owned());
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Answer the client with this.
pub(super) fn turn_away(gate: &Gate, refused: &Refused) -> CheckResponse {
    let Refused {
        problem,
        request_id,
    } = refused;
    let mut headers = HeaderMap::new();
    problem.add_headers(&mut headers, gate.seal_key_header());
    headers.insert(REQUEST_ID, (*request_id).into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    CheckResponse {
        status: Some(status(code(problem.status()))),
        // Not an `error_response`, which `failure_mode_allow` would let through.
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus {
                code: problem.status().as_u16().into(),
            }),
            // All values that we write are text.
            headers: options(&headers).unwrap_or_default(),
            body: String::new(),
        })),
        ..CheckResponse::default()
    }
}

/// What gRPC calls it. Envoy knows only whether it is OK, and can log the rest.
const fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    }
}

fn status(code: Code) -> rpc::Status {
    rpc::Status {
        code: code.into(),
        ..rpc::Status::default()
    }
}

/// Headers as Envoy takes them: the first of a name takes the place of all that are there.
fn options(headers: &HeaderMap) -> Result<Vec<HeaderValueOption>, Problem> {
    let mut options = Vec::with_capacity(headers.len());
    for name in headers.keys() {
        let mut action = HeaderAppendAction::OverwriteIfExistsOrAdd;
        for value in headers.get_all(name) {
            options.push(option(name, value, action)?);
            action = HeaderAppendAction::AppendIfExistsOrAdd;
        }
    }
    Ok(options)
}

fn option(
    name: &HeaderName,
    value: &HeaderValue,
    action: HeaderAppendAction,
) -> Result<HeaderValueOption, Problem> {
    // Envoy takes no other bytes here, though the message has a place for them.
    let value = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Problem::Internal(format!("what is to be said in {name} is no UTF-8")))?;
    Ok(HeaderValueOption {
        header: Some(EnvoyHeader {
            key: name.as_str().to_owned(),
            value: value.to_owned(),
            ..EnvoyHeader::default()
        }),
        append_action: action.into(),
        ..HeaderValueOption::default()
    })
}
