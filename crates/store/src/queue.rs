//! The way to the one task that writes. Everything that waits is written in one transaction, so that many
//! writers share the wait for the disk, yet each stands or falls alone.
//!
//! What was handed over is written even if its sender stops waiting for the answer.

use std::sync::{Mutex, PoisonError};

use sealgate_core::audit::Event;
use sealgate_core::clock::Timestamp;
use sealgate_core::store::{Commit, StoreError};
use sealgate_core::tally::Counted;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Work that may wait; whoever brings more waits for room.
const QUEUE: usize = 1_024;
/// Most work of one transaction: others that use the file have to wait for its end.
const BATCH: usize = 256;
/// How often others are let go first who may bring more. Each time costs what they do meanwhile.
const GATHERINGS: usize = 3;

/// Something to write.
#[derive(Clone, Debug)]
pub enum Work {
    /// Changes and their audit records.
    Commit(Commit),
    /// Counts of served requests.
    AddUses(Vec<Counted>),
    /// Counts of minutes that are over, to be moved into the audit log.
    CloseUses {
        /// The first minute that stays.
        minute: Timestamp,
        /// The time of the records.
        now: Timestamp,
        /// Most counts to move.
        limit: u32,
    },
    /// Revocations that are needed no more, to be removed.
    ForgetRevocations {
        /// Those that expire until then.
        now: Timestamp,
        /// Most to remove.
        limit: u32,
    },
}

impl Work {
    /// The audit records, if there is nothing else to write.
    pub fn records(&self) -> Option<&[Event]> {
        match self {
            Self::Commit(Commit { changes, events }) if changes.is_empty() => Some(events),
            _ => None,
        }
    }
}

/// How a piece of work ended; the number is that of rows moved or forgotten, where it has a limit.
pub type Outcome = Result<u64, StoreError>;

/// Work, and who waits for it.
pub struct Job {
    work: Work,
    reply: oneshot::Sender<Outcome>,
}

/// The way to the task.
pub struct Writer(pub Mutex<Option<(mpsc::Sender<Job>, JoinHandle<()>)>>);

impl Writer {
    /// Starts the task; it ends when this is closed or dropped.
    pub fn start(pen: impl Pen) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        Self(Mutex::new(Some((sender, tokio::spawn(run(pen, queue))))))
    }

    /// Writes and waits until it is durable.
    pub async fn write(&self, work: Work) -> Outcome {
        let closed = || StoreError::Unavailable("it was closed".to_owned());
        let (reply, outcome) = oneshot::channel();
        let queue = self.queue().ok_or_else(closed)?;
        queue
            .send(Job { work, reply })
            .await
            .map_err(|_| closed())?;
        outcome
            .await
            .map_err(|_| StoreError::Unavailable("its writer stopped".to_owned()))?
    }

    /// Waits until all that was handed over is written, and closes the connection.
    pub async fn close(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((queue, task)) = open {
            drop(queue);
            if let Err(error) = task.await {
                tracing::error!(%error, "the store's writer stopped");
            }
        }
    }

    fn queue(&self) -> Option<mpsc::Sender<Job>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|(queue, _)| queue.clone())
    }
}

/// What the task writes with.
pub trait Pen: Send + 'static {
    /// Writes a batch in one transaction; tells of each piece how it ended.
    fn write(&mut self, batch: &[Work]) -> impl Future<Output = Vec<Outcome>> + Send;

    /// Does what can wait until everybody has been answered.
    fn rest(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Closes the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Takes what others bring who are at work already. Otherwise the first of many who come at once would be
/// written for alone, and all others after that.
async fn gather(queue: &mut mpsc::Receiver<Job>, jobs: &mut Vec<Job>) {
    for _ in 0..GATHERINGS {
        let before = jobs.len();
        tokio::task::yield_now().await;
        let room = BATCH - before;
        jobs.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(room));
        if jobs.len() == before {
            return;
        }
    }
}

async fn run(mut pen: impl Pen, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        gather(&mut queue, &mut jobs).await;
        let (batch, replies): (Vec<Work>, Vec<_>) = jobs
            .drain(..)
            .map(|Job { work, reply }| (work, reply))
            .unzip();
        let outcomes = pen.write(&batch).await;
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(outcome);
        }
        pen.rest().await;
    }
    pen.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Takes note of how much it is given at once.
    struct Notes(Arc<Mutex<Vec<usize>>>);

    impl Pen for Notes {
        async fn write(&mut self, batch: &[Work]) -> Vec<Outcome> {
            self.0.lock().unwrap().push(batch.len());
            vec![Ok(0); batch.len()]
        }

        async fn close(self) {}
    }

    // One worker, which lets whoever was woken last go first.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_first_of_many_who_come_at_once_is_not_written_for_alone() {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::new(Writer::start(Notes(Arc::clone(&batches))));
        let writing = tokio::spawn(async move {
            let write = |_| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move { writer.write(Work::AddUses(Vec::new())).await })
            };
            for written in (0..64).map(write).collect::<Vec<_>>() {
                written.await.unwrap().unwrap();
            }
            writer.close().await;
        });
        writing.await.unwrap();
        assert_eq!(*batches.lock().unwrap(), [64]);
    }
}
