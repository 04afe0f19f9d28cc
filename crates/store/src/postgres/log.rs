//! The audit log: appended to under its sealed end, read in pages.

use sealgate_core::audit::{Chain, Event, Head as SealedEnd, Query, Record};
use sealgate_core::store::StoreError;
use sqlx::postgres::PgConnection;

use super::error::Fault;
use super::readers::Readers;
use super::statement::{Bulk, Columns, execute};
use super::transaction::{Head, Transaction};
use crate::failure::{Failure, is_duplicate};
use crate::row::audit::{self, End, altered, columns, read, read_head};

const INSERT: Bulk = Bulk {
    head: concat!("INSERT INTO audit (", columns!(), ") SELECT * FROM"),
    tail: "",
};

pub const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2"
);

pub const NEWEST_OF_KEY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence < $1 AND key_id = $3 ORDER BY sequence DESC LIMIT $2"
);

pub const AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2"
);

pub const HEAD: &str = "SELECT sequence, hash, seal FROM audit_head WHERE one = 1";

/// Whoever appends waits here for whoever appends before.
pub const LOCK_HEAD: &str =
    "SELECT sequence, hash, seal, feed_end FROM audit_head WHERE one = 1 FOR UPDATE";

const WRITE_HEAD: &str = "UPDATE audit_head SET sequence = $1, hash = $2, seal = $3, feed_end = $4";

/// The column of [`LOCK_HEAD`] after those of the end.
const FEED_END: usize = 3;

impl Head {
    /// Locks the ends of log and feed for this transaction, and reads where they are.
    pub async fn lock(connection: &mut PgConnection, chain: &Chain) -> Result<Self, Fault> {
        let row = sqlx::query(LOCK_HEAD).fetch_optional(connection).await?;
        let sealed = row.as_ref().map(read_head).transpose()?;
        let log = End::check(sealed, chain)?;
        let feed = row.map_or(Ok(0), |row| Columns::at(&row, FEED_END).take())?;
        Ok(Self { log, feed })
    }

    /// Seals these as the ends.
    pub async fn write(self, connection: &mut PgConnection, chain: &Chain) -> Result<(), Fault> {
        let sealed = self.log.sealed(chain);
        let values = vec![
            sealed.sequence.into(),
            sealed.hash.0[..].into(),
            sealed.seal.0[..].into(),
            self.feed.into(),
        ];
        execute(connection, WRITE_HEAD, values).await?;
        Ok(())
    }
}

impl Transaction<'_> {
    /// Appends events in their order. The new end is sealed once, before the transaction commits.
    pub async fn append<'e>(
        &mut self,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<(), Fault> {
        let records: Vec<(End, &Event)> = self.head.log.link(events, self.chain);
        let records = records.iter().map(audit::values).collect();
        let appended = INSERT.run(self.connection, records).await;
        appended.map_err(|error| {
            if is_duplicate(&error) {
                altered("there are records after its sealed end").into()
            } else {
                Fault::from(error)
            }
        })?;
        Ok(())
    }
}

impl Readers {
    pub async fn audit(&self, query: &Query) -> Result<Vec<Record>, Failure> {
        let before = query.before.map_or(i64::MAX, u64::cast_signed);
        let mut values = vec![before.into(), query.limit.into()];
        let rows = match query.key_id {
            None => self.rows(NEWEST, values).await?,
            Some(id) => {
                values.push(id.to_string().into());
                self.rows(NEWEST_OF_KEY, values).await?
            }
        };
        rows.iter().map(read).collect()
    }

    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<Record>, Failure> {
        let values = vec![after.into(), limit.into()];
        let mut records: Vec<Record> = Vec::new();
        for row in self.rows(AFTER, values).await? {
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

    pub async fn audit_head(&self) -> Result<Option<SealedEnd>, Failure> {
        let rows = self.rows(HEAD, vec![]).await?;
        rows.first().map(read_head).transpose()
    }
}
