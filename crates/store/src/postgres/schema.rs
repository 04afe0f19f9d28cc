//! The schema's versions, and what a store is born with: its data encryption key and the first
//! record of its audit log.

use std::sync::Arc;
use std::time::Duration;

use sealgate_core::audit::{Action, Actor, Chain, Event};
use sealgate_core::clock::Timestamp;
use sealgate_core::master::MasterKey;
use sealgate_core::random::Random;
use sealgate_core::store::StoreError;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::time::sleep;

use super::connect::PostgresOptions;
use super::error::{DUPLICATE, Fault, NO_SUCH_COLUMN, NO_SUCH_TABLE, TABLE_EXISTS, code};
use super::statement::{Columns, execute, run};
use super::transaction::{Head, Transaction};
use crate::cipher::{ColumnCipher, WrappedKey};
use crate::failure::Failure;

/// The schema that an empty database gets first: the one that was the newest when there was none on
/// PostgreSQL yet. A version has the same number on every engine.
const FIRST: (u32, &str) = (4, include_str!("../../migrations/postgres/0004_first.sql"));

/// What leads from each version to the next.
const MIGRATIONS: &[(u32, &str)] = &[
    (5, include_str!("../../migrations/postgres/0005_none.sql")),
    (6, include_str!("../../migrations/postgres/0006_none.sql")),
    (
        7,
        include_str!("../../migrations/postgres/0007_rate_limit.sql"),
    ),
];

/// The newest version this program knows.
pub const KNOWN: u32 = match MIGRATIONS.last() {
    Some((version, _)) => *version,
    None => FIRST.0,
};

/// How often a migration is tried that another process makes at the same time, and after how long.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";

const VERSION: &str = "SELECT schema_version FROM meta WHERE one = 1";

const TABLES: &str = "SELECT count(*) FROM information_schema.tables \
     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'";

const UNFINISHED: &str = "SELECT count(*) FROM information_schema.tables \
     WHERE table_schema = current_schema() AND table_name = 'unfinished_move'";

const WRAPPED_KEYS: &str = "SELECT id, wrapped FROM data_encryption_key ORDER BY id DESC";

/// What a store is set up and unlocked with.
pub struct Keeper<'a> {
    /// How long an answer is waited for, but for a migration's.
    pub options: &'a PostgresOptions,
    /// Wraps the data encryption keys.
    pub master: &'a MasterKey,
    /// Links audit records.
    pub chain: &'a Chain,
    /// Draws data encryption keys and nonces.
    pub random: Arc<dyn Random>,
    /// The time of the first audit record, should there be none.
    pub now: Timestamp,
    /// Whether an empty database becomes a store.
    pub create: bool,
}

impl Keeper<'_> {
    /// Brings the schema to the newest version, sets up a store that is new, and unlocks its columns.
    ///
    /// # Errors
    /// If the store is newer than this program, another program's, or another master key's.
    pub async fn open(&self, connection: &mut PgConnection) -> Result<ColumnCipher, Failure> {
        let options = self.options;
        let checked = options.in_time(check_encoding(connection)).await;
        checked.map_err(Fault::into_failure)?;
        let mut tries = 0;
        loop {
            let found = options.in_time(version(connection)).await;
            let migrated = match found {
                Ok(Some(KNOWN)) => break,
                Ok(None) if !self.create => {
                    return Err(Failure::unavailable("there is no store in the database"));
                }
                Ok(found) => self.migrate(connection, found).await,
                Err(fault) => Err(fault.into()),
            };
            let Err(error) = migrated else {
                break;
            };
            let _ = options.in_time(run(connection, "ROLLBACK")).await;
            if !error.is_race || tries == TRIES {
                return Err(error.fault.into_failure());
            }
            // Another process does the same: the version is read again.
            if tries == 0 {
                tracing::info!("waiting for another process that brings the database up to date");
            }
            tries += 1;
            sleep(PAUSE).await;
        }
        let unlocked = options.in_time(self.unlock(connection)).await;
        unlocked.map_err(Fault::into_failure)
    }

    /// Leads from the version that was found to the newest, in one transaction, however long that takes.
    async fn migrate(
        &self,
        connection: &mut PgConnection,
        found: Option<u32>,
    ) -> Result<(), Mishap> {
        run(connection, BEGIN).await?;
        let at = match found {
            None => {
                script(connection, FIRST.1).await?;
                self.set_up(connection).await?;
                FIRST.0
            }
            Some(_) => locked_version(connection).await?,
        };
        for (version, migration) in MIGRATIONS {
            if *version > at {
                script(connection, migration).await?;
            }
        }
        let note = "UPDATE meta SET schema_version = $1";
        execute(connection, note, vec![KNOWN.into()]).await?;
        run(connection, "COMMIT").await?;
        Ok(())
    }

    async fn set_up(&self, connection: &mut PgConnection) -> Result<(), Mishap> {
        let meta = "INSERT INTO meta (one, schema_version, key_count, user_count, feed_floor) \
                    VALUES (1, $1, 0, 0, 0)";
        execute(connection, meta, vec![FIRST.0.into()]).await?;
        let key = WrappedKey::generate(1, self.master, &*self.random);
        let insert =
            "INSERT INTO data_encryption_key (id, wrapped, created_at) VALUES ($1, $2, $3)";
        let values = vec![key.id.into(), key.wrapped.into(), self.now.into()];
        execute(connection, insert, values).await?;
        let head = "INSERT INTO audit_head (one, sequence, hash, seal, feed_end) \
                    VALUES (1, 0, $1, $1, 0)";
        execute(connection, head, vec![Vec::new().into()]).await?;
        let cipher = &self.unlock(connection).await?;
        let born = Event::new(self.now, Action::StoreCreated, None, &Actor::System);
        let mut open = Transaction {
            connection,
            cipher,
            chain: self.chain,
            random: &*self.random,
            head: Head::START,
        };
        open.append(&[born]).await?;
        open.head.write(open.connection, self.chain).await?;
        Ok(())
    }

    async fn unlock(&self, connection: &mut PgConnection) -> Result<ColumnCipher, Fault> {
        let rows = sqlx::query(WRAPPED_KEYS).fetch_all(connection).await?;
        let wrapped = rows.iter().map(|row| {
            let mut columns = Columns::of(row);
            Ok(WrappedKey {
                id: columns.number()?,
                wrapped: columns.take()?,
            })
        });
        let wrapped = wrapped.collect::<Result<Vec<_>, Failure>>()?;
        Ok(ColumnCipher::unwrap(
            self.master,
            &wrapped,
            self.random.clone(),
        )?)
    }
}

/// Makes the tables of the newest version, without what makes them a store.
pub async fn make_tables(connection: &mut PgConnection) -> Result<(), Fault> {
    script(connection, FIRST.1).await?;
    for (_, migration) in MIGRATIONS {
        script(connection, migration).await?;
    }
    Ok(())
}

/// Runs the statements of a migration. `CockroachDB` compares texts by their bytes always, and does
/// not take a column that asks for it.
async fn script(connection: &mut PgConnection, migration: &'static str) -> Result<(), sqlx::Error> {
    let row = sqlx::query("SELECT version()")
        .fetch_one(&mut *connection)
        .await?;
    let engine: String = sqlx::Row::try_get(&row, 0)?;
    let script = if engine.starts_with("CockroachDB") {
        migration.replace(" COLLATE \"C\"", "")
    } else {
        migration.to_owned()
    };
    sqlx::raw_sql(AssertSqlSafe(script))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a store was being moved to this database, and is not there yet.
pub async fn is_unfinished(connection: &mut PgConnection) -> Result<bool, Fault> {
    let row = sqlx::query(UNFINISHED).fetch_one(connection).await?;
    Ok(Columns::of(&row).take::<i64>()? > 0)
}

/// Why a migration failed.
struct Mishap {
    fault: Fault,
    /// Whether another process may have made it at the same time.
    is_race: bool,
}

impl From<sqlx::Error> for Mishap {
    fn from(error: sqlx::Error) -> Self {
        let is_there_already = matches!(code(&error), Some(DUPLICATE | TABLE_EXISTS));
        let fault = Fault::from(error);
        Self {
            is_race: is_there_already || fault.is_of_others(),
            fault,
        }
    }
}

impl From<Fault> for Mishap {
    fn from(fault: Fault) -> Self {
        Self {
            is_race: fault.is_of_others(),
            fault,
        }
    }
}

/// Refuses a database that cannot keep every text.
async fn check_encoding(connection: &mut PgConnection) -> Result<(), Fault> {
    let row = sqlx::query("SHOW server_encoding")
        .fetch_one(connection)
        .await?;
    let encoding: String = Columns::of(&row).take()?;
    if encoding.eq_ignore_ascii_case("UTF8") {
        return Ok(());
    }
    Err(Failure::unavailable(format!(
        "the database has the encoding {encoding}: create one with ENCODING 'UTF8'"
    ))
    .into())
}

/// The version of the schema that is there; nothing in an empty database.
pub async fn version(connection: &mut PgConnection) -> Result<Option<u32>, Fault> {
    let tables = match noted_version(connection).await? {
        Some(version) => return Ok(Some(version)),
        None => sqlx::query(TABLES).fetch_one(&mut *connection).await?,
    };
    if Columns::of(&tables).take::<i64>()? == 0 {
        return Ok(None);
    }
    // Another process may have made them between the two questions.
    let version = noted_version(connection).await?;
    version.map(Some).ok_or_else(|| foreign().into())
}

/// The version that the database says it has; nothing if it has no place for one.
async fn noted_version(connection: &mut PgConnection) -> Result<Option<u32>, Fault> {
    match sqlx::query(VERSION).fetch_optional(&mut *connection).await {
        Ok(Some(row)) => known(Columns::of(&row).number()?).map(Some),
        Ok(None) if is_unfinished(connection).await? => Err(Failure::unavailable(
            "a store is being moved to it, and is not all there: `sealgate migrate-store` goes on \
             where it was",
        )
        .into()),
        Ok(None) => Err(Failure::unreadable("its only row in meta is missing").into()),
        Err(error) => match code(&error) {
            Some(NO_SUCH_TABLE) => Ok(None),
            Some(NO_SUCH_COLUMN) => Err(foreign().into()),
            _ => Err(error.into()),
        },
    }
}

fn foreign() -> Failure {
    Failure::unreadable("it is the database of another program")
}

/// The version, which no other process changes before this transaction ends.
async fn locked_version(connection: &mut PgConnection) -> Result<u32, Fault> {
    let row = sqlx::query(AssertSqlSafe(format!("{VERSION} FOR UPDATE")))
        .fetch_one(connection)
        .await?;
    known(Columns::of(&row).number()?)
}

fn known(found: u32) -> Result<u32, Fault> {
    if found > KNOWN {
        let known = KNOWN;
        return Err(StoreError::NewerSchema { found, known }.into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program that is one version older does not notice: its statements name their columns.
    fn is_expansion(statement: &str) -> bool {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let text = words.join(" ").to_uppercase();
        let adds_column = || {
            text.starts_with("ALTER TABLE ")
                && text.contains(" ADD COLUMN ")
                && (!text.contains(" NOT NULL") || text.contains(" DEFAULT "))
                && !text.contains(" DROP ")
        };
        text.starts_with("CREATE TABLE ")
            || text.starts_with("CREATE INDEX ")
            || (text.starts_with("ALTER TABLE ") && text.contains(" SET (FILLFACTOR"))
            || adds_column()
    }

    fn statements(script: &str) -> impl Iterator<Item = String> {
        let code: Vec<&str> = script
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default())
            .collect();
        let code = code.join("\n");
        let statements: Vec<String> = code
            .split(';')
            .map(|statement| statement.trim().to_owned())
            .filter(|statement| !statement.is_empty())
            .collect();
        statements.into_iter()
    }

    #[test]
    fn a_migration_takes_nothing_away_that_running_processes_of_the_version_before_use() {
        for (version, script) in MIGRATIONS {
            for statement in statements(script) {
                assert!(
                    is_expansion(&statement),
                    "{version}: while nodes are upgraded one by one, older ones go on with the new tables. \
                     Remove or change what they use in a later version: {statement}"
                );
            }
        }
    }

    #[test]
    fn what_breaks_a_running_process_is_recognised() {
        for good in [
            "CREATE TABLE t (a bigint PRIMARY KEY)",
            "create index i\n on t (a)",
            "ALTER TABLE t ADD COLUMN b text",
            "ALTER TABLE t ADD COLUMN b bigint NOT NULL DEFAULT 0",
        ] {
            assert!(is_expansion(good), "{good}");
        }
        for bad in [
            "ALTER TABLE t DROP COLUMN a",
            "ALTER TABLE t ADD COLUMN b text, DROP COLUMN a",
            "ALTER TABLE t RENAME COLUMN a TO b",
            "ALTER TABLE t ADD COLUMN b bigint NOT NULL",
            "ALTER TABLE t ALTER COLUMN a TYPE text",
            "DROP TABLE t",
            "CREATE UNIQUE INDEX i ON t (a)",
            "UPDATE t SET a = 1",
        ] {
            assert!(!is_expansion(bad), "{bad}");
        }
    }
}
