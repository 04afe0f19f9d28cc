//! The connections that read: a bounded number, made as they are needed.

use std::sync::{Arc, Mutex, PoisonError};

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

/// The connections that read.
pub struct Readers {
    pub cipher: Arc<ColumnCipher>,
    options: PostgresOptions,
    /// One for each connection that may be in use.
    free: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl Readers {
    pub fn new(options: PostgresOptions, cipher: Arc<ColumnCipher>) -> Self {
        Self {
            free: Semaphore::new(options.readers() as usize),
            options,
            cipher,
            idle: Mutex::default(),
        }
    }

    /// The rows that answer a statement.
    pub async fn rows(&self, sql: &'static str, values: Values) -> Result<Vec<PgRow>, Failure> {
        self.fetch(sql.into_sql_str(), values).await
    }

    /// The rows that answer a statement that was put together.
    pub async fn rows_of(&self, sql: String, values: Values) -> Result<Vec<PgRow>, Failure> {
        self.fetch(AssertSqlSafe(sql).into_sql_str(), values).await
    }

    /// Closes them. What is being answered is answered.
    pub async fn close(&self) {
        self.free.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            connect::close(connection).await;
        }
    }

    async fn fetch(&self, sql: SqlStr, values: Values) -> Result<Vec<PgRow>, Failure> {
        let late = |_| Failure::unavailable("the database did not answer in time");
        let busy = |_| Failure::unavailable("no connection became free in time");
        let permit = timeout(self.options.patience(), self.free.acquire())
            .await
            .map_err(busy)?;
        let _permit = permit.map_err(|_| Failure::unavailable("it was closed"))?;
        timeout(self.options.patience(), self.answer(sql, values))
            .await
            .map_err(late)?
    }

    /// A connection goes back only once it has answered: one that is given up in the middle is closed.
    async fn answer(&self, sql: SqlStr, values: Values) -> Result<Vec<PgRow>, Failure> {
        let mut tries = 0;
        loop {
            let waiting = self.idle().pop();
            let was_idle = waiting.is_some();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => self.options.connect().await?,
            };
            let statement = bind(sqlx::query(sql.clone()), values.clone());
            match statement
                .fetch_all(&mut connection)
                .await
                .map_err(Fault::from)
            {
                Ok(rows) => {
                    self.put_back(connection);
                    return Ok(rows);
                }
                // The server was restarted, perhaps: then the others that were idle are gone too.
                Err(Fault::Lost(_)) if was_idle => self.idle().clear(),
                Err(Fault::InTheWay) if tries < TRIES => {
                    tries += 1;
                    self.put_back(connection);
                }
                Err(fault @ Fault::Lost(_)) => return Err(fault.into_failure()),
                Err(fault) => {
                    self.put_back(connection);
                    return Err(fault.into_failure());
                }
            }
        }
    }

    fn put_back(&self, connection: PgConnection) {
        if !self.free.is_closed() {
            self.idle().push(connection);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
