//! The two questions that bring a token, and how their answers are read.

use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::secret::{AccessToken, ManagedKey};
use crate::credential::API_KEY;
use crate::error::Error;
use crate::sealgate::{Answer, Question, Sealgate};

const EXCHANGE: &str = "/api/auth/token";
const RENEW: &str = "/api/auth/token/renew";

/// Longest answer that is read, in bytes. A token has 8 KiB at most.
const MAX_ANSWER: usize = 64 * 1024;

/// How long to wait where a 429 does not say.
const UNKNOWN_WAIT: Duration = Duration::from_secs(5);

/// A token, and for how long it is good.
pub(super) struct Grant {
    pub token: AccessToken,
    pub lifetime: Duration,
}

/// Exchanges a managed key for a token.
pub(super) async fn exchange(sealgate: &Sealgate, key: &ManagedKey) -> Result<Grant, Error> {
    post(sealgate, EXCHANGE, API_KEY, key.header()).await
}

/// Exchanges a token for a later one.
pub(super) async fn renew(sealgate: &Sealgate, token: &AccessToken) -> Result<Grant, Error> {
    post(sealgate, RENEW, AUTHORIZATION, token.header()).await
}

async fn post(
    sealgate: &Sealgate,
    path: &str,
    name: HeaderName,
    credential: &HeaderValue,
) -> Result<Grant, Error> {
    let question = Question {
        method: Method::POST,
        path,
        headers: HeaderMap::from_iter([(name, credential.clone())]),
        limit: MAX_ANSWER,
    };
    read(&sealgate.ask(&question).await?)
}

/// What there is in the answer that is needed here.
#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
    expires_in: u64,
    token_type: String,
}

fn read(answer: &Answer) -> Result<Grant, Error> {
    match answer.status {
        StatusCode::OK => (),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let status = answer.status.as_u16();
            return Err(Error::Refused { status });
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after = retry_after(&answer.headers);
            return Err(Error::TooManyRequests { retry_after });
        }
        status => {
            let message = format!("it has status {}", status.as_u16());
            return Err(Error::Answer(message));
        }
    }
    // An error of the JSON reader would show what it read.
    let not_a_token = || Error::Answer("there is no access token in it".to_owned());
    let told: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| not_a_token())?;
    let token = AccessToken::new(told.token).ok_or_else(not_a_token)?;
    if !told.token_type.eq_ignore_ascii_case("bearer") || told.expires_in == 0 {
        return Err(not_a_token());
    }
    Ok(Grant {
        token,
        lifetime: Duration::from_secs(told.expires_in.min(u32::MAX.into())),
    })
}

/// Seconds (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    let seconds = value.and_then(|text| text.parse().ok());
    seconds.map_or(UNKNOWN_WAIT, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_token_and_its_lifetime_are_read() {
        let body = r#"{"token":"abc","expires_in":3600,"token_type":"Bearer","key_id":"x"}"#;
        let grant = read(&answer(200, body)).unwrap();
        assert_eq!(grant.token.expose(), "abc");
        assert_eq!(grant.lifetime, Duration::from_hours(1));
    }

    #[test]
    fn an_answer_without_a_token_is_none_and_nothing_of_it_is_shown() {
        for body in [
            "",
            "hunter2",
            r#"{"token":7}"#,
            r#"{"token":"hunter2"}"#,
            r#"{"token":"hunter2","expires_in":0,"token_type":"Bearer"}"#,
            r#"{"token":"hunter2","expires_in":-1,"token_type":"Bearer"}"#,
            r#"{"token":"hunter2","expires_in":60,"token_type":"DPoP"}"#,
            r#"{"token":"hunter 2","expires_in":60,"token_type":"Bearer"}"#,
        ] {
            let Err(error) = read(&answer(200, body)) else {
                panic!("{body}");
            };
            assert!(matches!(error, Error::Answer(_)), "{body}");
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
    }

    #[test]
    fn statuses_are_refusals_limits_or_failures() {
        for status in [401, 403] {
            let got = read(&answer(status, "")).err();
            assert_eq!(got, Some(Error::Refused { status }));
        }
        let limited = |value: &'static str| {
            let mut answer = answer(429, "");
            let value = HeaderValue::from_static(value);
            answer.headers.insert(RETRY_AFTER, value);
            read(&answer).err()
        };
        for (value, retry_after) in [("7", Duration::from_secs(7)), ("soon", UNKNOWN_WAIT)] {
            let expected = Error::TooManyRequests { retry_after };
            assert_eq!(limited(value), Some(expected));
        }
        for status in [204, 302, 404, 500, 503] {
            assert!(matches!(read(&answer(status, "")), Err(Error::Answer(_))));
        }
    }
}
