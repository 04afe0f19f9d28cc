//! The audit log: appended to under its sealed end, read in pages.
//!
//! The records of a key are found by `audit_of_key`. It is written many records at once, so that a
//! commit of a few touches the end of the log and nothing else.

use std::sync::{Arc, LazyLock};

use futures_util::TryStreamExt as _;
use sealgate_core::audit::{Chain, ChainHash, Event, Head, Query, Record};
use sealgate_core::store::StoreError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe};
use uuid::Uuid;

use super::Readers;
use super::error::{Failure, is_duplicate, is_missing_value};
use super::statement::{Bulk, Columns, Statement, placeholders};
use super::transaction::Transaction;
use crate::row::audit::{altered, read, read_head};

macro_rules! columns {
    () => {
        concat!("sequence, ", columns!(but sequence))
    };
    (but sequence) => {
        "hash, time, action, key_id, actor, address, user_agent, method, path, status, \
         request_id, details"
    };
}

const COLUMNS: usize = 13;

const INSERT: Bulk = Bulk {
    head: concat!("INSERT INTO audit (", columns!(), ")"),
    columns: COLUMNS,
    tail: "",
};

pub const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT ?"
);

macro_rules! listed {
    () => {
        "(SELECT audit_listed FROM meta WHERE only = 1)"
    };
}

/// Those not listed yet, which are few, before those that are.
pub const NEWEST_OF_KEY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE sequence > ",
    listed!(),
    " AND sequence < ?1 AND key_id = ?2 UNION ALL SELECT place, ",
    columns!(but sequence),
    " FROM (SELECT key_id AS of_key, sequence AS place FROM audit_of_key WHERE key_id = ?2 \
     AND sequence < ?1 AND sequence <= ",
    listed!(),
    ") JOIN audit ON sequence = place AND key_id = of_key ORDER BY sequence DESC LIMIT ?3"
);

/// The last column says whether the record is found by its key, if it should be.
pub const AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    ", key_id IS NULL OR sequence > ",
    listed!(),
    " OR EXISTS (SELECT 1 FROM audit_of_key WHERE audit_of_key.key_id = audit.key_id \
     AND audit_of_key.sequence = audit.sequence) FROM audit WHERE sequence > ? \
     ORDER BY sequence LIMIT ?"
);

/// So many records are not listed at most, and those of one batch more: a page of a key's records reads
/// them all, and listing them holds up who writes meanwhile.
pub const UNLISTED: u64 = 16_384;

const LISTED: &str = concat!("SELECT ", listed!());

const LIST: &str = concat!(
    "BEGIN IMMEDIATE; INSERT OR IGNORE INTO audit_of_key (key_id, sequence) \
     SELECT key_id, sequence FROM audit WHERE sequence > ",
    listed!(),
    " AND key_id IS NOT NULL ORDER BY key_id, sequence; \
     UPDATE meta SET audit_listed = (SELECT sequence FROM audit_head WHERE only = 1); COMMIT"
);

pub const HEAD: &str = "SELECT sequence, hash, seal FROM audit_head WHERE only = 1";

const WRITE_HEAD: &str = "INSERT INTO audit_head (only, sequence, hash, seal) VALUES (1, ?, ?, ?) \
     ON CONFLICT (only) DO UPDATE \
     SET sequence = excluded.sequence, hash = excluded.hash, seal = excluded.seal";

/// Sets the end where it is the expected one, and otherwise fails.
const MOVE_HEAD: &str = "INSERT INTO audit_head (only, sequence, hash, seal) VALUES (1, \
     (SELECT ? FROM audit_head WHERE only = 1 AND sequence = ? AND hash = ? AND seal = ?), ?, ?) \
     ON CONFLICT (only) DO UPDATE \
     SET sequence = excluded.sequence, hash = excluded.hash, seal = excluded.seal";

/// Numbers of records that [`End::advance`] has a statement for. It takes the next larger one, and the rows
/// left over have no sequence.
const SIZES: [usize; 5] = [1, 8, 32, 64, MOST_AT_ONCE];

/// Most records that [`End::advance`] writes.
pub const MOST_AT_ONCE: usize = 128;

static ADVANCE: LazyLock<[Arc<str>; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|rows| {
        let row = format!("({})", placeholders(COLUMNS));
        let (insert, rows) = (INSERT.head, vec![row; rows].join(", "));
        format!(
            "BEGIN IMMEDIATE; {MOVE_HEAD}; {insert} SELECT * FROM (VALUES {rows}) \
             WHERE column1 IS NOT NULL; COMMIT"
        )
        .into()
    })
});

/// The last record of the log, as far as the next one needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    sequence: u64,
    hash: ChainHash,
}

impl End {
    /// Whether so many records follow one of this number that they should be listed.
    pub const fn is_far_from(self, listed: u64) -> bool {
        self.sequence.saturating_sub(listed) >= UNLISTED
    }

    /// The number of the last record.
    pub const fn sequence(self) -> u64 {
        self.sequence
    }

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

impl End {
    /// Appends events to a log that ends here, in a transaction of their own that is one message to
    /// the connection's thread. Says where the log ends then; nothing if it did not end here.
    ///
    /// # Errors
    /// If they cannot be written, or are more than [`MOST_AT_ONCE`]. A transaction may be open then, as
    /// when there is no result.
    pub async fn advance(
        self,
        connection: &mut SqliteConnection,
        chain: &Chain,
        events: &[&Event],
    ) -> Result<Option<Self>, Failure> {
        let (mut end, records) = (self, self.link(chain, events.iter().copied()));
        if let Some((last, _)) = records.last() {
            end = *last;
        }
        let size = SIZES.iter().position(|size| *size >= records.len());
        let sql = size.and_then(|size| ADVANCE.get(size));
        let sql = sql.ok_or_else(|| Failure::unavailable("too many records at once"))?;
        let (from, to) = (
            chain.head(self.sequence, self.hash),
            chain.head(end.sequence, end.hash),
        );
        let mut arguments = SqliteArguments::default();
        arguments.reserve((records.len() + 1) * COLUMNS, 0);
        let statement = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), arguments)
            .bind(to.sequence.cast_signed())
            .bind(from.sequence.cast_signed())
            .bind(&from.hash.0[..])
            .bind(&from.seal.0[..])
            .bind(&to.hash.0[..])
            .bind(&to.seal.0[..]);
        match records
            .iter()
            .fold(statement, bind())
            .execute(connection)
            .await
        {
            Ok(_) => Ok(Some(end)),
            Err(error) if is_missing_value(&error) => Ok(None),
            Err(error) => Err(not_appended(error)),
        }
    }

    /// What follows in the log, each event with the end that it makes.
    fn link<'e>(
        mut self,
        chain: &Chain,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Vec<(Self, &'e Event)> {
        let link = |event| {
            let sequence = self.sequence + 1;
            let hash = chain.link(&self.hash, sequence, event);
            self = Self { sequence, hash };
            (self, event)
        };
        events.into_iter().map(link).collect()
    }
}

impl Transaction<'_> {
    /// Appends events in their order. The new end is sealed once, before the transaction commits.
    pub async fn append<'e>(
        &mut self,
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<(), Failure> {
        let records = self.end.link(self.chain, events);
        if let Some((last, _)) = records.last() {
            self.end = *last;
        }
        INSERT
            .run(self.connection, &records, bind())
            .await
            .map_err(not_appended)
    }
}

fn not_appended(error: sqlx::Error) -> Failure {
    if is_duplicate(&error) {
        altered("there are records after its sealed end")
    } else {
        error.into()
    }
}

/// Lists records by their keys, if so many are not listed that it is worth a commit of its own. Says up to
/// which record all are. Failing, it may leave a transaction open.
pub async fn list(connection: &mut SqliteConnection, end: End) -> Result<u64, Failure> {
    let row = sqlx::query(LISTED).fetch_one(&mut *connection).await?;
    // A count of records: not negative, unless it was altered.
    let listed = Columns::of(&row).number().unwrap_or(0);
    if !end.is_far_from(listed) {
        return Ok(listed);
    }
    sqlx::query(LIST).execute(connection).await?;
    Ok(end.sequence)
}

/// Gives a statement the values of one record after the other.
fn bind<'q>() -> impl FnMut(Statement<'q>, &(End, &Event)) -> Statement<'q> {
    let mut texts = Texts::default();
    move |statement, (end, event)| {
        let mut space = Uuid::encode_buffer();
        let id = event
            .key_id
            .map(|id| id.0.as_hyphenated().encode_lower(&mut space));
        let address = event.address.map(|address| address.to_string());
        let [
            action,
            key_id,
            actor,
            address,
            user_agent,
            method,
            path,
            request_id,
            details,
        ] = texts.of([
            Some(event.action.as_str()),
            id.as_deref(),
            Some(&event.actor),
            address.as_deref(),
            event.user_agent.as_deref(),
            event.method.as_deref(),
            event.path.as_deref(),
            event.request_id.as_deref(),
            Some(&event.details),
        ]);
        statement
            .bind(end.sequence.cast_signed())
            .bind(&end.hash.0[..])
            .bind(event.time.as_millis())
            .bind(action)
            .bind(key_id)
            .bind(actor)
            .bind(address)
            .bind(user_agent)
            .bind(method)
            .bind(path)
            .bind(event.status)
            .bind(request_id)
            .bind(details)
    }
}

/// The texts of a record. Most are those of the one before it, and need no copy.
#[derive(Default)]
struct Texts([Option<Arc<str>>; TEXTS]);

const TEXTS: usize = 9;

impl Texts {
    fn of(&mut self, texts: [Option<&str>; TEXTS]) -> [Option<Arc<str>>; TEXTS] {
        for (known, text) in self.0.iter_mut().zip(texts) {
            if known.as_deref() != text {
                *known = text.map(Arc::from);
            }
        }
        self.0.clone()
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
            match read_listed(&row) {
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

/// A record that would not be found by its key is as good as one that was taken away.
fn read_listed(row: &SqliteRow) -> Result<Record, Failure> {
    let record = read(row)?;
    let mut columns = Columns::at(row, COLUMNS);
    if columns.take()? {
        Ok(record)
    } else {
        Err(columns.wrong())
    }
}
