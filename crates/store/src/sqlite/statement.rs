//! Statements that take many rows at once, and the values of a row by their order.

use std::net::IpAddr;
use std::str::FromStr;

use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Row, Type};
use uuid::Uuid;

use super::error::Failure;

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

/// The values of a row, taken one after the other in the order they were selected.
pub struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    /// Starts at the first value.
    pub const fn of(row: &'r SqliteRow) -> Self {
        Self::at(row, 0)
    }

    /// Starts at the value of this place.
    pub const fn at(row: &'r SqliteRow, place: usize) -> Self {
        Self { row, next: place }
    }

    /// The next value.
    pub fn take<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, Failure> {
        let value = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// The next value, a number of a narrower type.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Failure> {
        let value: i64 = self.take()?;
        T::try_from(value).map_err(|_| self.wrong())
    }

    /// The next value, a number of a narrower type or nothing.
    pub fn optional_number<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, Failure> {
        let value: Option<i64> = self.take()?;
        value.map(T::try_from).transpose().map_err(|_| self.wrong())
    }

    /// The next value, a time.
    pub fn time(&mut self) -> Result<Timestamp, Failure> {
        self.take().map(Timestamp::from_millis)
    }

    /// The next value, a time or nothing.
    pub fn optional_time(&mut self) -> Result<Option<Timestamp>, Failure> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// The next value, a key's identifier.
    pub fn key_id(&mut self) -> Result<KeyId, Failure> {
        self.uuid().map(KeyId)
    }

    /// The next value, an identifier.
    pub fn uuid(&mut self) -> Result<Uuid, Failure> {
        let text = self.take()?;
        read_uuid(text).ok_or_else(|| self.wrong())
    }

    /// The next value, a key's identifier or nothing.
    pub fn optional_key_id(&mut self) -> Result<Option<KeyId>, Failure> {
        let text = self.take::<Option<&str>>()?;
        text.map(|text| read_id(text).ok_or_else(|| self.wrong()))
            .transpose()
    }

    /// The next value, a text of a certain form.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, Failure> {
        let text: &str = self.take()?;
        text.parse().map_err(|_| self.wrong())
    }

    /// The next value, an address or nothing.
    pub fn optional_address(&mut self) -> Result<Option<IpAddr>, Failure> {
        let Some(text) = self.take::<Option<&str>>()? else {
            return Ok(None);
        };
        let address: Option<IpAddr> = text.parse().ok();
        // Spelled as it was written, so that the audit log's chain covers every byte of it.
        let address = address.filter(|address| address.to_string() == text);
        address.map(Some).ok_or_else(|| self.wrong())
    }

    /// The next value, so many bytes.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let bytes: &[u8] = self.take()?;
        bytes.try_into().map_err(|_| self.wrong())
    }

    /// The error for the value taken last: it is none that was ever written there.
    pub fn wrong(&self) -> Failure {
        let place = self.next.saturating_sub(1);
        let column = self
            .row
            .columns()
            .get(place)
            .map_or("?", sqlx::Column::name);
        Failure::unreadable(format!("a value of the column {column} is damaged"))
    }
}

/// A key's identifier.
pub fn read_id(text: &str) -> Option<KeyId> {
    read_uuid(text).map(KeyId)
}

/// An identifier, spelled as it was written: what looks up another row is another's.
fn read_uuid(text: &str) -> Option<Uuid> {
    let is_as_written = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    Uuid::try_parse(text).ok().filter(|_| is_as_written)
}
