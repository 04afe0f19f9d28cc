//! Limits of requests within a time, by the generic cell rate algorithm (GCRA): all of them may come
//! at once, and what was used comes back evenly, one each time that its share of the window has
//! passed. Within any window there are at most twice as many: the whole limit at its beginning, and
//! what comes back during it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Timestamp;

/// The window of a limit that names none: an hour.
pub const DEFAULT_WINDOW_SECONDS: u32 = 3_600;
/// The longest window: 30 days.
pub const MAX_WINDOW_SECONDS: u32 = 30 * 86_400;

const NANOS_A_SECOND: i64 = 1_000_000_000;
const NANOS_A_MILLISECOND: i64 = 1_000_000;

/// So many requests within so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    requests: NonZeroU32,
    window_seconds: NonZeroU32,
}

/// Why two numbers are no [`RateLimit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidRateLimit {
    /// It would let nothing through.
    #[error("a limit is at least 1 request")]
    NoRequests,
    /// The window is too short or too long.
    #[error("the window of a limit is 1 second to 30 days (2592000 seconds)")]
    Window,
}

impl RateLimit {
    /// A limit of `requests` within a window.
    ///
    /// # Errors
    /// If nothing could come through, or the window is out of bounds.
    pub fn new(requests: u32, window_seconds: u32) -> Result<Self, InvalidRateLimit> {
        let requests = NonZeroU32::new(requests).ok_or(InvalidRateLimit::NoRequests)?;
        let window_seconds = NonZeroU32::new(window_seconds)
            .filter(|seconds| seconds.get() <= MAX_WINDOW_SECONDS)
            .ok_or(InvalidRateLimit::Window)?;
        Ok(Self {
            requests,
            window_seconds,
        })
    }

    /// Requests within the window.
    #[must_use]
    pub const fn requests(self) -> u32 {
        self.requests.get()
    }

    /// The window.
    #[must_use]
    pub const fn window_seconds(self) -> u32 {
        self.window_seconds.get()
    }

    /// Takes one request off, at a moment. `full_again` is what the last one left, or [`UNUSED`].
    pub(crate) fn take(self, full_again: Nanos, now: Timestamp) -> Taken {
        let now = nanos(now);
        let before = self.bounded(full_again, now);
        let outcome = match self.wait(before, now) {
            Some(wait) => Err(wait),
            None => Ok(self.allowance(before + self.share(), now)),
        };
        Taken {
            full_again: if outcome.is_ok() {
                before + self.share()
            } else {
                before
            },
            outcome,
        }
    }

    /// How long to wait for the next request to be let through; nothing if that is now.
    pub(crate) fn wait(self, full_again: Nanos, now: Nanos) -> Option<Duration> {
        let before = self.bounded(full_again, now);
        let short = (before - now) + self.share() - self.whole();
        // The clock counts milliseconds: a wait of less would be over too early.
        let millis = short
            .unsigned_abs()
            .div_ceil(NANOS_A_MILLISECOND.unsigned_abs());
        (short > 0).then(|| Duration::from_millis(millis))
    }

    /// What is left.
    pub(crate) fn allowance(self, full_again: Nanos, now: Nanos) -> Allowance {
        let missing = self.bounded(full_again, now) - now;
        let remaining = (self.whole() - missing) / self.share();
        Allowance {
            limit: self,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            resets_after: Duration::from_nanos(missing.unsigned_abs()),
        }
    }

    /// A clock that was set back must not keep anybody out for longer than the window.
    fn bounded(self, full_again: Nanos, now: Nanos) -> Nanos {
        full_again.clamp(now, now.saturating_add(self.whole()))
    }

    /// How long it takes all of them to come back, in nanoseconds.
    pub(crate) fn whole(self) -> Nanos {
        self.share() * i64::from(self.requests.get())
    }

    /// How long it takes one request to come back, in nanoseconds. Rounded down, so that all are back
    /// within the window; of a limit of a million a second that lets one in a thousand more through.
    pub(crate) fn share(self) -> Nanos {
        (self.window_nanos() / i64::from(self.requests.get())).max(1)
    }

    fn window_nanos(self) -> i64 {
        i64::from(self.window_seconds.get()) * NANOS_A_SECOND
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.requests;
        match self.window_seconds.get() {
            // The guide's words.
            DEFAULT_WINDOW_SECONDS => write!(f, "{requests} requests an hour"),
            1 => write!(f, "{requests} requests in 1 second"),
            seconds => write!(f, "{requests} requests in {seconds} seconds"),
        }
    }
}

/// A moment in nanoseconds since 1970, or so many of them.
pub type Nanos = i64;

/// Of a limit that nothing was used of yet.
pub(crate) const UNUSED: Nanos = Nanos::MIN;

/// What came of a request.
pub(crate) struct Taken {
    /// To be remembered until the next one, whatever came of this one.
    pub full_again: Nanos,
    /// What is left, or how long to wait for the next to be let through.
    pub outcome: Result<Allowance, Duration>,
}

/// What a caller may still do under its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The limit.
    pub limit: RateLimit,
    /// Requests left now.
    pub remaining: u32,
    /// How long until none of them is missing.
    pub resets_after: Duration,
}

/// What was used of a limit. It has no number of requests in it: of a limit that was changed, the same
/// share remains used, so that no change and no change back can be worth anything to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// When all of it is there again, in nanoseconds since 1970.
    pub full_again: Nanos,
    /// The window of the limit that it was used of.
    pub window_seconds: u32,
}

impl Used {
    /// Nothing of a limit.
    #[must_use]
    pub const fn nothing_of(limit: RateLimit) -> Self {
        Self {
            full_again: UNUSED,
            window_seconds: limit.window_seconds(),
        }
    }

    /// When all of this limit is there again, which may not be the one that was used.
    pub(crate) fn of(self, limit: RateLimit, now: Nanos) -> Nanos {
        if self.window_seconds == limit.window_seconds() {
            self.full_again
        } else {
            rescale(self.full_again, now, self.window_seconds, limit)
        }
    }

    /// Takes back what was not needed, in nanoseconds of the window, then hands out what is there, up to
    /// `wanted` requests: the rule for who keeps a limit for others. `now` is in nanoseconds since 1970.
    pub fn hand_out(
        &mut self,
        limit: RateLimit,
        returned: Nanos,
        wanted: u32,
        now: Nanos,
    ) -> Handed {
        let used = limit.bounded(self.of(limit, now), now) - now;
        let used = used.saturating_sub(returned.max(0)).max(0);
        let there = u32::try_from((limit.whole() - used) / limit.share()).unwrap_or(u32::MAX);
        let requests = wanted.min(there);
        let missing = used + i64::from(requests) * limit.share();
        *self = Self {
            full_again: now.saturating_add(missing),
            window_seconds: limit.window_seconds(),
        };
        Handed { requests, missing }
    }
}

/// What was handed out of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// So many requests.
    pub requests: u32,
    /// How long until none is missing, in nanoseconds.
    pub missing: Nanos,
}

/// What was used of a limit, as the same share of one with another window: half of it stays half.
fn rescale(full_again: Nanos, now: Nanos, from_seconds: u32, to: RateLimit) -> Nanos {
    let missing = i128::from(full_again.saturating_sub(now).max(0));
    let rescaled = missing * i128::from(to.window_seconds()) / i128::from(from_seconds.max(1));
    now.saturating_add(i64::try_from(rescaled).unwrap_or(i64::MAX))
}

/// A moment in nanoseconds.
pub(crate) const fn nanos(at: Timestamp) -> Nanos {
    at.as_millis().saturating_mul(NANOS_A_MILLISECOND)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn limit(requests: u32, window_seconds: u32) -> RateLimit {
        RateLimit::new(requests, window_seconds).unwrap()
    }

    /// Somebody who is limited, and a clock to be moved by hand.
    struct Caller {
        limit: RateLimit,
        full_again: Nanos,
        now: Timestamp,
    }

    impl Caller {
        fn new(requests: u32, window_seconds: u32) -> Self {
            Self {
                limit: limit(requests, window_seconds),
                full_again: UNUSED,
                now: START,
            }
        }

        fn wait_millis(&mut self, millis: i64) {
            self.now = self.now.plus_millis(millis);
        }

        fn ask(&mut self) -> Result<Allowance, Duration> {
            let taken = self.limit.take(self.full_again, self.now);
            self.full_again = taken.full_again;
            taken.outcome
        }
    }

    #[test]
    fn a_limit_lets_something_through_in_a_window_of_30_days_at_most() {
        assert_eq!(RateLimit::new(0, 60), Err(InvalidRateLimit::NoRequests));
        for window in [0, MAX_WINDOW_SECONDS + 1, u32::MAX] {
            assert_eq!(RateLimit::new(1, window), Err(InvalidRateLimit::Window));
        }
        for window in [1, DEFAULT_WINDOW_SECONDS, MAX_WINDOW_SECONDS] {
            assert_eq!(limit(7, window).window_seconds(), window);
        }
    }

    #[test]
    fn a_limit_reads_as_the_guide_writes_it_for_an_hour_and_in_seconds_otherwise() {
        for (requests, window, text) in [
            (1_000, 3_600, "1000 requests an hour"),
            (100, 60, "100 requests in 60 seconds"),
            (5, 1, "5 requests in 1 second"),
        ] {
            assert_eq!(limit(requests, window).to_string(), text);
        }
    }

    #[test]
    fn all_may_come_at_once_and_then_each_in_its_time() {
        let mut caller = Caller::new(4, 10);
        for remaining in (0..4).rev() {
            assert_eq!(caller.ask().unwrap().remaining, remaining);
        }
        assert_eq!(caller.ask(), Err(Duration::from_millis(2_500)));
        caller.wait_millis(2_499);
        assert_eq!(caller.ask(), Err(Duration::from_millis(1)));
        caller.wait_millis(1);
        let allowance = caller.ask().unwrap();
        assert_eq!(allowance.remaining, 0);
        assert_eq!(allowance.resets_after, Duration::from_secs(10));
        caller.wait_millis(10_000);
        assert_eq!(caller.ask().unwrap().remaining, 3);
    }

    #[test]
    fn a_wait_of_less_than_a_millisecond_is_one_of_a_millisecond() {
        let mut caller = Caller::new(3_000, 1);
        while caller.ask().is_ok() {}
        assert_eq!(caller.ask(), Err(Duration::from_millis(1)));
        caller.wait_millis(1);
        assert_eq!((0..9).filter(|_| caller.ask().is_ok()).count(), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_the_window() {
        let mut caller = Caller::new(2, 60);
        assert!(caller.ask().is_ok());
        caller.wait_millis(-86_400_000);
        assert_eq!(caller.ask(), Err(Duration::from_secs(30)));
        caller.wait_millis(30_000);
        assert!(caller.ask().is_ok());
    }

    #[test]
    fn any_limit_works_also_one_above_what_a_clock_tells_apart() {
        for requests in [1, 7, 60_001, u32::MAX] {
            for window in [1, 60, MAX_WINDOW_SECONDS] {
                assert!(Caller::new(requests, window).ask().is_ok());
            }
        }
    }

    #[test]
    fn what_was_used_is_the_same_share_of_another_window() {
        let mut caller = Caller::new(10, 3_600);
        for _ in 0..5 {
            caller.ask().unwrap();
        }
        let full_again = caller.full_again;
        let minute = limit(10, 60);
        let now = nanos(START);
        let rescaled = rescale(full_again, now, 3_600, minute);
        assert_eq!(minute.take(rescaled, START).outcome.unwrap().remaining, 4);
        assert_eq!(rescale(rescaled, now, 60, caller.limit), full_again);
        assert_eq!(rescale(UNUSED, now, 60, minute), now);
        rescale(i64::MAX, now, 1, limit(1, MAX_WINDOW_SECONDS));
    }

    fn limits() -> impl Strategy<Value = (u32, u32)> {
        let window = prop_oneof![1_u32..5, Just(60), Just(3_600), Just(MAX_WINDOW_SECONDS)];
        (prop_oneof![1_u32..10, 1_u32..2_000], window)
    }

    /// Pauses between requests, in thousandths of the share of one.
    fn pauses() -> impl Strategy<Value = Vec<i64>> {
        let pause = prop_oneof![Just(0), 0_i64..1_500, 0_i64..20_000];
        prop::collection::vec(pause, 1..300)
    }

    fn pause_millis(limit: RateLimit, thousandths: i64) -> i64 {
        limit.share() / 1_000 * thousandths / NANOS_A_MILLISECOND
    }

    proptest! {
        #[test]
        fn in_no_window_there_are_more_than_the_limit_and_what_comes_back_in_it(
            (requests, window) in limits(),
            pauses in pauses(),
        ) {
            let mut caller = Caller::new(requests, window);
            let mut passed = Vec::new();
            for pause in pauses {
                caller.wait_millis(pause_millis(caller.limit, pause));
                // As many at once as there are now.
                while caller.ask().is_ok() {
                    passed.push(caller.now.as_millis());
                }
            }
            let window_millis = i64::from(window) * 1_000;
            let mut end = 0;
            for (start, first) in passed.iter().enumerate() {
                while passed.get(end).is_some_and(|at| *at < first + window_millis) {
                    end += 1;
                }
                prop_assert!(end - start < 2 * requests as usize);
            }
        }

        #[test]
        fn a_wait_that_is_told_is_enough_and_none_too_long(
            (requests, window) in limits(),
            pauses in pauses(),
        ) {
            let mut caller = Caller::new(requests, window);
            for pause in pauses {
                caller.wait_millis(pause_millis(caller.limit, pause));
                while caller.ask().is_ok() {}
                let wait = i64::try_from(caller.ask().unwrap_err().as_millis()).unwrap();
                caller.wait_millis(wait - 1);
                prop_assert!(caller.ask().is_err());
                caller.wait_millis(1);
                prop_assert!(caller.ask().is_ok());
            }
        }

        #[test]
        fn the_whole_limit_is_there_when_the_reset_that_was_told_is_over(
            (requests, window) in limits(),
            first in 1_u32..50,
        ) {
            let mut caller = Caller::new(requests, window);
            let told = (0..first.min(requests)).map(|_| caller.ask().unwrap().resets_after).last();
            let told = told.unwrap();
            prop_assert!(told <= Duration::from_secs(window.into()));
            caller.wait_millis(i64::try_from(told.as_nanos().div_ceil(1_000_000)).unwrap());
            prop_assert_eq!(caller.ask().unwrap().remaining, requests - 1);
        }

        #[test]
        fn as_many_are_handed_out_at_once_as_one_by_one(
            (requests, window) in limits(),
            steps in prop::collection::vec((0_i64..20_000, 0_u32..50), 1..100),
        ) {
            let mut caller = Caller::new(requests, window);
            let mut kept = Used::nothing_of(caller.limit);
            for (pause, wanted) in steps {
                caller.wait_millis(pause_millis(caller.limit, pause));
                let handed = kept.hand_out(caller.limit, 0, wanted, nanos(caller.now));
                let passed = (0..wanted).filter(|_| caller.ask().is_ok()).count();
                prop_assert_eq!(handed.requests as usize, passed);
                let left = caller.limit.allowance(caller.full_again, nanos(caller.now));
                let missing = Duration::from_nanos(handed.missing.unsigned_abs());
                prop_assert_eq!(missing, left.resets_after);
            }
        }

        #[test]
        fn what_is_given_back_can_be_had_again_and_no_more(
            (requests, window) in limits(),
            wanted in 1_u32..2_000,
            too_much in 0_i64..1_000,
        ) {
            let limit = limit(requests, window);
            let now = nanos(START);
            let mut kept = Used::nothing_of(limit);
            let first = kept.hand_out(limit, 0, wanted, now).requests;
            let back = i64::from(first) * limit.share() + too_much;
            prop_assert_eq!(kept.hand_out(limit, back, u32::MAX, now).requests, requests);
            prop_assert_eq!(kept.hand_out(limit, 0, 1, now).requests, 0);
        }

        #[test]
        fn governor_lets_the_same_requests_through(
            (requests, window) in limits(),
            pauses in pauses(),
        ) {
            let mut caller = Caller::new(requests, window);
            let share = Duration::from_nanos(caller.limit.share().unsigned_abs());
            let quota = Quota::with_period(share).unwrap().allow_burst(caller.limit.requests);
            let clock = FakeRelativeClock::default();
            let governor = RateLimiter::direct_with_clock(quota, clock.clone());
            for pause in pauses {
                let millis = pause_millis(caller.limit, pause);
                caller.wait_millis(millis);
                clock.advance(Duration::from_millis(millis.unsigned_abs()));
                prop_assert_eq!(caller.ask().is_ok(), governor.check().is_ok());
            }
        }
    }
}
