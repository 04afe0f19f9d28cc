//! Defence against guessing: a back-off of logins by account and by address, the addresses that an
//! account is known from, and a limit by address of what needs no credential.

use std::time::Duration;

use thiserror::Error;

mod buckets;
mod known;
mod limit;
mod login;
mod network;
mod recent;

pub use known::{KnownAddresses, MOST_NETWORKS};
pub use limit::AddressLimit;
pub use login::{Admission, LoginGuard};
pub use network::{Network, NotANetwork};

/// Too many attempts; after the wait the next one is admitted, unless others came in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many attempts")]
pub struct TooMany {
    /// How long to wait, exactly.
    pub retry_after: Duration,
}

impl TooMany {
    /// The wait in whole seconds, rounded up (RFC 9110 section 10.2.3).
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        let rounded_up = u64::from(self.retry_after.subsec_nanos() > 0);
        (self.retry_after.as_secs() + rounded_up).max(1)
    }

    fn wait_millis(millis: i64) -> Self {
        Self {
            retry_after: Duration::from_millis(millis.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_that_are_enough() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (900_000, 900)] {
            assert_eq!(TooMany::wait_millis(millis).retry_after_seconds(), seconds);
        }
    }
}
