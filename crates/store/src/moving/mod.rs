//! Moves a store from a file of SQLite to a database of PostgreSQL: row by row, in pages, each written
//! together with how far the copy has come, so that a move that was cut off goes on where it was.
//!
//! Until it is finished the copy lacks the row that says which schema it has. No program takes it for a
//! store.

mod source;
pub mod table;
mod target;

use std::path::Path;
use std::sync::Arc;

use sealgate_core::audit::{BadChain, Chain, ChainHash};
use sealgate_core::clock::{Clock, Timestamp};
use sealgate_core::master::MasterKey;
use sealgate_core::random::Random;
use sealgate_core::store::{Store as _, StoreError};
use thiserror::Error;

use self::source::Source;
use self::table::TABLES;
use self::target::Target;
use crate::failure::Failure;
use crate::postgres::PostgresOptions;
use crate::sqlite::{Sqlite, SqliteOptions};

/// Rows of a page.
const PAGE: usize = 1_000;

/// Adds up the counts of requests that were put down by a server that was killed: the copy has no place for
/// them.
async fn add_up(store: &Sqlite) -> Result<(), StoreError> {
    let beginning = Timestamp::from_millis(0);
    // It says that there is more to do, since it closes no minute before the first.
    while store.close_uses(beginning, beginning, 1).await? > 0 {}
    Ok(())
}

/// A move that was begun, or taken up again.
pub struct Move {
    source: Source,
    target: Target,
    chain: Chain,
    total: u64,
    moved: u64,
}

/// What a move came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Rows of all tables.
    pub rows: u64,
    /// Keys.
    pub keys: u64,
    /// Users.
    pub users: u64,
    /// Audit records.
    pub records: u64,
    /// The hash of the last one.
    pub hash: ChainHash,
}

/// Why a store could not be moved.
#[derive(Debug, Error)]
pub enum MoveError {
    /// The store could not be read.
    #[error("the store that is to be moved: {0}")]
    Source(StoreError),
    /// The database could not be written.
    #[error("the database that it is moved to: {0}")]
    Target(StoreError),
    /// Somebody might write to the store meanwhile.
    #[error("another process has the store open, and could change what was copied already")]
    InUse,
    /// The database holds something.
    #[error("the database is not empty: it has a table {0}")]
    NotEmpty(String),
    /// The database holds a copy of something else.
    #[error("the database holds the unfinished copy of another store, or of another version")]
    OtherStore,
    /// What was copied is not what is there now.
    #[error("the store has changed since its copy was begun")]
    Changed,
    /// A table of the copy is not whole.
    #[error("the copy of {table} has {found} rows, and {expected} were to be copied")]
    Count {
        /// Which one.
        table: &'static str,
        /// Its rows.
        found: u64,
        /// Those of the store.
        expected: u64,
    },
    /// The audit log of the copy is not whole.
    #[error("the audit log is not whole: {0}")]
    Chain(BadChain),
}

impl Move {
    /// Opens both sides; takes up a move of the same store that was not finished. As long as this is
    /// there, no other process can open the store.
    ///
    /// # Errors
    /// If one side cannot be used, the store is in use, or the database holds anything else.
    pub async fn begin(
        from: &Path,
        to: PostgresOptions,
        master: &MasterKey,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MoveError> {
        // It is brought to the newest schema, and the master key is proved to be its own.
        let options = SqliteOptions {
            path: from.to_owned(),
            create: false,
        };
        let store = Sqlite::open(options, master, random, clock).await;
        let store = store.map_err(MoveError::Source)?;
        let added_up = add_up(&store).await;
        store.close().await;
        added_up.map_err(MoveError::Source)?;
        let mut source = Source::open(from).await?;
        let mark = source.mark().await.map_err(of_source)?;
        let target = Target::open(to, &mark).await?;
        let mut total = 0;
        for table in TABLES {
            total += source.count(table).await.map_err(of_source)?;
        }
        let moved = target.moved();
        Ok(Self {
            source,
            target,
            chain: Chain::new(&master.audit_key()),
            total,
            moved,
        })
    }

    /// How many rows there are to be copied in all.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many of them were copied already.
    pub const fn moved(&self) -> u64 {
        self.moved
    }

    /// Copies what is left to be copied; `progress` hears how many rows were copied in all.
    ///
    /// # Errors
    /// If one side fails. What was copied stays, and the next move goes on from there.
    pub async fn copy(&mut self, mut progress: impl FnMut(u64)) -> Result<(), MoveError> {
        for (number, table) in TABLES.iter().enumerate() {
            loop {
                let after = self.target.place(number).map_err(of_target)?;
                let page = self
                    .source
                    .page(table, after, PAGE)
                    .await
                    .map_err(of_source)?;
                let rows = page.len();
                if rows > 0 {
                    self.target.write(number, page).await.map_err(of_target)?;
                    self.moved += rows as u64;
                    progress(self.moved);
                }
                if rows < PAGE {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Compares both sides, walks the audit log of the copy, and makes the copy a store; `progress` hears
    /// the place that the walk has reached.
    ///
    /// # Errors
    /// If the copy is not whole: then it is no store.
    pub async fn finish(mut self, progress: impl FnMut(u64)) -> Result<Moved, MoveError> {
        for table in TABLES {
            let expected = self.source.count(table).await.map_err(of_source)?;
            let found = self.target.count(table).await.map_err(of_target)?;
            if found != expected {
                let table = table.name;
                return Err(MoveError::Count {
                    table,
                    found,
                    expected,
                });
            }
        }
        let ends = self.source.ends().await.map_err(of_source)?;
        let walked = self.target.walk(&self.chain, &ends.log, progress).await;
        walked.map_err(of_target)?.map_err(MoveError::Chain)?;
        self.target.finish(&ends).await.map_err(of_target)?;
        let moved = Moved {
            rows: self.total,
            keys: ends.keys,
            users: ends.users,
            records: ends.log.sequence,
            hash: ends.log.hash,
        };
        self.target.close().await;
        self.source.close().await;
        Ok(moved)
    }
}

fn of_source(Failure(error): Failure) -> MoveError {
    MoveError::Source(error)
}

fn of_target(Failure(error): Failure) -> MoveError {
    MoveError::Target(error)
}
