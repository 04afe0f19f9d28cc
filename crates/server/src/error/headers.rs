//! The headers of an error: the challenges of a 401, when to come back, what the limit is.

use std::time::Duration;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sealgate_core::error::Reason;

use super::{CredentialKind, Problem};
use crate::layer::rate_limit::{self, Policy, seconds};

impl Problem {
    /// Adds the headers that the error has besides those of its body. `seal_key` is the header of seal
    /// keys.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap, seal_key: &HeaderName) {
        for challenge in self.challenges(seal_key) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, seconds(wait).into());
        }
        if let Self::Forbidden(denied) = self {
            describe_limit(headers, &denied.reason);
        }
    }

    /// When to come back, if that is known.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Forbidden(denied) => match denied.reason {
                Reason::RateLimited { retry_after, .. }
                | Reason::AddressLimited { retry_after, .. }
                | Reason::TooManyAttempts { retry_after, .. } => Some(retry_after),
                _ => None,
            },
            Self::Busy(retry_after) => Some(*retry_after),
            Self::Unavailable(..) | Self::DirectoryUnavailable(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The challenges of a 401 (RFC 9110 section 11.6.1, RFC 6750 section 3): for the credential that
    /// is wanted, or for either. That of a login is of no registered scheme, so that no browser asks
    /// for the password itself.
    fn challenges(&self, seal_key: &HeaderName) -> Vec<HeaderValue> {
        use CredentialKind::{Key, SealKey, Session, Token};
        let text = HeaderValue::from_static;
        let bearer = || text(r#"Bearer realm="sealgate""#);
        let bad_bearer = || text(r#"Bearer realm="sealgate", error="invalid_token""#);
        let key = || text(r#"ApiKey realm="sealgate", header="X-API-Key""#);
        match self {
            Self::CredentialMissing(None, _) | Self::CredentialRefused(Key, _) => {
                vec![bearer(), key()]
            }
            Self::CredentialMissing(Some(Key), _) => vec![key()],
            Self::CredentialMissing(Some(Token | Session), _) => vec![bearer()],
            Self::CredentialRefused(Token, _) | Self::SessionTokenRefused(_) => {
                vec![bad_bearer(), key()]
            }
            Self::CredentialRefused(Session, _) => vec![bad_bearer()],
            Self::CredentialMissing(Some(SealKey), _)
            | Self::CredentialRefused(SealKey, _)
            | Self::WrongSealKey(StatusCode::UNAUTHORIZED, _) => {
                let text = format!(r#"ApiKey realm="sealgate", header="{seal_key}""#);
                HeaderValue::try_from(text).into_iter().collect()
            }
            Self::LoginRefused(_) => vec![text(r#"Password realm="sealgate""#)],
            _ => Vec::new(),
        }
    }
}

/// Says what the limit is that was reached.
fn describe_limit(headers: &mut HeaderMap, reason: &Reason) {
    let (policy, retry_after) = match reason {
        Reason::RateLimited { limit, retry_after } => (Policy::of_key(*limit), *retry_after),
        Reason::AddressLimited { limit, retry_after } => (Policy::of_address(*limit), *retry_after),
        Reason::TooManyAttempts { retry_after, .. } => {
            (Policy::of_logins(*retry_after), *retry_after)
        }
        _ => return,
    };
    rate_limit::describe(headers, &policy, 0, retry_after);
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use sealgate_core::error::Denied;

    use super::*;

    fn denied(reason: Reason) -> Denied {
        Denied {
            reason,
            key_id: None,
        }
    }

    #[test]
    fn what_became_of_a_session_is_told_of_the_token_or_of_the_seal_key() {
        let wrong_key = Reason::WrongSealKey {
            username: "ada".into(),
        };
        for (reason, status, slug, challenge) in [
            (
                Reason::InvalidToken("expired"),
                401,
                "invalid_token",
                "Bearer",
            ),
            (Reason::UnknownKey, 401, "invalid_api_key", "x-seal"),
            (Reason::MalformedSealKey, 401, "invalid_api_key", "x-seal"),
            (Reason::SealKeyRequired, 401, "missing_api_key", "x-seal"),
            (wrong_key, 401, "decryption_failed", "x-seal"),
        ] {
            let problem = Problem::of_session(denied(reason).into(), StatusCode::UNAUTHORIZED);
            assert_eq!((problem.status().as_u16(), problem.slug()), (status, slug));
            let challenges = problem.challenges(&HeaderName::from_static("x-seal"));
            assert_eq!(challenges.len(), 1, "{problem:?}");
            assert!(
                challenges[0]
                    .to_str()
                    .unwrap_or_default()
                    .contains(challenge)
            );
            assert!(problem.denied().is_some() && problem.detail().is_none());
        }
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let retry_after = Duration::from_millis(1_001);
        let too_many = Reason::TooManyAttempts {
            username: None,
            retry_after,
        };
        for problem in [Problem::from(denied(too_many)), Problem::Busy(retry_after)] {
            let mut response = problem.clone().into_response();
            problem.write(&mut response, "id", &HeaderName::from_static("x-seal"));
            assert_eq!(response.headers()[RETRY_AFTER], "2");
        }
    }
}
