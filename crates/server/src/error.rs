//! The one place where a refusal or a failure becomes an answer. Handlers, extractors and layers
//! return a [`Problem`]; the layer `envelope` writes it out, with the request's
//! identifier, and sends what is not for the caller to the audit log and the operator's log.

mod headers;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use sealgate_core::error::{Denied, Error, Reason};
use sealgate_core::redact::redact;
use sealgate_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// What every error looks like, from whatever layer it comes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Envelope<'a> {
    /// What it is, in one word that does not change: programs can tell errors apart by it.
    #[schema(example = "invalid_api_key")]
    pub error: &'static str,
    /// What it is, for people.
    #[schema(value_type = String, example = "Invalid API key")]
    pub message: Cow<'a, str>,
    /// The status of the answer, once more.
    #[schema(example = 401)]
    pub status_code: u16,
    /// The request's identifier, also in the header `X-Request-Id`: what an operator finds the log
    /// lines by.
    #[schema(example = "0199c2a0-6f3e-7c41-8f0a-3d5b7e9a1c24")]
    pub request_id: &'a str,
}

/// Which credential a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A managed key, of the header `X-API-Key`.
    Key,
    /// A token, of the header `Authorization`.
    Token,
    /// A session token, of the header `Authorization`.
    Session,
    /// A seal key, of the header that the settings name.
    SealKey,
}

/// What a body has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

impl MediaType {
    /// As it stands in the header `Content-Type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// Why a request is not answered as asked.
#[derive(Clone, Debug)]
pub enum Problem {
    /// No credential, or not the one kind that is taken here.
    CredentialMissing(Option<CredentialKind>, Denied),
    /// A credential that is not honoured; the reason is not for the caller.
    CredentialRefused(CredentialKind, Denied),
    /// A session token where managed keys and access tokens are taken, whether it is any good or not.
    SessionTokenRefused(Denied),
    /// A session that was sealed with another key; the status is the operator's choice.
    WrongSealKey(StatusCode, Denied),
    /// A user name and a password that do not log anybody in; why not is not for the caller.
    LoginRefused(Denied),
    /// A caller that may not, or not now.
    Forbidden(Denied),
    /// A field that is not as it has to be.
    Invalid {
        /// Which.
        field: Cow<'static, str>,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// A request at a gate of which it cannot be said what it is: the field at fault, what is wrong with
    /// it, and the refusal.
    Ambiguous(Cow<'static, str>, String, Denied),
    /// No such thing.
    NotFound(&'static str),
    /// No route with this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// Not in the state that things are in.
    Conflict(String),
    /// A body of more bytes than this.
    PayloadTooLarge(usize),
    /// A body that is not of the media type that is taken.
    UnsupportedMediaType(MediaType),
    /// A managed key where a token is revoked (RFC 7009 section 2.2.1).
    UnsupportedTokenType,
    /// There is too much to do at once.
    Busy(Duration),
    /// The directory of users is away; the text is for the log.
    DirectoryUnavailable(String),
    /// Something is away; the first text is for the caller, the second for the log.
    Unavailable(Cow<'static, str>, String),
    /// The service behind the gateway does not answer as it has to; the first text is for the caller,
    /// the second for the log.
    BadGateway(&'static str, String),
    /// The service behind the gateway does not answer in time.
    GatewayTimeout(Duration),
    /// Something is broken; the text is for the log.
    Internal(String),
}

impl Problem {
    /// A [`Problem::Invalid`] from whatever describes itself.
    pub fn invalid(field: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self::Invalid {
            field: field.into(),
            message: message.to_string(),
        }
    }

    /// A [`Problem::Ambiguous`] from whatever describes itself.
    pub(crate) fn ambiguous(
        field: impl Into<Cow<'static, str>>,
        message: impl fmt::Display,
    ) -> Self {
        let denied = Denied {
            reason: Reason::AmbiguousRequest,
            key_id: None,
        };
        Self::Ambiguous(field.into(), message.to_string(), denied)
    }

    /// A refused credential; what was refused for another reason keeps that reason's answer.
    pub fn refused(kind: CredentialKind, denied: Denied) -> Self {
        match Self::from(denied) {
            Self::CredentialRefused(_, denied) => Self::CredentialRefused(kind, denied),
            other => other,
        }
    }

    /// An answer that did not come within the time there is.
    pub(crate) fn took_too_long(limit: Duration) -> Self {
        let detail = format!("no answer within {limit:?}");
        Self::Unavailable("the answer took too long".into(), detail)
    }

    /// What became of a session: whatever is wrong with a key, it is the seal key that is meant.
    pub(crate) fn of_session(error: Error, wrong_key: StatusCode) -> Self {
        match Self::from(error) {
            Self::CredentialRefused(CredentialKind::Token, denied) => {
                Self::CredentialRefused(CredentialKind::Session, denied)
            }
            Self::CredentialRefused(CredentialKind::Key, denied) => {
                Self::CredentialRefused(CredentialKind::SealKey, denied)
            }
            Self::WrongSealKey(_, denied) => Self::WrongSealKey(wrong_key, denied),
            other => other,
        }
    }

    /// The stable slug.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::CredentialMissing(Some(CredentialKind::Token | CredentialKind::Session), _) => {
                "missing_token"
            }
            Self::CredentialMissing(..) => "missing_api_key",
            Self::CredentialRefused(CredentialKind::Key | CredentialKind::SealKey, _) => {
                "invalid_api_key"
            }
            Self::CredentialRefused(..) | Self::SessionTokenRefused(_) => "invalid_token",
            Self::WrongSealKey(..) => "decryption_failed",
            Self::LoginRefused(_) => "invalid_credentials",
            Self::Forbidden(denied) => match denied.reason {
                Reason::RateLimited { .. } | Reason::AddressLimited { .. } => "rate_limited",
                Reason::TooManyAttempts { .. } => "too_many_attempts",
                Reason::NotAdmin => "admin_required",
                Reason::OwnKey => "own_key",
                _ => "permission_denied",
            },
            Self::Invalid { .. } | Self::Ambiguous(..) => "invalid_request",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict(_) => "conflict",
            Self::PayloadTooLarge(_) => "payload_too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::Busy(_) => "busy",
            Self::DirectoryUnavailable(_) => "directory_unavailable",
            Self::Unavailable(..) => "service_unavailable",
            Self::BadGateway(..) => "bad_gateway",
            Self::GatewayTimeout(_) => "gateway_timeout",
            Self::Internal(_) => "internal_error",
        }
    }

    /// The status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::CredentialMissing(..)
            | Self::CredentialRefused(..)
            | Self::SessionTokenRefused(_)
            | Self::LoginRefused(_) => StatusCode::UNAUTHORIZED,
            Self::WrongSealKey(status, _) => *status,
            Self::Forbidden(denied) => match denied.reason {
                Reason::RateLimited { .. }
                | Reason::AddressLimited { .. }
                | Reason::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::FORBIDDEN,
            },
            Self::Invalid { .. } | Self::Ambiguous(..) | Self::UnsupportedTokenType => {
                StatusCode::BAD_REQUEST
            }
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::PayloadTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Busy(_) | Self::DirectoryUnavailable(_) | Self::Unavailable(..) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadGateway(..) => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the caller is told. Texts that could repeat what the caller sent are redacted.
    pub fn message(&self) -> Cow<'_, str> {
        match self {
            Self::CredentialMissing(wanted, _) => missing_message(*wanted).into(),
            Self::CredentialRefused(CredentialKind::Key | CredentialKind::SealKey, _) => {
                "Invalid API key".into()
            }
            Self::CredentialRefused(..) => "Invalid or expired token".into(),
            Self::SessionTokenRefused(_) => {
                "A session token is not taken here: send an API key or an access token".into()
            }
            Self::WrongSealKey(..) => "Failed to decrypt data with API key".into(),
            Self::LoginRefused(_) => "Invalid username or password".into(),
            Self::Forbidden(denied) => forbidden_message(&denied.reason),
            Self::Invalid { field, message } | Self::Ambiguous(field, message, _) => {
                redact(&format!("{}: {message}", redact(field))).into()
            }
            Self::NotFound(what) => format!("no such {what}").into(),
            Self::MethodNotAllowed => {
                "this path does not take the method; the header Allow names those it takes".into()
            }
            Self::RequestTimeout => "the request's body did not arrive in time".into(),
            Self::Conflict(message) => redact(message).into(),
            Self::PayloadTooLarge(limit) => format!("a body has at most {limit} bytes here").into(),
            Self::UnsupportedMediaType(wanted) => wanted_message(*wanted).into(),
            Self::UnsupportedTokenType => {
                "A managed key is revoked by its identifier: POST /api/auth/keys/{id}/revoke".into()
            }
            Self::Busy(_) => "too much is asked for at once".into(),
            Self::DirectoryUnavailable(_) => {
                "The user directory cannot be used at the moment".into()
            }
            Self::Unavailable(message, _) => message.as_ref().into(),
            Self::BadGateway(message, _) => (*message).into(),
            Self::GatewayTimeout(limit) => {
                let seconds = limit.as_secs();
                format!("the service behind this gateway did not answer within {seconds} s").into()
            }
            Self::Internal(_) => {
                "something went wrong here; the operator finds it under the request_id".into()
            }
        }
    }

    /// The refusal behind it, for the audit log.
    pub const fn denied(&self) -> Option<&Denied> {
        match self {
            Self::CredentialMissing(_, denied)
            | Self::CredentialRefused(_, denied)
            | Self::SessionTokenRefused(denied)
            | Self::WrongSealKey(_, denied)
            | Self::LoginRefused(denied)
            | Self::Ambiguous(_, _, denied)
            | Self::Forbidden(denied) => Some(denied),
            _ => None,
        }
    }

    /// What the operator's log says and the caller is not told.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::DirectoryUnavailable(detail)
            | Self::Unavailable(_, detail)
            | Self::BadGateway(_, detail)
            | Self::Internal(detail) => Some(detail),
            Self::GatewayTimeout(_) => Some("the service did not answer in time"),
            _ => None,
        }
    }

    /// Fills an answer in; headers that it has already stay. `seal_key` is the header of seal keys.
    pub(crate) fn write(&self, response: &mut Response, request_id: &str, seal_key: &HeaderName) {
        self.write_with(response, self.message(), request_id, seal_key);
    }

    /// As [`Self::write`], with another message.
    pub(crate) fn write_with(
        &self,
        response: &mut Response,
        message: Cow<'_, str>,
        request_id: &str,
        seal_key: &HeaderName,
    ) {
        let envelope = Envelope {
            error: self.slug(),
            message,
            status_code: self.status().as_u16(),
            request_id,
        };
        let body = serde_json::to_vec(&envelope).unwrap_or_default();
        *response.status_mut() = self.status();
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.add_headers(headers, seal_key);
    }
}

/// What a caller hears whom the policy lets not pass.
pub(crate) const DENIED: &str = "This request may not pass";

const fn missing_message(wanted: Option<CredentialKind>) -> &'static str {
    match wanted {
        None => "API key or token is required",
        Some(CredentialKind::Key | CredentialKind::SealKey) => "API key is required",
        Some(CredentialKind::Token) => "Access token is required",
        Some(CredentialKind::Session) => "Session token is required",
    }
}

const fn wanted_message(wanted: MediaType) -> &'static str {
    match wanted {
        MediaType::Json => "send the body as JSON, with Content-Type: application/json",
        MediaType::Form => {
            "send the body as a form, with Content-Type: application/x-www-form-urlencoded"
        }
    }
}

fn forbidden_message(reason: &Reason) -> Cow<'static, str> {
    match reason {
        Reason::RateLimited { limit, .. } => format!("This key may make {limit}").into(),
        Reason::AddressLimited { limit, .. } => {
            format!("This address may make {limit} requests a minute").into()
        }
        Reason::TooManyAttempts { .. } => {
            "Too many failed logins: the header Retry-After tells when to try again".into()
        }
        Reason::MissingPermission(needed) => {
            format!("This key lacks the permission {needed}").into()
        }
        Reason::NotAdmin => "An administrator's key is required".into(),
        Reason::OwnKey => {
            "A key cannot revoke or disable itself: use another administrator's key".into()
        }
        // Why the policy says no is for the operator: a caller is not told what it has rules about.
        Reason::RouteClosed
        | Reason::CredentialKindNotAllowed
        | Reason::RouteEnvironment
        | Reason::MissingValue(_) => DENIED.into(),
        _ => "This key may not do this".into(),
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied.reason {
            Reason::MissingPermission(_)
            | Reason::NotAdmin
            | Reason::RouteClosed
            | Reason::CredentialKindNotAllowed
            | Reason::RouteEnvironment
            | Reason::MissingValue(_)
            | Reason::OwnKey
            | Reason::RateLimited { .. }
            | Reason::AddressLimited { .. }
            | Reason::TooManyAttempts { .. } => Self::Forbidden(denied),
            Reason::LoginFailed { .. } => Self::LoginRefused(denied),
            Reason::WrongSealKey { .. } => {
                Self::WrongSealKey(StatusCode::INTERNAL_SERVER_ERROR, denied)
            }
            Reason::SealKeyRequired => {
                Self::CredentialMissing(Some(CredentialKind::SealKey), denied)
            }
            Reason::MalformedSealKey => Self::CredentialRefused(CredentialKind::SealKey, denied),
            Reason::NoCredential => Self::CredentialMissing(None, denied),
            Reason::InvalidToken(_) => Self::CredentialRefused(CredentialKind::Token, denied),
            _ => Self::CredentialRefused(CredentialKind::Key, denied),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(denied) => denied.into(),
            Error::Invalid { field, message } => Self::invalid(field, message),
            Error::NotFound(what) => Self::NotFound(what),
            Error::Conflict(message) => Self::Conflict(message),
            Error::Unavailable(ref cause @ StoreError::Unconfirmed(_)) => Self::Unavailable(
                "it is not known whether this was written: look before you repeat it".into(),
                cause.to_string(),
            ),
            Error::Unavailable(ref cause) => {
                Self::Unavailable(error.to_string().into(), cause.to_string())
            }
            Error::LimitsUnavailable => {
                let detail = "who counts for all processes does not answer".to_owned();
                Self::Unavailable(error.to_string().into(), detail)
            }
            Error::Busy { retry_after } => Self::Busy(retry_after),
            Error::DirectoryUnavailable(detail) => Self::DirectoryUnavailable(detail),
            Error::Internal(detail) => Self::Internal(detail),
        }
    }
}

impl IntoResponse for Problem {
    /// An answer without a body: the problem travels along, until the layer that knows the
    /// request's identifier writes it out.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";

    fn denied(reason: Reason) -> Denied {
        Denied {
            reason,
            key_id: None,
        }
    }

    #[test]
    fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
        let reasons = [
            Reason::UnknownKey,
            Reason::MistypedKey,
            Reason::OtherEnvironment,
            Reason::AddressNotAllowed,
        ];
        for reason in reasons {
            let problem = Problem::refused(CredentialKind::Key, denied(reason));
            assert_eq!(problem.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(problem.slug(), "invalid_api_key");
            assert_eq!(problem.message(), "Invalid API key");
        }
    }

    #[test]
    fn what_could_repeat_the_callers_words_is_redacted() {
        let problems = [
            Problem::invalid("permissions", format!("`{KEY}` is not a permission")),
            Problem::invalid(KEY.to_owned(), "unknown"),
            Problem::Conflict(KEY.to_owned()),
        ];
        for problem in problems {
            assert!(!problem.message().contains("UVZuhD7EF5C7"), "{problem:?}");
        }
    }

    #[test]
    fn what_is_internal_stays_inside() {
        let problem = Problem::Internal("the disk is full".into());
        assert!(!problem.message().contains("disk"));
        assert_eq!(problem.detail(), Some("the disk is full"));
    }
}
