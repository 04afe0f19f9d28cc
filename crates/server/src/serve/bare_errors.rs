//! Errors that the router never hears of, because what came is no request: [`BareError`].

use std::net::SocketAddr;

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use super::{BareErrorHook, ClientAddress, ServeOptions};
use crate::error::Envelope;
use crate::layer::arrival::REQUEST_ID;
use crate::request_id::{RequestId, RequestIds};

/// Something a client sent that is no request. It holds nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareError {
    /// What is wrong with it.
    pub fault: Fault,
    /// Who sent it.
    pub client: SocketAddr,
    /// The identifier that the client was told.
    pub request_id: RequestId,
}

/// What can be wrong with what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is not well-formed HTTP, or can be understood in more than one way.
    Malformed,
    /// It is plain HTTP, and this port speaks TLS.
    NotTls,
    /// The request's head began and did not end in time.
    HeadTimeout,
    /// The URI is too long.
    UriTooLong,
    /// The request's head is too large, or has too many headers.
    HeadTooLarge,
}

impl Fault {
    /// The status it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::NotTls => StatusCode::BAD_REQUEST,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// The stable name of the error.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Malformed | Self::NotTls => "bad_request",
            Self::HeadTimeout => "request_timeout",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "headers_too_large",
        }
    }

    /// What the client is told.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Malformed => "the request is not well-formed HTTP",
            Self::NotTls => "this port speaks HTTPS: use https:// in the address",
            Self::HeadTimeout => "the head of the request did not arrive in time",
            Self::UriTooLong => "the URI of the request is too long",
            Self::HeadTooLarge => "the head of the request is too large",
        }
    }

    /// What hyper found when it refused with this status.
    pub(super) fn of_refusal(status: StatusCode) -> Self {
        match status {
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HeadTooLarge,
            _ => Self::Malformed,
        }
    }
}

/// Where bare errors are made: each gets its identifier, and the hook hears of it.
pub(super) struct BareErrors {
    ids: RequestIds,
    hook: BareErrorHook,
}

impl BareErrors {
    pub(super) fn new(options: &ServeOptions) -> Self {
        Self {
            ids: options.request_ids.clone(),
            hook: options.on_bare_error.clone(),
        }
    }

    pub(super) fn report(&self, fault: Fault, ClientAddress(client): ClientAddress) -> BareError {
        let error = BareError {
            fault,
            client,
            request_id: self.ids.next(),
        };
        (self.hook)(&error);
        error
    }
}

const JSON: &str = "application/json";

impl BareError {
    /// The answer, where there is an HTTP implementation to send it.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.envelope()));
        *response.status_mut() = self.fault.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REQUEST_ID, self.request_id.into());
        response
    }

    /// The same for a connection of HTTP/1 that is to be closed.
    pub(super) fn last_response(&self) -> Response<Body> {
        let mut response = self.response();
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// The answer as it is written to a connection of HTTP/1 that ends with it.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (status, envelope) = (self.fault.status(), self.envelope());
        format!(
            "HTTP/1.1 {} {}\r\n\
             content-type: {JSON}\r\n\
             content-length: {}\r\n\
             cache-control: no-store\r\n\
             {REQUEST_ID}: {}\r\n\
             connection: close\r\n\
             \r\n\
             {envelope}",
            status.as_str(),
            status.canonical_reason().unwrap_or_default(),
            envelope.len(),
            self.request_id,
        )
        .into_bytes()
    }

    fn envelope(&self) -> String {
        let envelope = Envelope {
            error: self.fault.slug(),
            message: self.fault.message().into(),
            status_code: self.fault.status().as_u16(),
            request_id: &self.request_id.to_string(),
        };
        serde_json::to_string(&envelope).expect("texts and a number can be written as JSON")
    }
}
