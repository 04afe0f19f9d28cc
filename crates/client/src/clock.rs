//! Time as a value: [`Moment`], and the [`Clock`] that is the only way to learn the current one.

use std::time::Duration;

/// A point in time, by two clocks: the one that tokens are dated by, and the one that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00:00Z, by a clock that may be set forward and back.
    pub unix_millis: i64,
    /// Since some moment of the past, by a clock that only goes forward, and may stand still while
    /// the machine sleeps.
    pub uptime: Duration,
}

impl Moment {
    /// Whole seconds since the Unix epoch, rounded down (RFC 7519, `NumericDate`).
    pub const fn unix_seconds(self) -> i64 {
        self.unix_millis.div_euclid(1000)
    }

    /// How long ago `earlier` was: the longer of what the two clocks say. A machine that slept, or whose
    /// clock was set back, takes nothing for newer than it is.
    pub fn since(self, earlier: Self) -> Duration {
        let by_date = self.unix_millis.saturating_sub(earlier.unix_millis);
        let by_date = Duration::from_millis(u64::try_from(by_date).unwrap_or(0));
        by_date.max(self.uptime.saturating_sub(earlier.uptime))
    }
}

/// Where the current time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The current moment.
    fn now(&self) -> Moment;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the operating system's clocks"
    )]
    fn default() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the operating system's clocks"
    )]
    fn now(&self) -> Moment {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Moment {
            unix_millis: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
            uptime: self.start.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(unix_millis: i64, uptime_millis: u64) -> Moment {
        Moment {
            unix_millis,
            uptime: Duration::from_millis(uptime_millis),
        }
    }

    #[test]
    fn of_two_clocks_the_one_that_says_longer_is_believed() {
        let earlier = moment(10_000, 500);
        for (later, millis) in [
            (moment(12_000, 2_500), 2_000),
            // It slept.
            (moment(70_000, 600), 60_000),
            // The date was set back, and forward.
            (moment(1_000, 3_500), 3_000),
            (moment(20_000, 500), 10_000),
            (moment(9_000, 500), 0),
        ] {
            assert_eq!(later.since(earlier), Duration::from_millis(millis));
        }
    }

    #[test]
    fn the_systems_clocks_go_on() {
        let clock = SystemClock::default();
        let earlier = clock.now();
        let later = clock.now();
        assert!(later.uptime >= earlier.uptime);
        assert!(earlier.unix_seconds() > 1_700_000_000);
    }
}
