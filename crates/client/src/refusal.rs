//! What a request is refused with, and how that is answered.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sealgate_token::jwt::InvalidToken;
use serde_json::json;

/// How long a caller is told to wait while nothing can be verified.
const WAIT_SECONDS: u64 = 1;

/// Why a request does not get through. The caller hears the status and no reason; the reason is for the
/// service's log, and shows nothing of the credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: no credential at all.
    #[error("the request has no credential")]
    NoCredential,
    /// 401: a credential that is not honoured.
    #[error("the credential is not honoured: {0}")]
    Unauthorized(Cause),
    /// 403: the credential is good, and lacks the permission.
    #[error("the caller lacks the permission")]
    Forbidden,
    /// 400: the server can read the request's path in more than one way.
    #[error("the request's path is ambiguous")]
    Ambiguous,
    /// 429: the key's limit is used up.
    #[error("the key's limit is used up")]
    TooManyRequests {
        /// How long to wait, and what the limit is: `Retry-After` and `RateLimit` headers of Sealgate.
        headers: Box<HeaderMap>,
    },
    /// 503: it cannot be verified now, so nobody gets through.
    #[error("credentials cannot be verified now: {0}")]
    Unavailable(Outage),
}

/// What is wrong with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A header that can hold no credential, or is there twice.
    #[error("a header is malformed or there twice")]
    Malformed,
    /// The token is wrong by itself.
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// The key of the token's `kid` is not published, or not honoured any more.
    #[error("the token names a key that is not published, or not honoured any more")]
    UnknownKey,
    /// The token, its key, its session or all sessions of its user were ended.
    #[error("the token was revoked")]
    Revoked,
    /// It was issued for longer than the list of revocations tells of, so that only the server knows
    /// whether it was revoked: a lifetime was lowered, or another server has a longer one.
    #[error("the token lives for longer than the list of revocations vouches for")]
    TooLongLived,
    /// The user data was sealed with another seal key.
    #[error("the session was sealed with another seal key")]
    WrongSealKey,
    /// A session token without a seal key of its own.
    #[error("the session came without its seal key")]
    NoSealKey,
    /// A kind of credential that only the server can verify, and the server is not asked.
    #[error("only the server can verify it, and it is not asked")]
    NotLocal,
    /// The server says so; its audit log has the reason.
    #[error("Sealgate refuses it")]
    Server,
}

/// Why nothing can be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// Keys and revocations have not come yet.
    #[error("nothing has been fetched yet")]
    NotReady,
    /// The revocations are older than they may be.
    #[error("the revocations are {} seconds old", .0.as_secs())]
    Stale(Duration),
    /// The server was asked, and gave no answer that counts.
    #[error(transparent)]
    Server(#[from] crate::Error),
}

impl Refusal {
    /// The status it is answered with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential | Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The slug, and a sentence for people.
    const fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::NoCredential => ("missing_credential", "A credential is required"),
            Self::Unauthorized(_) => ("invalid_credential", "The credential is not honoured"),
            Self::Forbidden => ("permission_denied", "The permission is missing"),
            Self::Ambiguous => ("bad_request", "The path is ambiguous"),
            Self::TooManyRequests { .. } => ("rate_limited", "Too many requests"),
            Self::Unavailable(_) => ("service_unavailable", "Credentials cannot be verified now"),
        }
    }

    fn headers(self) -> HeaderMap {
        match self {
            // RFC 6750 section 3: without a credential, no error is named.
            Self::NoCredential => one(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::Unauthorized(_) => one(
                WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer error="invalid_token""#),
            ),
            Self::Forbidden | Self::Ambiguous => HeaderMap::new(),
            Self::TooManyRequests { headers } => *headers,
            Self::Unavailable(_) => one(RETRY_AFTER, WAIT_SECONDS.into()),
        }
    }
}

impl From<InvalidToken> for Refusal {
    fn from(invalid: InvalidToken) -> Self {
        Self::Unauthorized(invalid.into())
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self::Unauthorized(cause)
    }
}

impl From<Outage> for Refusal {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(outage)
    }
}

/// The error as Sealgate's own are shaped, but for the identifier of a request that it has not seen.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let (error, message) = self.words();
        let body = json!({"error": error, "message": message, "status_code": status.as_u16()});
        (status, self.headers(), Json(body)).into_response()
    }
}

fn one(name: HeaderName, value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(name, value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_hears_the_status_and_not_the_reason() {
        let limited = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let headers = Box::new(limited);
        for (refusal, status, header) in [
            (Refusal::NoCredential, 401, Some("www-authenticate")),
            (Cause::Revoked.into(), 401, Some("www-authenticate")),
            (Refusal::Forbidden, 403, None),
            (Refusal::Ambiguous, 400, None),
            (
                Refusal::TooManyRequests { headers },
                429,
                Some("retry-after"),
            ),
            (Outage::NotReady.into(), 503, Some("retry-after")),
        ] {
            let response = refusal.into_response();
            assert_eq!(response.status(), status);
            if let Some(header) = header {
                assert!(response.headers().contains_key(header), "{header}");
            }
        }
        let revoked = Refusal::from(Cause::Revoked);
        assert!(!revoked.words().1.contains("revoked"));
    }
}
