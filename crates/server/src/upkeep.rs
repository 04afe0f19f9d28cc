//! What a server does besides answering: [`run`] follows the change feed, writes down what was
//! counted, and records what expired.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sealgate_core::authority::Authority;
use sealgate_core::error::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

/// The longest that the end of [`run`] takes: what the store has not taken by then is lost.
const PARTING: Duration = Duration::from_secs(10);

/// How long news is gathered before it is looked at.
const GATHERING: Duration = Duration::from_millis(5);

/// Does what has to be done again and again, until `shutdown` is ready; then writes what was
/// counted a last time.
///
/// The authority must have been started. Ask for the end once requests are no longer served, so
/// that the last writing has them all.
pub async fn run(authority: Arc<Authority>, shutdown: impl Future<Output = ()>) {
    let (end, ended) = watch::channel(());
    let mut chores = JoinSet::new();
    for chore in Chore::ALL {
        chores.spawn(repeat(chore, Arc::clone(&authority), ended.clone()));
    }
    chores.spawn(load_keys(Arc::clone(&authority), ended));

    shutdown.await;
    drop(end);
    let parting = async { while chores.join_next().await.is_some() {} };
    if timeout(PARTING, parting).await.is_err() {
        tracing::error!(
            unfinished = chores.len(),
            "the store did not answer to the end"
        );
        chores.shutdown().await;
    }
}

/// Something that is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    /// Reads the change feed to its end: a revocation made elsewhere counts here from then on.
    Sync,
    /// Says how late such a revocation could be.
    MeasureLag,
    WriteRefusals,
    /// At the end alone.
    WriteLastRefusals,
    WriteUses,
    CloseMinutes,
    RecordExpiries,
    /// Forgets sessions that are over, and what ended them.
    ForgetSessions,
    /// Gives back what was taken ahead of limits and is not needed.
    TendLimits,
    /// At the end alone.
    GiveBackLimits,
    /// Forgets what was used of limits that are whole again.
    ForgetLimits,
}

impl Chore {
    const ALL: [Self; 9] = [
        Self::Sync,
        Self::MeasureLag,
        Self::WriteRefusals,
        Self::WriteUses,
        Self::CloseMinutes,
        Self::RecordExpiries,
        Self::ForgetSessions,
        Self::TendLimits,
        Self::ForgetLimits,
    ];

    /// The pause between one time and the next.
    const fn cadence(self) -> Duration {
        match self {
            Self::Sync => Duration::from_millis(100),
            Self::MeasureLag | Self::WriteRefusals | Self::WriteLastRefusals => {
                Duration::from_millis(250)
            }
            // What was used and not written yet is lost if the process is killed: a second's at most, also
            // where the store takes its time. More often would cost each request more than its check.
            Self::WriteUses => Duration::from_millis(700),
            Self::TendLimits | Self::GiveBackLimits => Duration::from_millis(500),
            Self::CloseMinutes => Duration::from_secs(10),
            Self::RecordExpiries | Self::ForgetSessions | Self::ForgetLimits => {
                Duration::from_secs(30)
            }
        }
    }

    /// Its name in logs and metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::MeasureLag => "measure_lag",
            Self::WriteRefusals | Self::WriteLastRefusals => "write_refusals",
            Self::WriteUses => "write_uses",
            Self::CloseMinutes => "close_minutes",
            Self::RecordExpiries => "record_expiries",
            Self::ForgetSessions => "forget_sessions",
            Self::TendLimits => "tend_limits",
            Self::GiveBackLimits => "give_back_limits",
            Self::ForgetLimits => "forget_limits",
        }
    }

    /// What is done at the end, so that nothing is lost.
    const fn at_the_end(self) -> Option<Self> {
        match self {
            Self::WriteRefusals => Some(Self::WriteLastRefusals),
            Self::WriteUses => Some(Self::WriteUses),
            Self::TendLimits => Some(Self::GiveBackLimits),
            _ => None,
        }
    }

    async fn perform(self, authority: &Authority) -> Result<(), Error> {
        match self {
            Self::Sync => authority.sync().await,
            Self::MeasureLag => {
                measure_lag(authority);
                Ok(())
            }
            Self::WriteRefusals => authority.write_refusals().await,
            Self::WriteLastRefusals => authority.write_last_refusals().await,
            Self::WriteUses => authority.write_uses().await,
            Self::CloseMinutes => authority.close_minutes().await,
            Self::RecordExpiries => authority.record_expiries().await,
            Self::ForgetSessions => authority.forget_sessions().await,
            Self::TendLimits => {
                authority.tend_limits().await;
                measure_limits(authority);
                Ok(())
            }
            Self::GiveBackLimits => {
                authority.give_back_limits().await;
                Ok(())
            }
            Self::ForgetLimits => {
                authority.forget_unused_limits().await;
                Ok(())
            }
        }
    }
}

/// A gauge of its own chore: a store that does not answer keeps [`Chore::Sync`] waiting, and then
/// the lag is of interest most.
fn measure_lag(authority: &Authority) {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
    let seconds = authority.staleness_millis(authority.now()) as f64 / 1_000.0;
    metrics::gauge!("sealgate_feed_lag_seconds").set(seconds);
    #[expect(clippy::cast_precision_loss, reason = "there are a million at most")]
    let revocations = authority.revocation_count() as f64;
    metrics::gauge!("sealgate_revocations").set(revocations);
}

/// Nothing where this process counts limits alone.
fn measure_limits(authority: &Authority) {
    if let Some(health) = authority.limit_keeper_health() {
        metrics::counter!("sealgate_limit_failures_total").absolute(health.failures);
        metrics::gauge!("sealgate_limits_shared").set(f64::from(u8::from(health.answers)));
    }
}

/// Does a chore at its cadence until the end. Each has a task of its own, so none waits for
/// another.
async fn repeat(chore: Chore, authority: Arc<Authority>, mut ended: watch::Receiver<()>) {
    let mut ticks = ticks(chore.cadence());
    let mut health = Health::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = news(chore, &authority) => {}
            _ = ended.changed() => break,
        }
        health.note(chore, once(chore, &authority).await);
    }
    if let Some(chore) = chore.at_the_end()
        && let Err(failure) = once(chore, &authority).await
    {
        tracing::error!(chore = chore.name(), %failure, "fails at the end, what was left is lost");
    }
}

/// Waits for what makes it worth while to do a chore before its time.
async fn news(chore: Chore, authority: &Authority) {
    if chore != Chore::Sync {
        return std::future::pending().await;
    }
    authority.store().news().await;
    // More of it is on its way where much is changed.
    sleep(GATHERING).await;
}

fn ticks(cadence: Duration) -> Interval {
    let mut ticks = interval(cadence);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Does a chore once. A panic is a failure like another: the next time can do better.
async fn once(chore: Chore, authority: &Authority) -> Result<(), String> {
    match AssertUnwindSafe(chore.perform(authority))
        .catch_unwind()
        .await
    {
        Ok(result) => result.map_err(|error| describe(&error)),
        Err(_) => Err("it panicked".to_owned()),
    }
}

/// An error with what caused it, for the log.
fn describe(error: &Error) -> String {
    match error {
        Error::Unavailable(cause) => cause.to_string(),
        Error::Internal(detail) => detail.clone(),
        other => other.to_string(),
    }
}

/// Whether a chore works, so that the log tells when that changes, and not ten times a second.
#[derive(Debug, Default)]
struct Health {
    failures: u64,
}

impl Health {
    fn note(&mut self, chore: Chore, result: Result<(), String>) {
        match result {
            Ok(()) if self.failures > 0 => {
                tracing::info!(
                    chore = chore.name(),
                    failures = self.failures,
                    "works again"
                );
                self.failures = 0;
            }
            Ok(()) => {}
            Err(failure) => {
                metrics::counter!("sealgate_upkeep_failures_total", "chore" => chore.name())
                    .increment(1);
                if self.failures == 0 {
                    tracing::error!(chore = chore.name(), %failure, "fails, and is tried again");
                }
                self.failures += 1;
            }
        }
    }
}

/// Reads every key into the keyring, however often that takes.
async fn load_keys(authority: Arc<Authority>, mut ended: watch::Receiver<()>) {
    let mut ended = pin!(ended.changed());
    let mut pause = Duration::from_millis(100);
    let mut failures = 0_u32;
    while let Err(error) = authority.load_keys().await {
        if failures == 0 {
            tracing::error!(failure = describe(&error), "the keys cannot be loaded yet");
        }
        failures += 1;
        tokio::select! {
            () = sleep(pause) => {}
            _ = &mut ended => return,
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    tracing::info!(failures, "the keys are loaded");
}
