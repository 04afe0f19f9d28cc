//! The signals that end programs, for what has something to put in order first.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Failure, Outcome};

/// The signals that end programs. As long as one listens to them, they end nothing by themselves.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = self.hangup.recv() => (),
        }
    }
}

/// Does some work; a signal ends it where it waits, so that what it had begun is cleared away.
///
/// # Errors
/// That of the work, or that it was interrupted: then `left` says what there is now.
pub async fn unless_stopped<T>(
    work: impl Future<Output = Outcome<T>>,
    left: &'static str,
) -> Outcome<T> {
    let mut stop = Stop::listen()?;
    tokio::select! {
        outcome = work => outcome,
        () = stop.asked() => Err(Failure::new(format!("interrupted: {left}"))),
    }
}
