//! A limit of requests by address, for what needs no credential: the generic cell rate algorithm.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::recent::{Fingerprints, Recent};
use super::{Network, TooMany};
use crate::clock::Clock;
use crate::random::Random;

/// Networks remembered, at most: some 4 MB. A network that is forgotten has all its requests again;
/// to make that happen takes requests from 50,000 others within the minute.
const NETWORKS: usize = 100_000;
const MINUTE_NANOS: i64 = 60_000_000_000;

/// Lets each network make so many requests a minute: as many at once, and then one each time that
/// its share of the minute has passed.
pub struct AddressLimit {
    clock: Arc<dyn Clock>,
    fingerprints: Fingerprints,
    per_minute: u32,
    /// When all requests of a network will be there again, in nanoseconds since 1970.
    full_again: Mutex<Recent<i64>>,
}

/// What an address may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a minute.
    pub limit: u32,
    /// Requests left now.
    pub remaining: u32,
    /// How long until none of them is missing.
    pub resets_after: Duration,
}

impl AddressLimit {
    /// A limit of `per_minute` requests for each network, and of one if that is zero.
    pub fn new(clock: Arc<dyn Clock>, random: &dyn Random, per_minute: u32) -> Self {
        Self {
            clock,
            fingerprints: Fingerprints::new(random),
            per_minute: per_minute.max(1),
            full_again: Mutex::new(Recent::new(NETWORKS)),
        }
    }

    /// Takes one request off what the address's network may do.
    ///
    /// # Errors
    /// [`TooMany`] if there is none left; what is refused takes nothing off.
    pub fn spend(&self, address: IpAddr) -> Result<Allowance, TooMany> {
        let network = Network::of(address).to_string();
        let print = self.fingerprints.of(&[network.as_bytes()]);
        let share = MINUTE_NANOS / i64::from(self.per_minute);
        let mut full_again = self
            .full_again
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock, or else a later reading could be taken for the earlier one.
        let now = self.clock.now().as_millis().saturating_mul(1_000_000);
        // A clock that was set back must not keep anybody out for longer than a minute.
        let latest = now.saturating_add(MINUTE_NANOS);
        let before = full_again
            .find(print)
            .map_or(now, |at| (*at).clamp(now, latest));
        let after = before.saturating_add(share);
        if after > latest {
            full_again.insert(print, before);
            let nanos = after.saturating_sub(latest).unsigned_abs();
            // The clock counts milliseconds: a wait of less would be over too early.
            let millis = nanos.div_ceil(1_000_000);
            return Err(TooMany {
                retry_after: Duration::from_millis(millis),
            });
        }
        full_again.insert(print, after);
        let remaining = latest.saturating_sub(after) / share;
        Ok(Allowance {
            limit: self.per_minute,
            remaining: u32::try_from(remaining).unwrap_or(self.per_minute),
            resets_after: Duration::from_nanos(after.saturating_sub(now).unsigned_abs()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::random::SeededRandom;
    use proptest::prelude::*;

    fn limit(per_minute: u32) -> (AddressLimit, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let limit = AddressLimit::new(clock.clone(), &SeededRandom::new(1), per_minute);
        (limit, clock)
    }

    fn here() -> IpAddr {
        [203, 0, 113, 9].into()
    }

    #[test]
    fn all_of_a_minute_may_come_at_once_and_then_each_in_its_time() {
        let (limit, clock) = limit(60);
        for remaining in (0..60).rev() {
            let allowance = limit.spend(here()).unwrap();
            assert_eq!((allowance.limit, allowance.remaining), (60, remaining));
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
    fn a_clock_that_is_set_back_keeps_nobody_out_for_more_than_a_minute() {
        let (limit, clock) = limit(2);
        assert!(limit.spend(here()).is_ok());
        clock.advance_millis(-86_400_000);
        assert!(limit.spend(here()).is_err());
        clock.advance_millis(30_000);
        assert!(limit.spend(here()).is_ok());
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
    fn any_limit_works_also_one_above_what_a_clock_tells_apart() {
        for per_minute in [0, 1, 7, 60_001, u32::MAX] {
            let (limit, _clock) = limit(per_minute);
            assert!(limit.spend(here()).is_ok(), "{per_minute}");
        }
    }

    proptest! {
        #[test]
        fn in_no_minute_there_are_more_than_twice_the_limit_and_the_wait_told_is_enough(
            per_minute in 1_u32..20,
            steps in prop::collection::vec(0_i64..20_000, 1..200),
        ) {
            let (limit, clock) = limit(per_minute);
            let mut passed: Vec<i64> = Vec::new();
            for step in steps {
                clock.advance_millis(step);
                if let Err(refused) = limit.spend(here()) {
                    let wait = i64::try_from(refused.retry_after.as_millis()).unwrap();
                    clock.advance_millis(wait - 1);
                    prop_assert!(limit.spend(here()).is_err());
                    clock.advance_millis(1);
                    prop_assert!(limit.spend(here()).is_ok());
                }
                passed.push(clock.now().as_millis());
            }
            for (n, start) in passed.iter().enumerate() {
                let within = passed[n..].iter().take_while(|at| **at < start + 60_000).count();
                prop_assert!(within <= 2 * per_minute as usize);
            }
        }
    }
}
