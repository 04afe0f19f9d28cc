//! The headers that tell a caller what is left of a limit: `RateLimit-*`, as most clients know them, and the two fields of draft-ietf-httpapi-ratelimit-headers-10.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sealgate_core::authority::Allowance;
use sealgate_core::guard;

/// Requests within the time that the limit is counted over.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
/// Requests left now.
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// Seconds until the whole limit is there again; of a refusal, until the next request may come.
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What a limit is called, and the time it is counted over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    name: &'static str,
    window_seconds: u64,
}

/// The limit of a key.
pub(crate) const KEY: Policy = Policy {
    name: "key",
    window_seconds: 3_600,
};

/// The limit of an address, where no credential is needed.
pub(crate) const ADDRESS: Policy = Policy {
    name: "address",
    window_seconds: 60,
};

/// The limit of logins after too many failures: one try each time that the wait is over.
pub(crate) fn login(wait: Duration) -> Policy {
    Policy {
        name: "login",
        window_seconds: seconds(wait),
    }
}

/// A wait in whole seconds, rounded up (RFC 9110 section 10.2.3).
pub(crate) fn seconds(wait: Duration) -> u64 {
    let rounded_up = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + rounded_up).max(1)
}

/// Says what a served key has left. What was used comes back evenly over the window.
pub(crate) fn describe_allowance(headers: &mut HeaderMap, allowance: Allowance) {
    let Allowance { limit, remaining } = allowance;
    let used = u64::from(limit.saturating_sub(remaining));
    let reset = (used * KEY.window_seconds).div_ceil(u64::from(limit.max(1)));
    describe(headers, &KEY, limit, remaining, reset);
}

/// Says what a served address has left.
pub(crate) fn describe_address(headers: &mut HeaderMap, allowance: guard::Allowance) {
    let guard::Allowance {
        limit,
        remaining,
        resets_after,
    } = allowance;
    describe(headers, &ADDRESS, limit, remaining, seconds(resets_after));
}

/// Says what is left, and for how long.
pub(crate) fn describe(
    headers: &mut HeaderMap,
    policy: &Policy,
    limit: u32,
    remaining: u32,
    reset: u64,
) {
    let Policy {
        name,
        window_seconds,
    } = policy;
    headers.insert(LIMIT, limit.into());
    headers.insert(REMAINING, remaining.into());
    headers.insert(RESET, reset.into());
    let fields = [
        (STATE, format!(r#""{name}";r={remaining};t={reset}"#)),
        (POLICY, format!(r#""{name}";q={limit};w={window_seconds}"#)),
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
    fn what_was_used_comes_back_evenly_over_the_hour() {
        let mut headers = HeaderMap::new();
        let allowance = Allowance {
            limit: 100,
            remaining: 99,
        };
        describe_allowance(&mut headers, allowance);
        assert_eq!(headers[RESET], "36");
        assert_eq!(headers[STATE], r#""key";r=99;t=36"#);
        assert_eq!(headers[POLICY], r#""key";q=100;w=3600"#);
    }
}
