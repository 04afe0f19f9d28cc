//! Statements that take any number of rows, and the values of a row.

use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column as _, Row as _};

use super::error::Fault;
use crate::columns::{self, Cells};
use crate::failure::Failure;
use crate::row::{Value, Values};

/// A statement on its way to getting its values.
pub type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds values in their order.
pub fn bind(statement: Statement<'_>, values: Values) -> Statement<'_> {
    values
        .into_iter()
        .fold(statement, |statement, value| match value {
            Value::Text(text) => statement.bind(text.map(escaped)),
            Value::Number(number) => statement.bind(number),
            Value::Bytes(bytes) => statement.bind(bytes),
        })
}

/// Runs a statement; says how many rows it touched.
pub async fn execute(
    connection: &mut PgConnection,
    sql: &'static str,
    values: Values,
) -> Result<u64, sqlx::Error> {
    let done = bind(sqlx::query(sql), values).execute(connection).await?;
    Ok(done.rows_affected())
}

/// A statement that takes any number of rows of values: each column is one array, so that it is the
/// same statement for any number.
pub struct Bulk {
    /// What comes before the rows: `INSERT INTO table (columns) SELECT * FROM`, for one.
    pub head: &'static str,
    /// What follows them: an `ON CONFLICT` clause, for one, or nothing.
    pub tail: &'static str,
}

impl Bulk {
    /// Runs it for rows in their order, all of as many values of the same kinds.
    pub async fn run(
        &self,
        connection: &mut PgConnection,
        rows: Vec<Values>,
    ) -> Result<u64, sqlx::Error> {
        let mut rows = rows.into_iter();
        let Some(first) = rows.next() else {
            return Ok(0);
        };
        let mut arrays: Vec<Array> = first.into_iter().map(Array::of).collect();
        for row in rows {
            for (array, value) in arrays.iter_mut().zip(row) {
                array.push(value);
            }
        }
        let sql = self.sql(&arrays);
        let statement = arrays.into_iter().fold(
            sqlx::query(AssertSqlSafe(sql)),
            |statement, array| match array {
                Array::Texts(texts) => statement.bind(texts),
                Array::Numbers(numbers) => statement.bind(numbers),
                Array::Bytes(bytes) => statement.bind(bytes),
            },
        );
        Ok(statement.execute(connection).await?.rows_affected())
    }

    fn sql(&self, arrays: &[Array]) -> String {
        let arrays = (1..).zip(arrays).map(|(number, array)| {
            let kind = array.kind();
            format!("${number}::{kind}[]")
        });
        let arrays = arrays.collect::<Vec<_>>().join(", ");
        format!("{} UNNEST({arrays}) {}", self.head, self.tail)
    }
}

/// The values of a column.
enum Array {
    Texts(Vec<Option<String>>),
    Numbers(Vec<Option<i64>>),
    Bytes(Vec<Vec<u8>>),
}

impl Array {
    fn of(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Texts(vec![text.map(escaped)]),
            Value::Number(number) => Self::Numbers(vec![number]),
            Value::Bytes(bytes) => Self::Bytes(vec![bytes]),
        }
    }

    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Texts(texts), Value::Text(text)) => texts.push(text.map(escaped)),
            (Self::Numbers(numbers), Value::Number(number)) => numbers.push(number),
            (Self::Bytes(array), Value::Bytes(bytes)) => array.push(bytes),
            _ => unreachable!("every row has values of the same kinds"),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Texts(_) => "text",
            Self::Numbers(_) => "bigint",
            Self::Bytes(_) => "bytea",
        }
    }
}

/// The values of a row of PostgreSQL.
pub type Columns<'r> = columns::Columns<'r, PgRow>;

impl Cells for PgRow {
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

    fn unescaped(text: &str) -> String {
        unescaped(text)
    }
}

/// PostgreSQL has no NUL in a text. This character, which has no other use in ours, stands for it with
/// a `0` behind it, and for itself with a `1`.
const ESCAPE: char = '\u{1A}';

fn escaped(text: String) -> String {
    if text.contains(['\0', ESCAPE]) {
        text.replace(ESCAPE, "\u{1A}1").replace('\0', "\u{1A}0")
    } else {
        text
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\u{1A}0", "\0").replace("\u{1A}1", "\u{1A}")
}

/// One row that has to be there.
pub fn the_row<'r>(rows: &'r [PgRow], table: &str) -> Result<&'r PgRow, Failure> {
    let missing = || Failure::unreadable(format!("its only row in {table} is missing"));
    rows.first().ok_or_else(missing)
}

/// Runs a statement that is a text of its own.
pub async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), Fault> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_reads_back_and_none_has_a_nul() {
        let alphabet = ["", "\0", "\u{1A}", "0", "1", "a"];
        for number in 0..alphabet.len().pow(4) {
            let digit = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
            let text: String = (0..4).map(digit).collect();
            let kept = escaped(text.clone());
            assert!(!kept.contains('\0'), "{text:?}");
            assert_eq!(unescaped(&kept), text);
        }
    }
}
