//! The database that a store is moved to, and what it says of how far its copy has come.

use std::time::Duration;

use sealgate_core::audit::{BadChain, Chain, Head, Walk};
use sealgate_core::store::StoreError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::source::{Ends, Mark};
use super::table::{TABLES, Table, place, read_place};
use super::{MoveError, of_target};
use crate::columns::Columns;
use crate::failure::Failure;
use crate::postgres::error::Fault;
use crate::postgres::statement::{Bulk, bind, execute, run};
use crate::postgres::{PostgresOptions, connect, log, schema};
use crate::row::Values;
use crate::row::audit::read;

/// How long one statement may take: to count the rows of a large table, for one.
const PATIENCE: Duration = Duration::from_mins(10);

/// Records that are walked at once.
const STEP: u32 = 5_000;

const TABLE_NAMES: &str = "SELECT CAST(table_name AS text) FROM information_schema.tables \
     WHERE table_schema = current_schema() ORDER BY table_name";

/// A row for each table that is copied: how many rows there are, and where the last page ended. A row
/// without a table's name: which store it is, and in which state it was.
const PROGRESS: &str = "CREATE TABLE unfinished_move (\
     name TEXT NOT NULL PRIMARY KEY, moved BIGINT NOT NULL, state TEXT NOT NULL)";

const NOTED: &str = "SELECT name, moved, state FROM unfinished_move";

const NOTE: &str = "INSERT INTO unfinished_move (name, moved, state) VALUES ($1, $2, $3)";

/// Only if it is where this process left it: no other copies at the same time.
const ADVANCE: &str =
    "UPDATE unfinished_move SET moved = $1, state = $2 WHERE name = $3 AND moved = $4";

const META: &str = "INSERT INTO meta (one, schema_version, key_count, user_count, feed_floor) \
     VALUES (1, $1, $2, $3, $4)";

const HEAD: &str = "INSERT INTO audit_head (one, sequence, hash, seal, feed_end) \
     VALUES (1, $1, $2, $3, $4)";

/// The database.
pub struct Target {
    connection: PgConnection,
    /// How far each table has come, in the order of [`TABLES`].
    reached: Vec<Reached>,
}

#[derive(Clone, Default)]
struct Reached {
    rows: u64,
    place: String,
}

impl Target {
    /// Makes the tables in an empty database, or finds how far a copy of the same store has come.
    pub async fn open(options: PostgresOptions, mark: &Mark) -> Result<Self, MoveError> {
        let options = options.with_patience(PATIENCE);
        let mut connection = options.connect().await.map_err(of_target)?;
        let fail = |fault: Fault| of_target(fault.into_failure());
        let names = sqlx::query(TABLE_NAMES).fetch_all(&mut connection).await;
        let names = names.map_err(|error| fail(error.into()))?;
        let names: Result<Vec<String>, _> = names.iter().map(|row| row.try_get(0)).collect();
        let names = names.map_err(|error| fail(error.into()))?;
        let reached = match names.into_iter().next() {
            None => {
                make(&mut connection, mark).await.map_err(fail)?;
                vec![Reached::default(); TABLES.len()]
            }
            Some(name) => match noted(&mut connection).await.map_err(fail)? {
                None => return Err(MoveError::NotEmpty(name)),
                Some(rows) => reached(rows, mark)?,
            },
        };
        Ok(Self {
            connection,
            reached,
        })
    }

    /// How many rows were copied so far.
    pub fn moved(&self) -> u64 {
        self.reached.iter().map(|table| table.rows).sum()
    }

    /// The key that the next page of a table follows.
    pub fn place(&self, table: usize) -> Result<Option<Values>, Failure> {
        read_place(&TABLES[table], &self.reached[table].place)
    }

    /// Writes a page and notes how far it has come, both or neither.
    pub async fn write(&mut self, number: usize, page: Vec<Values>) -> Result<(), Failure> {
        let table = &TABLES[number];
        let before = self.reached[number].rows;
        let Some(last) = page.last() else {
            return Ok(());
        };
        let reached = Reached {
            rows: before + page.len() as u64,
            place: place(table, last),
        };
        let values = vec![
            reached.rows.into(),
            reached.place.clone().into(),
            table.name.into(),
            before.into(),
        ];
        let insert = Bulk {
            head: table.insert,
            tail: "",
        };
        let connection = &mut self.connection;
        run(connection, "BEGIN")
            .await
            .map_err(Fault::into_failure)?;
        insert.run(connection, page).await?;
        if execute(connection, ADVANCE, values).await? != 1 {
            return Err(Failure::unavailable("another process copies to it"));
        }
        run(connection, "COMMIT")
            .await
            .map_err(Fault::into_failure)?;
        self.reached[number] = reached;
        Ok(())
    }

    pub async fn count(&mut self, table: &Table) -> Result<u64, Failure> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let counted = sqlx::query(AssertSqlSafe(sql));
        let row = counted.fetch_one(&mut self.connection).await?;
        Columns::of(&row).number()
    }

    /// Walks the copy of the audit log up to the end that it has to have.
    pub async fn walk(
        &mut self,
        chain: &Chain,
        end: &Head,
        mut progress: impl FnMut(u64),
    ) -> Result<Result<(), BadChain>, Failure> {
        let mut walk = Walk::new(chain);
        loop {
            let values = vec![walk.sequence().into(), STEP.into()];
            let rows = bind(sqlx::query(log::AFTER), values);
            let rows: Vec<PgRow> = rows.fetch_all(&mut self.connection).await?;
            if rows.is_empty() {
                return Ok(walk.finish(end));
            }
            for row in &rows {
                let Ok(record) = read(row) else {
                    return Ok(Err(BadChain::Altered(walk.sequence() + 1)));
                };
                if let Err(bad) = walk.step(&record) {
                    return Ok(Err(bad));
                }
            }
            progress(walk.sequence());
        }
    }

    /// Makes the copy a store, all at once.
    pub async fn finish(&mut self, ends: &Ends) -> Result<(), Failure> {
        let head = vec![
            ends.log.sequence.into(),
            ends.log.hash.0[..].into(),
            ends.log.seal.0[..].into(),
            ends.feed_end.into(),
        ];
        let meta = vec![
            schema::KNOWN.into(),
            ends.keys.into(),
            ends.users.into(),
            ends.feed_floor.into(),
        ];
        let connection = &mut self.connection;
        run(connection, "BEGIN")
            .await
            .map_err(Fault::into_failure)?;
        execute(connection, HEAD, head).await?;
        execute(connection, META, meta).await?;
        let end = "DROP TABLE unfinished_move; COMMIT";
        run(connection, end).await.map_err(Fault::into_failure)
    }

    pub async fn close(self) {
        connect::close(self.connection).await;
    }
}

/// Makes the tables of a store, and the one that says that they are not whole.
async fn make(connection: &mut PgConnection, mark: &Mark) -> Result<(), Fault> {
    run(connection, "BEGIN").await?;
    schema::make_tables(connection).await?;
    run(connection, PROGRESS).await?;
    let mark = vec!["".into(), 0_i64.into(), described(mark).into()];
    execute(connection, NOTE, mark).await?;
    for table in TABLES {
        let none = vec![table.name.into(), 0_i64.into(), "".into()];
        execute(connection, NOTE, none).await?;
    }
    run(connection, "COMMIT").await
}

/// The rows of a copy that is not finished, if there is one.
async fn noted(connection: &mut PgConnection) -> Result<Option<Vec<PgRow>>, Fault> {
    if !schema::is_unfinished(connection).await? {
        return Ok(None);
    }
    Ok(Some(sqlx::query(NOTED).fetch_all(connection).await?))
}

/// How far a copy has come, if it is one of this store in this state.
fn reached(rows: Vec<PgRow>, mark: &Mark) -> Result<Vec<Reached>, MoveError> {
    let mut reached = vec![None; TABLES.len()];
    let mut is_ours = false;
    for row in rows {
        let mut columns = Columns::of(&row);
        let mut read = || {
            let name: String = columns.take()?;
            let rows = columns.number()?;
            let place: String = columns.take()?;
            Ok((name, Reached { rows, place }))
        };
        let (name, table) = read().map_err(of_target)?;
        if name.is_empty() {
            if table.place.split_once(' ').map(|(store, _)| store) != Some(mark.store.as_str()) {
                return Err(MoveError::OtherStore);
            }
            if table.place != described(mark) {
                return Err(MoveError::Changed);
            }
            is_ours = true;
        } else if let Some(number) = TABLES.iter().position(|table| table.name == name) {
            reached[number] = Some(table);
        }
    }
    let all: Option<Vec<Reached>> = reached.into_iter().collect();
    all.filter(|_| is_ours).ok_or_else(|| {
        let why = "it does not say how far its copy has come".to_owned();
        MoveError::Target(StoreError::Unreadable(why))
    })
}

/// A mark as it is noted.
fn described(mark: &Mark) -> String {
    format!("{} {}", mark.store, mark.state)
}
