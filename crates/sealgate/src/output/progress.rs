//! How far something long has come, on a terminal alone, in one line that is drawn over again.

use std::io::{self, IsTerminal as _, Write as _};

use sealgate_core::clock::Timestamp;

use super::{Output, duration, thousands};
use crate::wiring::now;

/// Time between two drawings, in milliseconds.
const PAUSE: i64 = 100;
/// Characters of the bar.
const BAR: usize = 30;

/// A line of progress.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    what: &'static str,
    total: Option<u64>,
    started: Timestamp,
    drawn: Option<Timestamp>,
}

impl Progress {
    /// Progress in so many steps of work, if it is known how many; it counts `what`.
    #[must_use]
    pub fn new(output: &Output, what: &'static str, total: Option<u64>) -> Self {
        Self {
            is_shown: !output.quiet && io::stderr().is_terminal(),
            what,
            total,
            started: now(),
            drawn: None,
        }
    }

    /// So many were counted, and so many steps are done.
    pub fn show(&mut self, count: u64, done: u64) {
        if !self.is_shown {
            return;
        }
        let now = now();
        if self
            .drawn
            .is_some_and(|at| now.as_millis() - at.as_millis() < PAUSE)
        {
            return;
        }
        self.drawn = Some(now);
        let millis = now.as_millis() - self.started.as_millis();
        let line = describe(self.what, count, done, self.total, millis.unsigned_abs());
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    /// Takes the line away.
    pub fn finish(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn describe(what: &str, count: u64, done: u64, total: Option<u64>, millis: u64) -> String {
    let speed = count.saturating_mul(1_000) / millis.max(1);
    let counted = format!("{} {what}, {} a second", thousands(count), thousands(speed));
    let Some(total) = total.filter(|total| *total > 0) else {
        return counted;
    };
    let done = done.min(total);
    let percent = done * 100 / total;
    let full = usize::try_from(percent).unwrap_or(0) * BAR / 100;
    let bar = "█".repeat(full) + &"░".repeat(BAR - full);
    let left = millis.saturating_mul(total - done) / done.max(1) / 1_000;
    format!("{bar} {:>3} %  {counted}, {} left", percent, duration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_the_share_the_speed_and_the_time_left() {
        assert_eq!(
            describe("keys", 250_000, 50, Some(200), 10_000),
            "███████░░░░░░░░░░░░░░░░░░░░░░░  25 %  250,000 keys, 25,000 a second, 30 s left"
        );
        assert_eq!(
            describe("records", 500, 0, None, 0),
            "500 records, 500,000 a second"
        );
    }
}
