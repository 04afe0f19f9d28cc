//! The headers that tell a caller what is left of a limit: `RateLimit-*`, as most clients know them, and the two fields of draft-ietf-httpapi-ratelimit-headers-10.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sealgate_core::rate::{Allowance, RateLimit};

/// Requests within the time that the limit is counted over.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
/// Requests left now.
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// Seconds until the whole limit is there again; of a refusal, until the next request may come.
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What a limit is called, how many requests it lets through, and the time it is counted over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    name: &'static str,
    requests: u32,
    window_seconds: u64,
}

impl Policy {
    /// The limit of a key.
    pub(crate) fn of_key(limit: RateLimit) -> Self {
        Self {
            name: "key",
            requests: limit.requests(),
            window_seconds: limit.window_seconds().into(),
        }
    }

    /// The limit of an address, where no credential is needed.
    pub(crate) const fn of_address(per_minute: u32) -> Self {
        Self {
            name: "address",
            requests: per_minute,
            window_seconds: 60,
        }
    }

    /// The limit of logins after too many failures: one try each time that the wait is over.
    pub(crate) fn of_logins(wait: Duration) -> Self {
        Self {
            name: "login",
            requests: 1,
            window_seconds: seconds(wait),
        }
    }
}

/// A wait in whole seconds, rounded up (RFC 9110 section 10.2.3).
pub(crate) fn seconds(wait: Duration) -> u64 {
    let rounded_up = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + rounded_up).max(1)
}

/// Says what a served key has left.
pub(crate) fn describe_allowance(headers: &mut HeaderMap, allowance: Allowance) {
    let policy = Policy::of_key(allowance.limit);
    describe(
        headers,
        &policy,
        allowance.remaining,
        allowance.resets_after,
    );
}

/// Says what a served address has left.
pub(crate) fn describe_address(headers: &mut HeaderMap, allowance: Allowance) {
    let policy = Policy::of_address(allowance.limit.requests());
    describe(
        headers,
        &policy,
        allowance.remaining,
        allowance.resets_after,
    );
}

/// Says what is left, and for how long.
pub(crate) fn describe(headers: &mut HeaderMap, policy: &Policy, remaining: u32, reset: Duration) {
    let Policy {
        name,
        requests,
        window_seconds,
    } = policy;
    let reset = seconds(reset);
    headers.insert(LIMIT, (*requests).into());
    headers.insert(REMAINING, remaining.into());
    headers.insert(RESET, reset.into());
    let fields = [
        (STATE, format!(r#""{name}";r={remaining};t={reset}"#)),
        (
            POLICY,
            format!(r#""{name}";q={requests};w={window_seconds}"#),
        ),
    ];
    for (name, text) in fields {
        // Letters, digits and a few marks are fit for a header.
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_that_are_enough() {
        for (millis, told) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (900_000, 900)] {
            assert_eq!(seconds(Duration::from_millis(millis)), told);
        }
    }

    #[test]
    fn what_is_left_is_told_with_the_window_it_is_left_of() {
        for (requests, window, remaining, resets_after, told) in [
            (
                100,
                3_600,
                99,
                36_000,
                ["36", r#""key";r=99;t=36"#, r#""key";q=100;w=3600"#],
            ),
            (
                100,
                60,
                99,
                600,
                ["1", r#""key";r=99;t=1"#, r#""key";q=100;w=60"#],
            ),
            (
                5,
                86_400,
                0,
                86_400_000,
                ["86400", r#""key";r=0;t=86400"#, r#""key";q=5;w=86400"#],
            ),
        ] {
            let mut headers = HeaderMap::new();
            let allowance = Allowance {
                limit: RateLimit::new(requests, window).unwrap(),
                remaining,
                resets_after: Duration::from_millis(resets_after),
            };
            describe_allowance(&mut headers, allowance);
            assert_eq!(headers[LIMIT], requests.to_string());
            assert_eq!(headers[REMAINING], remaining.to_string());
            assert_eq!(
                [RESET, STATE, POLICY].map(|name| headers[name].clone()),
                told
            );
        }
    }
}
