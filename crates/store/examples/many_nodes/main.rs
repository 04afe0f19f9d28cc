//! Measures what many nodes ask of one PostgreSQL, with the store's own code: `many_nodes URL [--quick]`.
//! The database has to be empty and on this machine; `bench/scaling.sh` makes one.

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(
    clippy::cast_precision_loss,
    reason = "three figures of each number are told"
)]
#![expect(clippy::print_stdout, reason = "it reports what it measured")]

mod counts;
mod database;
mod followers;
mod log;
mod memory;
mod records;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate_core::clock::SystemClock;
use sealgate_core::key::KeyId;
use sealgate_core::master::MasterKey;
use sealgate_core::random::SystemRandom;
use sealgate_core::secret::Secret;
use sealgate_core::store::Store;
use sealgate_store::{Postgres, PostgresOptions};
use tokio::task::JoinSet;

use self::database::Database;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is measured, and for how long.
struct Bench {
    url: String,
    database: Database,
    /// How long each row of a table is measured.
    long: Duration,
    /// Every key there is.
    keys: Arc<[KeyId]>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: many_nodes URL [--quick]")?;
    let is_quick = arguments.next().as_deref() == Some("--quick");
    let (keys, long) = if is_quick {
        (20_000, Duration::from_millis(500))
    } else {
        (200_000, Duration::from_secs(4))
    };
    let mut bench = Bench {
        database: Database::connect(&url).await?,
        url,
        long,
        keys: Arc::new([]),
    };
    memory::measure(if is_quick { 10_000 } else { 1_000_000 });
    records::fill(&mut bench, keys).await?;
    counts::measure(&mut bench).await?;
    log::measure(&mut bench).await?;
    followers::measure(&mut bench).await?;
    Ok(())
}

impl Bench {
    /// One process among many: its own connections, and nothing in common with others but the database.
    async fn node(&self) -> Outcome<Arc<dyn Store>> {
        let options = PostgresOptions::parse(&self.url)?;
        let master = &MasterKey::new(Secret::new([7; 32]));
        let (random, clock) = (Arc::new(SystemRandom), Arc::new(SystemClock));
        let opened = Postgres::open(options, true, master, random, clock).await;
        Ok(Arc::new(opened?))
    }

    async fn nodes(&self, count: usize) -> Outcome<Vec<Arc<dyn Store>>> {
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            nodes.push(self.node().await?);
        }
        Ok(nodes)
    }

    /// Lets every node do something again and again, `at_once` times at the same time, for as long as a
    /// row takes. Each time tells how many rows it wrote or read.
    async fn run<W>(
        &mut self,
        nodes: &[Arc<dyn Store>],
        at_once: usize,
        work: impl Fn(Arc<dyn Store>, usize) -> W + Clone + Send + 'static,
    ) -> Outcome<Figures>
    where
        W: Future<Output = Outcome<usize>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let before = self.database.processor_time()?;
        let begin = Instant::now();
        let end = begin + self.long;
        for (number, node) in nodes.iter().enumerate() {
            for place in 0..at_once {
                let (node, work) = (Arc::clone(node), work.clone());
                tasks.spawn(async move {
                    let (mut rows, mut times) = (0, 0);
                    while Instant::now() < end {
                        let worker = number * at_once + place;
                        rows += work(Arc::clone(&node), worker + times * 7_919).await?;
                        times += 1;
                    }
                    Outcome::Ok((rows, times))
                });
            }
        }
        let (mut rows, mut times) = (0, 0);
        while let Some(done) = tasks.join_next().await {
            let (of_one, how_often) = done??;
            rows += of_one;
            times += how_often;
        }
        let took = begin.elapsed();
        let spent = self.database.processor_time()? - before;
        Ok(Figures {
            rows: rows as f64,
            times: times as f64,
            seconds: took.as_secs_f64(),
            spent,
            workers: (nodes.len() * at_once) as f64,
        })
    }
}

/// What came of a row of a table.
struct Figures {
    rows: f64,
    times: f64,
    seconds: f64,
    /// Of the database's processes, in seconds.
    spent: f64,
    workers: f64,
}

impl Figures {
    fn rows_per_second(&self) -> f64 {
        self.rows / self.seconds
    }

    /// How long one time took, in milliseconds.
    fn milliseconds(&self) -> f64 {
        self.seconds * 1e3 * self.workers / self.times
    }

    /// Of the database's processors, for a row, in microseconds.
    fn microseconds_per_row(&self) -> f64 {
        self.spent * 1e6 / self.rows
    }
}

async fn close(nodes: Vec<Arc<dyn Store>>) {
    for node in nodes {
        node.close().await;
    }
}

/// A number as it is read: three figures that count.
fn shown(number: f64) -> String {
    match number {
        number if number >= 10_000.0 => format!("{:.0}", (number / 100.0).round() * 100.0),
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}
