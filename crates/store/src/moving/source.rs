//! The store that is moved: a file that nobody else has open.

use std::path::Path;

use sealgate_core::audit::Head;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::table::Table;
use super::{MoveError, of_source};
use crate::columns::Columns;
use crate::failure::Failure;
use crate::row::Values;
use crate::row::audit::read_head;
use crate::sqlite::connect;
use crate::sqlite::statement::{bind, placeholders};

/// Tells one store from another, and one state of it from the next. Most changes are audited; uses, and
/// what is forgotten when its time is over, are not.
const MARK: &str = "SELECT (SELECT hex(wrapped) FROM data_encryption_key ORDER BY id LIMIT 1), \
     (SELECT schema_version || ' ' || sequence || ' ' || hex(hash) FROM meta, audit_head) \
     || ' ' || (SELECT count(*) || ' ' || coalesce(max(sequence), 0) FROM feed) \
     || ' ' || (SELECT count(*) || ' ' || coalesce(sum(requests), 0) FROM uses) \
     || ' ' || (SELECT coalesce(sum(use_count), 0) FROM api_key) \
     || ' ' || (SELECT count(*) FROM revocation)";

const ENDS: &str = "SELECT sequence, hash, seal, key_count, user_count, feed_floor, \
     coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0) FROM audit_head, meta";

/// The first column of [`ENDS`] after the sealed end of the log.
const COUNTS: usize = 3;

/// The store.
pub struct Source(SqliteConnection);

/// What was read of a store before anything was copied.
pub struct Mark {
    /// Which store it is.
    pub store: String,
    /// In which state.
    pub state: String,
}

/// What the two tables of one row say.
pub struct Ends {
    /// Where the audit log ends.
    pub log: Head,
    /// How many keys there are.
    pub keys: u64,
    /// How many users there are.
    pub users: u64,
    /// The highest number that was pruned from the change feed.
    pub feed_floor: i64,
    /// The highest number that the change feed ever had.
    pub feed_end: i64,
}

impl Source {
    /// Opens a store that no other process has open, and keeps others out.
    pub async fn open(path: &Path) -> Result<Self, MoveError> {
        let path = connect::database_file(path, false).map_err(MoveError::Source)?;
        match connect::alone(&path).await {
            Ok(Some(connection)) => Ok(Self(connection)),
            Ok(None) => Err(MoveError::InUse),
            Err(failure) => Err(of_source(failure)),
        }
    }

    pub async fn mark(&mut self) -> Result<Mark, Failure> {
        let row = sqlx::query(MARK).fetch_one(&mut self.0).await?;
        Ok(Mark {
            store: row.try_get(0)?,
            state: row.try_get(1)?,
        })
    }

    pub async fn count(&mut self, table: &Table) -> Result<u64, Failure> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let row = sqlx::query(AssertSqlSafe(sql))
            .fetch_one(&mut self.0)
            .await?;
        Columns::of(&row).number()
    }

    /// The rows that follow a key, in the order of the key.
    pub async fn page(
        &mut self,
        table: &Table,
        after: Option<Values>,
        rows: usize,
    ) -> Result<Vec<Values>, Failure> {
        let (names, key) = (table.names(), table.key_names());
        let condition = match &after {
            Some(_) => format!("WHERE ({key}) > ({})", placeholders(table.key)),
            None => String::new(),
        };
        let sql = format!(
            "SELECT {names} FROM {} {condition} ORDER BY {key} LIMIT {rows}",
            table.name
        );
        let statement = bind(sqlx::query(AssertSqlSafe(sql)), after.unwrap_or_default());
        let rows = statement.fetch_all(&mut self.0).await?;
        rows.iter()
            .map(|row: &SqliteRow| table.values(row))
            .collect()
    }

    pub async fn ends(&mut self) -> Result<Ends, Failure> {
        let row = sqlx::query(ENDS).fetch_one(&mut self.0).await?;
        let mut columns = Columns::at(&row, COUNTS);
        Ok(Ends {
            log: read_head(&row)?,
            keys: columns.number()?,
            users: columns.number()?,
            feed_floor: columns.take()?,
            feed_end: columns.take()?,
        })
    }

    /// Lets others open the store again.
    pub async fn close(self) {
        connect::close(self.0).await;
    }
}
