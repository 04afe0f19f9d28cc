//! What writes: one connection, in one transaction for everything that waits.
//!
//! Whoever appends to the audit log or the change feed locks the row that says where they end
//! ([`Head`]), once for a batch, until the transaction ends. So both have one order among all processes.

use std::sync::Arc;
use std::time::Duration;

use sealgate_core::audit::Chain;
use sealgate_core::random::Random;
use sealgate_core::store::{Change, Commit, StoreError};
use sealgate_core::tally::Counted;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use super::connect::{self, PostgresOptions};
use super::error::{Fault, NOT_A_STATEMENT, NOT_SUPPORTED, code};
use super::statement::run;
use super::transaction::{Head, Transaction};
use crate::cipher::ColumnCipher;
use crate::failure::Failure;
use crate::queue::{self, Outcome, Work};

/// How often a transaction is run that others were in the way of.
const TRIES: u32 = 10;
/// After how long the second time; each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// After how long a transaction takes no further piece: other processes wait for the end of log and feed.
const LONGEST: Duration = Duration::from_millis(300);
/// How long a notification may take, which whoever waits for the outcomes waits for too.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(1);

/// Every statement sees what was committed before it; what must not change under it is locked.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Wakes whoever follows the change feed. Nothing depends on it.
const NOTIFY: &str = "NOTIFY sealgate_feed";

/// What the task writes with.
pub struct Pen {
    /// Where the database is.
    pub options: PostgresOptions,
    /// The connection, once there is one and as long as it is good.
    pub connection: Option<PgConnection>,
    /// Encrypts what must not be read in the database.
    pub cipher: Arc<ColumnCipher>,
    /// Links audit records.
    pub chain: Chain,
    /// Draws the marks of the feed.
    pub random: Arc<dyn Random>,
    /// Whether the database takes notifications.
    pub notifies: bool,
    /// Whether the end of a transaction was asked for, and no answer came yet.
    pub is_ending: bool,
}

impl queue::Pen for Pen {
    async fn write(&mut self, batch: &[Work]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        while let Some(rest @ [_, ..]) = batch.get(outcomes.len()..) {
            match self.write_some(rest).await {
                Ok(some) => outcomes.extend(some),
                Err(Failure(error)) => {
                    tracing::warn!(%error, pieces = rest.len(), "a batch of writes failed");
                    outcomes.resize(batch.len(), Err(error));
                }
            }
        }
        outcomes
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            connect::close(connection).await;
        }
    }
}

impl Pen {
    /// Writes the first pieces of a batch in one transaction, and wakes whoever follows the feed.
    async fn write_some(&mut self, batch: &[Work]) -> Result<Vec<Outcome>, Failure> {
        self.is_ending = false;
        let written = timeout(self.options.patience(), self.write_once(batch)).await;
        let Ok(written) = written else {
            // Whatever was under way is undone by the server when it misses the connection.
            self.connection = None;
            let late = "the database did not answer in time";
            return Err(if self.is_ending {
                StoreError::Unconfirmed(late.to_owned()).into()
            } else {
                Failure::unavailable(late)
            });
        };
        let (outcomes, feed_grew) = written?;
        if feed_grew {
            self.notify().await;
        }
        Ok(outcomes)
    }

    /// Writes them, again as long as it is certain that they were not written; says too whether the feed
    /// grew.
    async fn write_once(&mut self, batch: &[Work]) -> Result<(Vec<Outcome>, bool), Failure> {
        let (mut tries, mut pause, mut waited) = (1, FIRST_PAUSE, false);
        loop {
            // Out of its place while it is in use: one that is given up in the middle is closed.
            let held = self.connection.take();
            let was_idle = held.is_some();
            let mut connection = match held {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            match self.attempt(&mut connection, batch).await {
                Ok(written) => {
                    self.connection = Some(connection);
                    return Ok(written);
                }
                Err(Interrupted::AtItsEnd(fault)) => return Err(unknown_end(fault)),
                Err(Interrupted::Before(fault)) => match fault {
                    // The server was restarted, perhaps, since the connection was used last.
                    Fault::Lost(_) if was_idle => {}
                    Fault::InTheWay if tries < TRIES => {
                        self.undo(connection).await?;
                        sleep(pause).await;
                        (tries, pause) = (tries + 1, pause * 2);
                    }
                    // That took a third of the patience. Once more takes no longer than all of it.
                    Fault::Locked if !waited => {
                        self.undo(connection).await?;
                        waited = true;
                    }
                    fault @ (Fault::Refused(_) | Fault::Locked) => {
                        let Failure(error) = fault.into_failure();
                        // Should this fail, the connection is gone.
                        let _ = self.undo(connection).await;
                        if is_of_the_database(&error) {
                            tracing::warn!(%error, pieces = batch.len(), "a batch of writes failed");
                        }
                        return Ok((vec![Err(error); batch.len()], false));
                    }
                    fault => return Err(fault.into_failure()),
                },
            }
        }
    }

    /// Undoes a transaction whose connection is good.
    async fn undo(&mut self, mut connection: PgConnection) -> Result<(), Failure> {
        run(&mut connection, "ROLLBACK")
            .await
            .map_err(Fault::into_failure)?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Writes the first pieces of a batch in one transaction; says too whether the feed grew.
    async fn attempt(
        &mut self,
        connection: &mut PgConnection,
        batch: &[Work],
    ) -> Result<(Vec<Outcome>, bool), Interrupted> {
        run(connection, BEGIN).await?;
        let written = match counts_alone(batch) {
            // Log and feed do not grow: their end need not be locked.
            Some(counts) => {
                let mut open = self.open(connection, Head::START);
                open.add_uses(&counts).await?;
                (vec![Ok(0); batch.len()], false)
            }
            None => self.append(connection, batch).await?,
        };
        self.is_ending = true;
        let ended = run(connection, "COMMIT").await;
        self.is_ending = false;
        match ended {
            Ok(()) => Ok(written),
            // The server says that it undid it.
            Err(Fault::InTheWay) => Err(Interrupted::Before(Fault::InTheWay)),
            Err(fault) => Err(Interrupted::AtItsEnd(fault)),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "how long a lock is held; nothing that is written depends on it"
    )]
    async fn append(
        &self,
        connection: &mut PgConnection,
        batch: &[Work],
    ) -> Result<(Vec<Outcome>, bool), Fault> {
        let begin = Head::lock(connection, &self.chain).await?;
        let locked_at = Instant::now();
        let mut open = self.open(connection, begin);
        let updated = updated_keys(batch);
        if updated.len() > 1 {
            open.lock_keys(updated).await?;
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        for run in batch.chunk_by(|one, next| one.records().is_some() && next.records().is_some()) {
            match run {
                // Alone, it needs no savepoint: it is the transaction.
                [work] if batch.len() == 1 => outcomes.push(Ok(open.apply(work).await?)),
                [work] => outcomes.push(open.attempt(work).await?),
                // No one of them can fail without the others: they are written as one.
                many => {
                    open.append(many.iter().filter_map(Work::records).flatten())
                        .await?;
                    outcomes.extend(many.iter().map(|_| Ok(0)));
                }
            }
            if locked_at.elapsed() > LONGEST {
                break;
            }
        }
        if open.head != begin {
            open.head.write(open.connection, open.chain).await?;
        }
        Ok((outcomes, open.head.feed != begin.feed))
    }

    fn open<'w>(&'w self, connection: &'w mut PgConnection, head: Head) -> Transaction<'w> {
        Transaction {
            connection,
            cipher: &self.cipher,
            chain: &self.chain,
            random: &*self.random,
            head,
        }
    }

    async fn notify(&mut self) {
        if !self.notifies {
            return;
        }
        // Gone, should it not answer: the outcomes are known all the same.
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let told = sqlx::raw_sql(NOTIFY).execute(&mut connection);
        match timeout(NOTIFY_PATIENCE, told).await {
            Ok(Ok(_)) => self.connection = Some(connection),
            Ok(Err(error)) if matches!(code(&error), Some(NOT_SUPPORTED | NOT_A_STATEMENT)) => {
                self.notifies = false;
                self.connection = Some(connection);
                let failure = Fault::from(error).into_failure().0;
                tracing::info!(%failure, "the database takes no notifications; the change feed is polled");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// Where a transaction was interrupted.
enum Interrupted {
    /// It is undone.
    Before(Fault),
    /// Its end was asked for, and nobody knows whether it came.
    AtItsEnd(Fault),
}

impl From<Fault> for Interrupted {
    fn from(fault: Fault) -> Self {
        Self::Before(fault)
    }
}

fn unknown_end(fault: Fault) -> Failure {
    match fault.into_failure() {
        Failure(StoreError::Unavailable(why)) => StoreError::Unconfirmed(why).into(),
        other => other,
    }
}

impl Transaction<'_> {
    /// Does a piece of work or, where it cannot be done, none of it.
    ///
    /// # Errors
    /// If the database itself failed: the transaction cannot go on then.
    async fn attempt(&mut self, work: &Work) -> Result<Outcome, Fault> {
        let before = self.head;
        run(self.connection, "SAVEPOINT piece").await?;
        let outcome = match self.apply(work).await {
            Ok(count) => Ok(count),
            Err(Fault::Refused(Failure(error))) if !is_of_the_database(&error) => {
                run(self.connection, "ROLLBACK TO SAVEPOINT piece").await?;
                self.head = before;
                Err(error)
            }
            Err(fault) => return Err(fault),
        };
        run(self.connection, "RELEASE SAVEPOINT piece").await?;
        Ok(outcome)
    }

    async fn apply(&mut self, work: &Work) -> Result<u64, Fault> {
        match work {
            Work::Commit(commit) => self.commit(commit).await.map(|()| 0),
            Work::AddUses(counted) => self.add_uses(counted).await.map(|()| 0),
            Work::CloseUses { minute, now, limit } => self.close_uses(*minute, *now, *limit).await,
            Work::ForgetRevocations { now, limit } => self.forget_revocations(*now, *limit).await,
        }
    }
}

/// Whether it was the database that failed, and not the piece of work that did not fit.
const fn is_of_the_database(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_))
}

/// All counts of a batch that has nothing else.
fn counts_alone(batch: &[Work]) -> Option<Vec<Counted>> {
    let counts = batch.iter().map(|work| match work {
        Work::AddUses(counted) => Some(counted.as_slice()),
        _ => None,
    });
    let counts: Option<Vec<_>> = counts.collect();
    counts.map(|counts| counts.concat())
}

/// The keys that a batch updates.
fn updated_keys(batch: &[Work]) -> Vec<String> {
    let commits = batch.iter().filter_map(|work| match work {
        Work::Commit(Commit { changes, .. }) => Some(changes),
        _ => None,
    });
    let ids = commits.flatten().filter_map(|change| match change {
        Change::UpdateKey(key) => Some(key.id.to_string()),
        _ => None,
    });
    ids.collect()
}
