//! The connections that read: a bounded number, made as they are needed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sealgate_core::store::FeedPosition;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connect::{self, PostgresOptions};
use super::error::Fault;
use super::statement::bind;
use crate::cipher::ColumnCipher;
use crate::failure::Failure;
use crate::row::Values;

/// How often a statement that was in the way of others is run.
const TRIES: u32 = 5;

/// How long whoever follows the change feed waits for each row. A server whose machine is gone says
/// nothing, not even that; known keys are honoured only for so long without news.
const FEED_PATIENCE: Duration = Duration::from_secs(2);

/// The connections that read.
pub struct Readers {
    pub cipher: Arc<ColumnCipher>,
    options: PostgresOptions,
    /// One for each connection that may be in use, but for that of the change feed.
    free: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
    /// Where the change feed was read to, and the mark of the row there.
    followed: Mutex<Option<(FeedPosition, Option<i64>)>>,
}

impl Readers {
    pub fn new(options: PostgresOptions, cipher: Arc<ColumnCipher>) -> Self {
        Self {
            free: Semaphore::new(options.readers() as usize),
            options,
            cipher,
            idle: Mutex::default(),
            followed: Mutex::default(),
        }
    }

    /// The rows that answer a statement.
    pub async fn rows(&self, sql: &'static str, values: Values) -> Result<Vec<PgRow>, Failure> {
        let mut rows = Vec::new();
        self.fetch(sql.into_sql_str(), values, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The rows that answer a statement that was put together.
    pub async fn rows_of(&self, sql: String, values: Values) -> Result<Vec<PgRow>, Failure> {
        let mut rows = Vec::new();
        self.fetch(AssertSqlSafe(sql).into_sql_str(), values, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The rows that answer a statement about the change feed. It waits for no other reader, and not long
    /// for a server that says nothing.
    pub async fn rows_of_feed(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            Ok(())
        };
        self.fetch_now(sql.into_sql_str(), values, FEED_PATIENCE, take)
            .await?;
        Ok(rows)
    }

    /// Closes them. What is being answered is answered.
    pub async fn close(&self) {
        self.free.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            connect::close(connection).await;
        }
    }

    /// Hands over each row while the server still looks for the next.
    pub async fn fetch(
        &self,
        sql: SqlStr,
        values: Values,
        take: impl FnMut(PgRow) -> Result<(), Failure> + Send,
    ) -> Result<(), Failure> {
        let patience = self.options.patience();
        let busy = |_| Failure::unavailable("no connection became free in time");
        let permit = timeout(patience, self.free.acquire()).await.map_err(busy)?;
        let _permit = permit.map_err(|_| closed())?;
        self.fetch_now(sql, values, patience, take).await
    }

    /// Gives up after so long without a row, or once the patience is over.
    async fn fetch_now(
        &self,
        sql: SqlStr,
        values: Values,
        silence: Duration,
        take: impl FnMut(PgRow) -> Result<(), Failure> + Send,
    ) -> Result<(), Failure> {
        if self.free.is_closed() {
            return Err(closed());
        }
        let answering = self.answer(sql, values, silence, take);
        let answered = timeout(self.options.patience(), answering).await;
        answered.map_err(|_| self.late())?
    }

    /// Perhaps the server's machine is gone: then all that were idle are of no use either, and each would
    /// keep somebody waiting as long.
    fn late(&self) -> Failure {
        self.idle().clear();
        Failure::unavailable("the database did not answer in time")
    }

    /// A connection goes back only once it has answered: one that is given up in the middle is closed. The
    /// statement is run again only as long as none of its rows was handed over.
    async fn answer(
        &self,
        sql: SqlStr,
        values: Values,
        silence: Duration,
        mut take: impl FnMut(PgRow) -> Result<(), Failure> + Send,
    ) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let waiting = self.idle().pop();
            let was_idle = waiting.is_some();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            let statement = bind(sqlx::query(sql.clone()), values.clone());
            let mut is_new = true;
            let fault = {
                let mut rows = statement.fetch(&mut connection);
                loop {
                    let next = timeout(silence, rows.try_next()).await;
                    match next.map_err(|_| self.late())? {
                        Ok(Some(row)) => {
                            is_new = false;
                            take(row)?;
                        }
                        Ok(None) => break None,
                        Err(error) => break Some(Fault::from(error)),
                    }
                }
            };
            match fault {
                // The server was restarted, perhaps: then the others that were idle are gone too.
                Some(Fault::Lost(_)) if was_idle && is_new => self.idle().clear(),
                Some(fault @ Fault::Lost(_)) => return Err(fault.into_failure()),
                Some(Fault::InTheWay) if is_new && tries < TRIES => {
                    tries += 1;
                    self.put_back(connection);
                }
                fault => {
                    self.put_back(connection);
                    return fault.map_or(Ok(()), |fault| Err(fault.into_failure()));
                }
            }
        }
    }

    /// Where the change feed was read to.
    pub fn followed(&self) -> MutexGuard<'_, Option<(FeedPosition, Option<i64>)>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, connection: PgConnection) {
        if !self.free.is_closed() {
            self.idle().push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> Failure {
    Failure::unavailable("it was closed")
}
