//! The audit log: appended to under its sealed end, read in pages.

use futures_util::TryStreamExt as _;
use sealgate_core::audit::{Chain, Event, Head, Query, Record};
use sealgate_core::store::StoreError;
use sqlx::sqlite::SqliteConnection;

use super::Readers;
use super::error::{Failure, is_duplicate};
use super::statement::{Bulk, Columns, Statement, bind};
use super::transaction::Transaction;
use crate::row::audit::{self, End, altered, columns, read, read_head};

const INSERT: Bulk = Bulk {
    head: concat!("INSERT INTO audit (", columns!(), ")"),
    columns: 13,
    tail: "",
};

pub const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT ?"
);

pub const NEWEST_OF_KEY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence < ? AND key_id = ? ORDER BY sequence DESC LIMIT ?"
);

pub const AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"
);

pub const HEAD: &str = "SELECT sequence, hash, seal FROM audit_head WHERE only = 1";

const WRITE_HEAD: &str = "INSERT INTO audit_head (only, sequence, hash, seal) VALUES (1, ?, ?, ?) \
     ON CONFLICT (only) DO UPDATE \
     SET sequence = excluded.sequence, hash = excluded.hash, seal = excluded.seal";

/// Reads the end of the log, which other processes move too.
pub async fn read_end(connection: &mut SqliteConnection, chain: &Chain) -> Result<End, Failure> {
    let row = sqlx::query(HEAD).fetch_optional(connection).await?;
    End::check(row.map(|row| read_head(&row)).transpose()?, chain)
}

/// Seals this as the end of the log.
pub async fn write_end(
    end: End,
    connection: &mut SqliteConnection,
    chain: &Chain,
) -> Result<(), Failure> {
    let head = end.sealed(chain);
    sqlx::query(WRITE_HEAD)
        .bind(head.sequence.cast_signed())
        .bind(&head.hash.0[..])
        .bind(&head.seal.0[..])
        .execute(connection)
        .await?;
    Ok(())
}

impl Transaction<'_> {
    /// Appends events in their order. The new end is sealed once, before the transaction commits.
    pub async fn append<'e>(
        &mut self,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<(), Failure> {
        let records = self.end.link(events, self.chain);
        let bind = |statement, record: &(End, &Event)| bind(statement, audit::values(record));
        INSERT
            .run(self.connection, &records, bind)
            .await
            .map_err(|error| {
                if is_duplicate(&error) {
                    altered("there are records after its sealed end")
                } else {
                    error.into()
                }
            })
    }
}

impl Readers {
    pub async fn audit(&self, query: &Query) -> Result<Vec<Record>, Failure> {
        let before = query.before.map_or(i64::MAX, u64::cast_signed);
        let statement = match query.key_id {
            None => sqlx::query(NEWEST).bind(before),
            Some(id) => sqlx::query(NEWEST_OF_KEY).bind(before).bind(id.to_string()),
        };
        self.fetch_records(statement.bind(query.limit)).await
    }

    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<Record>, Failure> {
        let statement = sqlx::query(AFTER).bind(after.cast_signed()).bind(limit);
        let mut rows = statement.fetch(&self.pool);
        let mut records: Vec<Record> = Vec::new();
        while let Some(row) = rows.try_next().await? {
            match read(&row) {
                Ok(record) => records.push(record),
                Err(Failure(StoreError::Unreadable(_))) if !records.is_empty() => break,
                Err(Failure(StoreError::Unreadable(_))) => {
                    let sequence = Columns::of(&row).number()?;
                    return Err(StoreError::DamagedRecord(sequence).into());
                }
                Err(other) => return Err(other),
            }
        }
        Ok(records)
    }

    pub async fn audit_head(&self) -> Result<Option<Head>, Failure> {
        let row = sqlx::query(HEAD).fetch_optional(&self.pool).await?;
        row.map(|row| read_head(&row)).transpose()
    }

    async fn fetch_records(&self, statement: Statement<'_>) -> Result<Vec<Record>, Failure> {
        let mut rows = statement.fetch(&self.pool);
        let mut records = Vec::new();
        while let Some(row) = rows.try_next().await? {
            records.push(read(&row)?);
        }
        Ok(records)
    }
}
