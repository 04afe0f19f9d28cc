//! The headers that tell a caller what is left of its key's limit: `RateLimit-*`, as most clients
//! know them, and the two fields of draft-ietf-httpapi-ratelimit-headers-10.

use http::{HeaderMap, HeaderName, HeaderValue};
use sealgate_core::authority::Allowance;

/// Requests an hour.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
/// Requests left now.
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
/// Seconds until the whole limit is there again; of a refusal, until the next request may come.
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The time that limits are counted over, in seconds.
const WINDOW: u64 = 3_600;

/// Says what a served caller has left. What was used comes back evenly over the window.
pub(crate) fn describe_allowance(headers: &mut HeaderMap, allowance: Allowance) {
    let Allowance { limit, remaining } = allowance;
    let used = u64::from(limit.saturating_sub(remaining));
    let reset = (used * WINDOW).div_ceil(u64::from(limit.max(1)));
    describe(headers, limit, remaining, reset);
}

/// Says what is left, and for how long.
pub(crate) fn describe(headers: &mut HeaderMap, limit: u32, remaining: u32, reset: u64) {
    headers.insert(LIMIT, limit.into());
    headers.insert(REMAINING, remaining.into());
    headers.insert(RESET, reset.into());
    let fields = [
        (STATE, format!(r#""key";r={remaining};t={reset}"#)),
        (POLICY, format!(r#""key";q={limit};w={WINDOW}"#)),
    ];
    for (name, text) in fields {
        // Digits and a few marks are fit for a header.
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
