//! Request identifiers: what joins an answer, its log lines and its audit records.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use sealgate_core::clock::{Clock, SystemClock};
use sealgate_core::random::{self, PooledRandom, Random};
use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The identifier of one request: a UUID of version 7 (RFC 9562), so that identifiers sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl From<RequestId> for Uuid {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl From<RequestId> for HeaderValue {
    fn from(id: RequestId) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        let text = id.0.as_hyphenated().encode_lower(&mut text);
        Self::from_str(text).expect("hexadecimal digits and hyphens are fit for a header")
    }
}

/// Where request identifiers come from.
#[derive(Clone)]
pub struct RequestIds {
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

impl RequestIds {
    /// Identifiers from a random source and a clock.
    #[must_use]
    pub fn new(random: Arc<dyn Random>, clock: Arc<dyn Clock>) -> Self {
        Self { random, clock }
    }

    /// An identifier that no other request has.
    #[must_use]
    pub fn next(&self) -> RequestId {
        RequestId(random::uuid(self.random.as_ref(), self.clock.now()))
    }
}

/// Identifiers from the operating system's random source and clock.
impl Default for RequestIds {
    fn default() -> Self {
        Self::new(Arc::new(PooledRandom::default()), Arc::new(SystemClock))
    }
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestIds")
    }
}

#[cfg(test)]
mod tests {
    use sealgate_core::clock::{ManualClock, Timestamp};
    use sealgate_core::random::SeededRandom;

    use super::*;

    #[test]
    fn identifiers_differ_and_sort_by_time() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let ids = RequestIds::new(Arc::new(SeededRandom::new(1)), clock.clone());
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        clock.advance_millis(1);
        let third = ids.next();
        assert!(first < third && second < third);
    }

    #[test]
    fn text_header_and_json_are_the_same_hyphenated_form() {
        let id = RequestIds::default().next();
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(HeaderValue::from(id), text.as_str());
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
    }
}
