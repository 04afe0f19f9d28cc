//! Statements that take many rows at once, and the values of a row.

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Row as _};

use super::error::Failure;
use crate::columns::{self, Cells};
use crate::row::{Value, Values};

/// A statement on its way to getting its values.
pub type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Rows of one statement: enough for the cost of a statement to vanish, and with the widest table
/// a tenth of the 32,766 values that SQLite takes.
const ROWS: usize = 128;

/// A statement that takes any number of rows of values.
pub struct Bulk {
    /// All before the values: `INSERT INTO table (columns)`, for one.
    pub head: &'static str,
    /// How many values a row has.
    pub columns: usize,
    /// What follows the values: an `ON CONFLICT` clause, for one, or nothing.
    pub tail: &'static str,
}

impl Bulk {
    /// Runs it for rows in their order; `bind` adds the values of one.
    pub async fn run<'q, T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        mut bind: impl FnMut(Statement<'q>, &T) -> Statement<'q>,
    ) -> Result<(), sqlx::Error> {
        for chunk in rows.chunks(ROWS) {
            let statement = sqlx::query(AssertSqlSafe(self.sql(chunk.len())));
            let statement = chunk.iter().fold(statement, &mut bind);
            // Other sizes do not come again soon, and would push what does out of the cache.
            let comes_again = matches!(chunk.len(), 1 | ROWS);
            statement
                .persistent(comes_again)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// The statement for so many rows.
    pub fn sql(&self, rows: usize) -> String {
        let row = format!("({})", placeholders(self.columns));
        format!(
            "{} VALUES {} {}",
            self.head,
            vec![row; rows].join(", "),
            self.tail
        )
    }
}

/// So many placeholders.
pub fn placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// Binds values in their order.
pub fn bind(statement: Statement<'_>, values: Values) -> Statement<'_> {
    values
        .into_iter()
        .fold(statement, |statement, value| match value {
            Value::Text(text) => statement.bind(text),
            Value::Number(number) => statement.bind(number),
            Value::Bytes(bytes) => statement.bind(bytes),
        })
}

/// The values of a row of SQLite.
pub type Columns<'r> = columns::Columns<'r, SqliteRow>;

impl Cells for SqliteRow {
    fn text(&self, place: usize) -> Result<Option<&str>, Failure> {
        Ok(self.try_get(place)?)
    }

    fn number(&self, place: usize) -> Result<Option<i64>, Failure> {
        Ok(self.try_get(place)?)
    }

    fn bytes(&self, place: usize) -> Result<Option<&[u8]>, Failure> {
        Ok(self.try_get(place)?)
    }

    fn name(&self, place: usize) -> &str {
        self.columns()
            .get(place)
            .map_or("?", |column| column.name())
    }
}
