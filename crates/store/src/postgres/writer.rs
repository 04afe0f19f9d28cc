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
use tokio::time::{sleep, timeout};

use super::connect::{self, PostgresOptions};
use super::error::Fault;
use super::statement::run;
use super::transaction::{Head, Transaction};
use crate::cipher::ColumnCipher;
use crate::failure::Failure;
use crate::queue::{self, Outcome, Work};

/// How often a transaction is run that others were in the way of.
const TRIES: u32 = 10;
/// After how long the second time; each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

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
}

impl queue::Pen for Pen {
    async fn write(&mut self, batch: &[Work]) -> Vec<Outcome> {
        let late = |_| Failure::unavailable("the database did not answer in time");
        let written = timeout(self.options.patience(), self.write_once(batch)).await;
        match written.map_err(late).flatten() {
            Ok(outcomes) => outcomes,
            Err(Failure(error)) => {
                // Whatever was under way is undone by the server when it misses the connection.
                self.connection = None;
                tracing::warn!(%error, pieces = batch.len(), "nothing of a batch was written");
                vec![Err(error); batch.len()]
            }
        }
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            connect::close(connection).await;
        }
    }
}

impl Pen {
    /// Writes a batch, again as long as it is certain that it was not written.
    async fn write_once(&mut self, batch: &[Work]) -> Result<Vec<Outcome>, Failure> {
        let (mut tries, mut pause) = (1, FIRST_PAUSE);
        loop {
            // Out of its place while it is in use: one that is given up in the middle is closed.
            let held = self.connection.take();
            let was_idle = held.is_some();
            let mut connection = match held {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            match self.attempt(&mut connection, batch).await {
                Ok((outcomes, head_moved)) => {
                    if head_moved {
                        self.notify(&mut connection).await;
                    }
                    self.connection = Some(connection);
                    return Ok(outcomes);
                }
                Err(Interrupted::AtItsEnd(fault)) => return Err(unknown_end(fault)),
                Err(Interrupted::Before(fault)) => match fault {
                    // The server was restarted, perhaps, since the connection was used last.
                    Fault::Lost(_) if was_idle => {}
                    Fault::InTheWay if tries < TRIES => {
                        run(&mut connection, "ROLLBACK")
                            .await
                            .map_err(Fault::into_failure)?;
                        self.connection = Some(connection);
                        sleep(pause).await;
                        (tries, pause) = (tries + 1, pause * 2);
                    }
                    Fault::Refused(Failure(error)) => {
                        if run(&mut connection, "ROLLBACK").await.is_ok() {
                            self.connection = Some(connection);
                        }
                        if is_of_the_database(&error) {
                            tracing::warn!(%error, pieces = batch.len(), "nothing of a batch was written");
                        }
                        return Ok(vec![Err(error); batch.len()]);
                    }
                    fault => return Err(fault.into_failure()),
                },
            }
        }
    }

    /// Writes a batch in one transaction; says too whether log or feed grew.
    async fn attempt(
        &self,
        connection: &mut PgConnection,
        batch: &[Work],
    ) -> Result<(Vec<Outcome>, bool), Interrupted> {
        run(connection, BEGIN).await?;
        let (outcomes, grew) = match counts_alone(batch) {
            // Log and feed do not grow: their end need not be locked, and nobody waits for this.
            Some(counts) => {
                let mut open = self.open(connection, Head::START);
                open.add_uses(&counts).await?;
                (vec![Ok(0); batch.len()], false)
            }
            None => self.append(connection, batch).await?,
        };
        match run(connection, "COMMIT").await {
            Ok(()) => Ok((outcomes, grew)),
            // The server says that it undid it.
            Err(Fault::InTheWay) => Err(Interrupted::Before(Fault::InTheWay)),
            Err(fault) => Err(Interrupted::AtItsEnd(fault)),
        }
    }

    async fn append(
        &self,
        connection: &mut PgConnection,
        batch: &[Work],
    ) -> Result<(Vec<Outcome>, bool), Fault> {
        let begin = Head::lock(connection, &self.chain).await?;
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
        }
        let grew = open.head != begin;
        if grew {
            open.head.write(open.connection, open.chain).await?;
        }
        Ok((outcomes, grew))
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

    async fn notify(&mut self, connection: &mut PgConnection) {
        if self.notifies
            && let Err(fault) = run(connection, NOTIFY).await
        {
            self.notifies = false;
            let failure = fault.into_failure().0;
            tracing::info!(%failure, "the database takes no notifications; the change feed is polled");
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
    let Failure(error) = fault.into_failure();
    Failure::unavailable(format!("it is not known whether this was written: {error}"))
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
