//! The schema's versions, and what a store is born with: its data encryption key and the first
//! record of its audit log.

use sealgate_core::audit::{Action, Actor, Chain, Event};
use sealgate_core::clock::Timestamp;
use sealgate_core::master::MasterKey;
use sealgate_core::random::Random;
use sealgate_core::store::StoreError;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::error::Failure;
use super::log::End;
use super::statement::Columns;
use super::transaction::Transaction;
use crate::cipher::{ColumnCipher, WrappedKey};

/// What leads from each version to the next, from an empty database to version 1 first.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_users.sql"),
    include_str!("../../migrations/sqlite/0003_rate_limit_window.sql"),
    include_str!("../../migrations/sqlite/0004_signing_keys.sql"),
    include_str!("../../migrations/sqlite/0005_use_batch.sql"),
    include_str!("../../migrations/sqlite/0006_audit_of_key.sql"),
    include_str!("../../migrations/sqlite/0007_none.sql"),
];

/// The newest version this program knows.
#[expect(
    clippy::cast_possible_truncation,
    reason = "there are fewer than four billion migrations"
)]
const KNOWN: u32 = MIGRATIONS.len() as u32;

const WRAPPED_KEYS: &str = "SELECT id, wrapped FROM data_encryption_key ORDER BY id DESC";

/// What a store is set up and unlocked with.
pub struct Keeper<'a> {
    /// Wraps the data encryption keys.
    pub master: &'a MasterKey,
    /// Links audit records.
    pub chain: &'a Chain,
    /// Draws data encryption keys and nonces.
    pub random: std::sync::Arc<dyn Random>,
    /// The time of the first audit record, should there be none.
    pub now: Timestamp,
}

impl Keeper<'_> {
    /// Brings the schema to the newest version, sets up a store that is new, and unlocks its columns.
    ///
    /// # Errors
    /// If the store is newer than this program, another program's, or another master key's.
    pub async fn open(&self, connection: &mut SqliteConnection) -> Result<ColumnCipher, Failure> {
        if version(connection).await? != Some(KNOWN) {
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut *connection)
                .await?;
            let result = match self.migrate(connection).await {
                Ok(()) => sqlx::query("COMMIT")
                    .execute(&mut *connection)
                    .await
                    .map_err(Into::into),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
                return Err(error);
            }
        }
        self.unlock(connection).await
    }

    /// Runs in a transaction that excludes other writers: the version is read again, since another
    /// process may have migrated meanwhile.
    async fn migrate(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        let found = version(connection).await?;
        for migration in MIGRATIONS.iter().skip(found.unwrap_or(0) as usize) {
            sqlx::raw_sql(*migration).execute(&mut *connection).await?;
        }
        if found.is_none() {
            self.set_up(connection).await?;
        }
        sqlx::query("UPDATE meta SET schema_version = ?")
            .bind(KNOWN)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn set_up(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        sqlx::query(
            "INSERT INTO meta (only, schema_version, key_count, feed_floor) VALUES (1, 0, 0, 0)",
        )
        .execute(&mut *connection)
        .await?;
        let key = WrappedKey::generate(1, self.master, &*self.random);
        sqlx::query("INSERT INTO data_encryption_key (id, wrapped, created_at) VALUES (?, ?, ?)")
            .bind(key.id)
            .bind(key.wrapped)
            .bind(self.now.as_millis())
            .execute(&mut *connection)
            .await?;
        let cipher = &self.unlock(connection).await?;
        let born = Event::new(self.now, Action::StoreCreated, None, &Actor::System);
        let mut open = Transaction {
            connection,
            cipher,
            chain: self.chain,
            end: End::START,
        };
        open.append(&[born]).await?;
        open.end.write(open.connection, self.chain).await
    }

    async fn unlock(&self, connection: &mut SqliteConnection) -> Result<ColumnCipher, Failure> {
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

/// The version of the schema that is there; nothing in an empty database.
async fn version(connection: &mut SqliteConnection) -> Result<Option<u32>, Failure> {
    let tables = sqlx::query("SELECT count(*), coalesce(sum(name = 'meta'), 0) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await?;
    match (tables.try_get::<i64, _>(0)?, tables.try_get::<i64, _>(1)?) {
        (0, _) => return Ok(None),
        (_, 0) => return Err(Failure::unreadable("it is the database of another program")),
        _ => {}
    }
    let row = sqlx::query("SELECT schema_version FROM meta")
        .fetch_one(connection)
        .await?;
    let found = Columns::of(&row).number()?;
    if found > KNOWN {
        return Err(StoreError::NewerSchema {
            found,
            known: KNOWN,
        }
        .into());
    }
    Ok(Some(found))
}
