//! The audit log: appended to under its sealed end, read in pages.

use futures_util::TryStreamExt as _;
use sealgate_core::audit::{Chain, ChainHash, Event, Head, Query, Record};
use sealgate_core::store::StoreError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::Readers;
use super::error::{Failure, is_duplicate};
use super::statement::{Bulk, Columns, Statement};
use super::transaction::Transaction;

macro_rules! columns {
    () => {
        "sequence, hash, time, action, key_id, actor, address, user_agent, method, path, status, \
         request_id, details"
    };
}

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

/// The last record of the log, as far as the next one needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    sequence: u64,
    hash: ChainHash,
}

impl End {
    /// The end of an empty log.
    pub const START: Self = Self {
        sequence: 0,
        hash: ChainHash::START,
    };

    /// Reads the end, which other processes move too, and checks its seal: nothing is appended to
    /// a log whose end was altered.
    pub async fn read(connection: &mut SqliteConnection, chain: &Chain) -> Result<Self, Failure> {
        let row = sqlx::query(HEAD).fetch_optional(connection).await?;
        let head = row.map(|row| read_head(&row)).transpose()?;
        let head = head.ok_or_else(|| altered("its sealed end is missing"))?;
        if head != chain.head(head.sequence, head.hash) {
            return Err(altered("its sealed end is not what was written"));
        }
        Ok(Self {
            sequence: head.sequence,
            hash: head.hash,
        })
    }

    /// Seals this as the end of the log.
    pub async fn write(
        self,
        connection: &mut SqliteConnection,
        chain: &Chain,
    ) -> Result<(), Failure> {
        let head = chain.head(self.sequence, self.hash);
        sqlx::query(WRITE_HEAD)
            .bind(head.sequence.cast_signed())
            .bind(&head.hash.0[..])
            .bind(&head.seal.0[..])
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Transaction<'_> {
    /// Appends events in their order. The new end is sealed once, before the transaction commits.
    pub async fn append<'e>(
        &mut self,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<(), Failure> {
        let mut records = Vec::new();
        for event in events {
            let sequence = self.end.sequence + 1;
            let hash = self.chain.link(&self.end.hash, sequence, event);
            self.end = End { sequence, hash };
            records.push((self.end, event));
        }
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

fn altered(how: &str) -> Failure {
    Failure::unreadable(format!("the audit log was altered: {how}"))
}

fn bind<'q>(statement: Statement<'q>, (end, event): &(End, &Event)) -> Statement<'q> {
    statement
        .bind(end.sequence.cast_signed())
        .bind(&end.hash.0[..])
        .bind(event.time.as_millis())
        .bind(event.action.as_str())
        .bind(event.key_id.map(|id| id.to_string()))
        .bind(event.actor.as_str())
        .bind(event.address.map(|address| address.to_string()))
        .bind(event.user_agent.as_deref())
        .bind(event.method.as_deref())
        .bind(event.path.as_deref())
        .bind(event.status)
        .bind(event.request_id.as_deref())
        .bind(event.details.as_str())
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

fn read(row: &SqliteRow) -> Result<Record, Failure> {
    let mut columns = Columns::of(row);
    // The fields stand in the order of the columns.
    Ok(Record {
        sequence: columns.number()?,
        hash: ChainHash(columns.bytes()?),
        event: Event {
            time: columns.time()?,
            action: columns.parsed()?,
            key_id: columns.optional_key_id()?,
            actor: columns.take()?,
            address: columns.optional_address()?,
            user_agent: columns.take()?,
            method: columns.take()?,
            path: columns.take()?,
            status: read_status(&mut columns)?,
            request_id: columns.take()?,
            details: columns.take()?,
        },
    })
}

/// No answer has the status 0, which the chain takes for none.
fn read_status(columns: &mut Columns<'_>) -> Result<Option<u16>, Failure> {
    match columns.optional_number()? {
        Some(0) => Err(columns.wrong()),
        status => Ok(status),
    }
}

fn read_head(row: &SqliteRow) -> Result<Head, Failure> {
    let mut columns = Columns::of(row);
    Ok(Head {
        sequence: columns.number()?,
        hash: ChainHash(columns.bytes()?),
        seal: ChainHash(columns.bytes()?),
    })
}
