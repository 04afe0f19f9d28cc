//! Real time, for what has to be done in time.

use std::time::{Duration, Instant};

/// Measures from its start.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since then.
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
