//! Limits that several processes count together: who keeps them, what it is asked, and what happens
//! when it does not answer.
//!
//! Time is the keeper's own, and what it tells is relative to it: processes whose clocks differ agree.

use async_trait::async_trait;
use thiserror::Error;

use crate::key::KeyId;
use crate::rate::{Handed, Nanos, RateLimit};

/// Most that a keeper is asked for at once.
pub const MOST_ASKS: usize = 1_024;

/// Keeps what was used of limits, for all processes.
#[async_trait]
pub trait LimitKeeper: Send + Sync {
    /// Takes requests off limits, in this order, each by [`Used::hand_out`]; says what came of each. One
    /// to [`MOST_ASKS`] are asked for.
    ///
    /// # Errors
    /// If the keeper does not answer in a moment. What was asked for may be taken then.
    ///
    /// [`Used::hand_out`]: crate::rate::Used::hand_out
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Handed>, KeeperGone>;

    /// Whether requests may be taken before they arrive, so that most need not wait.
    fn hands_out_ahead(&self) -> bool;

    /// Forgets some of the limits that are whole again.
    ///
    /// # Errors
    /// If the keeper does not answer.
    async fn forget_whole(&self) -> Result<(), KeeperGone> {
        Ok(())
    }
}

/// What a keeper is asked of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The line of rotations that it belongs to.
    pub lineage: KeyId,
    /// What it is now.
    pub limit: RateLimit,
    /// What was taken and not needed, in nanoseconds of the window.
    pub returned: Nanos,
    /// As many requests, or fewer if there are not so many.
    pub wanted: u32,
}

/// Why a keeper cannot be asked, in words for the operator, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct KeeperGone(pub String);

/// What becomes of requests with a limit while its keeper does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnavailable {
    /// Each process counts by itself.
    #[default]
    Open,
    /// They are answered with an error.
    Closed,
}

/// How it stands with the keeper of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperHealth {
    /// Whether it answered last time.
    pub answers: bool,
    /// How often it did not.
    pub failures: u64,
}
