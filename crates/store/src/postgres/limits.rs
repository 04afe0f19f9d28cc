//! The table of limits of requests, which all processes take from. A row is locked while the rule of
//! [`Used::hand_out`] is applied to it, and the time is the database's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sealgate_core::key::KeyId;
use sealgate_core::rate::{Handed, Nanos, Used};
use sealgate_core::shared_limits::{Ask, KeeperGone, LimitKeeper};
use sealgate_core::store::StoreError;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex as Turn;
use tokio::time::timeout;

use super::connect::{self, PostgresOptions};
use super::error::Fault;
use super::statement::{Bulk, Columns, run};
use crate::failure::Failure;
use crate::row::Value;

/// How long a request waits for the database at most, before its limit is decided without it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried while others are in the way.
const TRIES: u32 = 20;
/// Rows looked at each time that some are forgotten.
const PAGE: i64 = 500;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The clock is read after the lock was got: the rows come out of the part in brackets one by one.
pub const LOCK: &str = "WITH locked AS (SELECT lineage, full_again, window_seconds FROM rate_limit \
     WHERE lineage = ANY($1) ORDER BY lineage FOR UPDATE) \
     SELECT lineage, full_again, window_seconds, \
     CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) FROM locked";

const INSERT: Bulk = Bulk {
    head: "INSERT INTO rate_limit (lineage, full_again, window_seconds) SELECT * FROM",
    tail: "ON CONFLICT (lineage) DO NOTHING",
};

const UPDATE: Bulk = Bulk {
    head: "UPDATE rate_limit SET full_again = used.full_again, window_seconds = used.window_seconds FROM",
    tail: "AS used (lineage, full_again, window_seconds) WHERE rate_limit.lineage = used.lineage",
};

pub const PAGE_AFTER: &str = "SELECT lineage, full_again, \
     CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) FROM rate_limit \
     WHERE lineage > $1 ORDER BY lineage LIMIT $2";

/// Waits for no lock: who holds one is about to use the limit.
pub const FORGET: &str = "DELETE FROM rate_limit WHERE lineage IN (SELECT lineage FROM rate_limit \
     WHERE lineage = ANY($1) AND full_again <= $2 ORDER BY lineage FOR UPDATE SKIP LOCKED)";

/// Keeps limits in the database.
pub struct Limits {
    options: PostgresOptions,
    /// The connection, as long as it is good; nothing any more once it is closed.
    connection: Turn<Option<PgConnection>>,
    /// Up to which row it was looked which can be forgotten.
    looked_at: Mutex<String>,
}

impl Limits {
    pub fn of(options: PostgresOptions) -> Self {
        Self {
            options: options.with_patience(PATIENCE),
            connection: Turn::default(),
            looked_at: Mutex::default(),
        }
    }

    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            connect::close(connection).await;
        }
    }

    /// Does something on the connection, again as long as others are in the way.
    async fn on_connection<W: Work>(&self, work: &W) -> Result<W::Done, Failure> {
        let mut held = self.connection.lock().await;
        let mut tries = 1;
        loop {
            // Out of its place while it is in use: one that is given up in the middle is closed.
            let waiting = held.take();
            let was_idle = waiting.is_some();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            match run(&mut connection, BEGIN).await {
                // The server was restarted, perhaps, since the connection was used last. Later it would
                // not be known whether anything was done, and what goes back must not go back twice.
                Err(Fault::Lost(_)) if was_idle => continue,
                begun => begun.map_err(Fault::into_failure)?,
            }
            match attempt(work, &mut connection).await {
                Ok(done) => {
                    *held = Some(connection);
                    return Ok(done);
                }
                Err(Fault::InTheWay | Fault::Locked) if tries < TRIES => {
                    run(&mut connection, "ROLLBACK")
                        .await
                        .map_err(Fault::into_failure)?;
                    *held = Some(connection);
                    tries += 1;
                }
                Err(fault) => return Err(fault.into_failure()),
            }
        }
    }

    async fn in_time<W: Work>(&self, work: W) -> Result<W::Done, KeeperGone> {
        let done = timeout(PATIENCE, self.on_connection(&work)).await;
        let late = |_| Failure::unavailable("the database did not answer in time");
        let done = done.map_err(late).and_then(|done| done);
        done.map_err(|Failure(error)| match error {
            StoreError::Unavailable(why) => KeeperGone(why),
            other => KeeperGone(other.to_string()),
        })
    }

    fn looked_at(&self) -> MutexGuard<'_, String> {
        self.looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LimitKeeper for Limits {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Handed>, KeeperGone> {
        self.in_time(Take(asks)).await
    }

    fn hands_out_ahead(&self) -> bool {
        true
    }

    async fn forget_whole(&self) -> Result<(), KeeperGone> {
        let after = self.looked_at().clone();
        *self.looked_at() = self.in_time(Forget { after }).await?;
        Ok(())
    }
}

async fn attempt<W: Work>(work: &W, connection: &mut PgConnection) -> Result<W::Done, Fault> {
    let done = work.attempt(connection).await?;
    run(connection, "COMMIT").await?;
    Ok(done)
}

/// Something to do in a transaction.
trait Work: Sync {
    type Done: Send;

    /// Does it. After an error that is of other transactions, this one is undone and tried again.
    fn attempt(
        &self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<Self::Done, Fault>> + Send;
}

/// Requests to be taken.
struct Take<'a>(&'a [Ask]);

impl Work for Take<'_> {
    type Done = Vec<Handed>;

    async fn attempt(&self, connection: &mut PgConnection) -> Result<Vec<Handed>, Fault> {
        let Self(asks) = *self;
        loop {
            let mut rows = lock(connection, asks).await?;
            let missing = missing(asks, &rows);
            if missing.is_empty() {
                let handed = hand_out(asks, &mut rows);
                write(connection, rows).await?;
                return Ok(handed);
            }
            // Without a lock on others, so that two who miss rows do not wait for each other.
            run(connection, "ROLLBACK").await?;
            INSERT.run(connection, missing).await?;
            run(connection, BEGIN).await?;
        }
    }
}

/// A row that is locked, and the moment at which it was.
struct Row {
    used: Used,
    now: Nanos,
}

async fn lock(connection: &mut PgConnection, asks: &[Ask]) -> Result<HashMap<KeyId, Row>, Fault> {
    let mut lineages: Vec<String> = asks.iter().map(|ask| ask.lineage.to_string()).collect();
    lineages.sort_unstable();
    lineages.dedup();
    let by_name: HashMap<String, KeyId> = asks
        .iter()
        .map(|ask| (ask.lineage.to_string(), ask.lineage))
        .collect();
    let rows = sqlx::query(LOCK)
        .bind(lineages)
        .fetch_all(connection)
        .await?;
    let mut locked = HashMap::with_capacity(rows.len());
    for row in &rows {
        let mut columns = Columns::of(row);
        let lineage: String = columns.take()?;
        let used = Used {
            full_again: columns.take()?,
            window_seconds: columns.number()?,
        };
        let now = in_nanos(columns.take()?);
        if let Some(lineage) = by_name.get(&lineage) {
            locked.insert(*lineage, Row { used, now });
        }
    }
    Ok(locked)
}

/// Rows for the limits that have none, in their order.
fn missing(asks: &[Ask], rows: &HashMap<KeyId, Row>) -> Vec<Vec<Value>> {
    let missing = asks.iter().filter(|ask| !rows.contains_key(&ask.lineage));
    let mut missing: Vec<(String, u32)> = missing
        .map(|ask| (ask.lineage.to_string(), ask.limit.window_seconds()))
        .collect();
    missing.sort_unstable();
    missing.dedup_by(|one, other| one.0 == other.0);
    let values = missing
        .into_iter()
        .map(|(lineage, window)| vec![lineage.into(), 0_i64.into(), window.into()]);
    values.collect()
}

fn hand_out(asks: &[Ask], rows: &mut HashMap<KeyId, Row>) -> Vec<Handed> {
    let nothing = Handed {
        requests: 0,
        missing: 0,
    };
    let handed = asks.iter().map(|ask| match rows.get_mut(&ask.lineage) {
        Some(row) => row
            .used
            .hand_out(ask.limit, ask.returned, ask.wanted, row.now),
        None => nothing,
    });
    handed.collect()
}

async fn write(connection: &mut PgConnection, rows: HashMap<KeyId, Row>) -> Result<(), Fault> {
    let values = rows.into_iter().map(|(lineage, Row { used, .. })| {
        vec![
            lineage.to_string().into(),
            used.full_again.into(),
            used.window_seconds.into(),
        ]
    });
    UPDATE.run(connection, values.collect()).await?;
    Ok(())
}

/// Some rows to be forgotten: those of a page that are whole again.
struct Forget {
    after: String,
}

impl Work for Forget {
    /// Where the next page begins.
    type Done = String;

    async fn attempt(&self, connection: &mut PgConnection) -> Result<String, Fault> {
        let rows = sqlx::query(PAGE_AFTER)
            .bind(&self.after)
            .bind(PAGE)
            .fetch_all(&mut *connection)
            .await?;
        let (mut whole, mut last, mut now) = (Vec::new(), String::new(), 0);
        for row in &rows {
            let mut columns = Columns::of(row);
            last = columns.take()?;
            let full_again: Nanos = columns.take()?;
            now = in_nanos(columns.take()?);
            if full_again <= now {
                whole.push(last.clone());
            }
        }
        if !whole.is_empty() {
            let forget = sqlx::query(FORGET).bind(whole).bind(now);
            forget.execute(connection).await?;
        }
        let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
        Ok(if is_last { String::new() } else { last })
    }
}

const fn in_nanos(micros: i64) -> Nanos {
    micros.saturating_mul(1_000)
}
