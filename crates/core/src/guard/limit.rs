//! A limit of requests by address, for what needs no credential.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::recent::{Fingerprints, Recent};
use super::{Network, TooMany};
use crate::clock::Clock;
use crate::random::Random;
use crate::rate::{Allowance, Nanos, RateLimit, UNUSED};

/// Networks remembered, at most: some 4 MB. A network that is forgotten has all its requests again;
/// to make that happen takes requests from 50,000 others within the minute.
const NETWORKS: usize = 100_000;
const MINUTE_SECONDS: u32 = 60;

/// Lets each network make so many requests a minute: as many at once, and then one each time that
/// its share of the minute has passed.
pub struct AddressLimit {
    clock: Arc<dyn Clock>,
    fingerprints: Fingerprints,
    limit: RateLimit,
    /// When all requests of a network will be there again.
    full_again: Mutex<Recent<Nanos>>,
}

impl AddressLimit {
    /// A limit of `per_minute` requests for each network; none if that is zero.
    pub fn new(clock: Arc<dyn Clock>, random: &dyn Random, per_minute: u32) -> Option<Self> {
        let limit = RateLimit::new(per_minute, MINUTE_SECONDS).ok()?;
        Some(Self {
            clock,
            fingerprints: Fingerprints::new(random),
            limit,
            full_again: Mutex::new(Recent::new(NETWORKS)),
        })
    }

    /// Requests a minute.
    #[must_use]
    pub const fn per_minute(&self) -> u32 {
        self.limit.requests()
    }

    /// Takes one request off what the address's network may do.
    ///
    /// # Errors
    /// [`TooMany`] if there is none left; what is refused takes nothing off.
    pub fn spend(&self, address: IpAddr) -> Result<Allowance, TooMany> {
        let network = Network::of(address).to_string();
        let print = self.fingerprints.of(&[network.as_bytes()]);
        let mut full_again = self
            .full_again
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock, or else a later reading could be taken for the earlier one.
        let now = self.clock.now();
        let before = full_again.find(print).map_or(UNUSED, |at| *at);
        let taken = self.limit.take(before, now);
        full_again.insert(print, taken.full_again);
        taken.outcome.map_err(|retry_after| TooMany { retry_after })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::random::SeededRandom;

    fn limit(per_minute: u32) -> (AddressLimit, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let limit = AddressLimit::new(clock.clone(), &SeededRandom::new(1), per_minute);
        (limit.unwrap(), clock)
    }

    fn here() -> IpAddr {
        [203, 0, 113, 9].into()
    }

    #[test]
    fn all_of_a_minute_may_come_at_once_and_then_each_in_its_time() {
        let (limit, clock) = limit(60);
        for remaining in (0..60).rev() {
            let allowance = limit.spend(here()).unwrap();
            assert_eq!(
                (allowance.limit.requests(), allowance.remaining),
                (60, remaining)
            );
        }
        let refused = limit.spend(here()).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(1));
        clock.advance_millis(999);
        assert!(limit.spend(here()).is_err());
        clock.advance_millis(1);
        let allowance = limit.spend(here()).unwrap();
        assert_eq!(allowance.remaining, 0);
        assert_eq!(allowance.resets_after, Duration::from_mins(1));
        clock.advance_millis(60_000);
        assert_eq!(limit.spend(here()).unwrap().remaining, 59);
    }

    #[test]
    fn networks_have_a_limit_each_and_addresses_of_one_share_it() {
        let (limit, _clock) = limit(1);
        let spend = |address: &str| limit.spend(address.parse().unwrap());
        assert!(spend("203.0.113.9").is_ok());
        assert!(spend("::ffff:203.0.113.9").is_err());
        assert!(spend("203.0.113.10").is_ok());
        assert!(spend("2001:db8::1").is_ok());
        assert!(spend("2001:db8::ffff:1").is_err());
        assert!(spend("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn a_flood_of_addresses_fills_no_memory() {
        let (limit, _clock) = limit(1);
        for n in 0..150_000_u32 {
            limit.spend(n.to_be_bytes().into()).unwrap();
        }
        assert!(limit.full_again.lock().unwrap().len() <= NETWORKS);
    }

    #[test]
    fn a_limit_of_none_is_no_limit() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(0)));
        assert!(AddressLimit::new(clock, &SeededRandom::new(1), 0).is_none());
    }
}
