//! The table of keys, and every look-up that is no listing.

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord};
use sealgate_core::store::{Change, Cursor, Keys};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::Readers;
use super::error::{Failure, conflict_if_duplicate, one_row};
use super::statement::{Bulk, Statement, bind, placeholders};
use super::transaction::Transaction;
use crate::row::key::{self, Found, SETTINGS, columns, find, read, settings};

const INSERT: Bulk = Bulk {
    head: concat!(
        "INSERT INTO api_key (",
        settings!(),
        ", name_folded, id, last_used_at, use_count, version)"
    ),
    columns: SETTINGS + 4,
    tail: "",
};

pub const BY_ID: &str = concat!("SELECT ", columns!(), " FROM api_key WHERE id = ?");

/// Of a JSON array of prefixes.
pub const BY_PREFIXES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE prefix IN (SELECT value FROM json_each(?))"
);

/// Of a JSON array of identifiers.
pub const BY_IDS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE id IN (SELECT value FROM json_each(?))"
);

pub const AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE id > ? ORDER BY id LIMIT ?"
);

/// The condition on the status is word for word that of the partial index, which answers it.
pub const TO_EXPIRE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE status = 'active' AND expires_at <= ? \
     ORDER BY expires_at, id LIMIT ?"
);

impl Readers {
    pub async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, Failure> {
        let row = sqlx::query(BY_ID)
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| read(&row, &self.cipher)).transpose()
    }

    pub async fn keys_with_prefixes(&self, prefixes: &[KeyPrefix]) -> Result<Keys, Failure> {
        let prefixes = prefixes.iter().map(ToString::to_string).collect();
        self.every(BY_PREFIXES, prefixes).await
    }

    pub async fn keys_with_ids(&self, ids: &[KeyId]) -> Result<Keys, Failure> {
        let ids = ids.iter().map(ToString::to_string).collect();
        self.every(BY_IDS, ids).await
    }

    async fn every(&self, sql: &'static str, names: Vec<String>) -> Result<Keys, Failure> {
        let statement = sqlx::query(sql).bind(serde_json::Value::from(names).to_string());
        let mut keys = self.fetch_keys(statement, u32::MAX, by_id).await?;
        keys.records.sort_unstable_by_key(|key| key.id);
        Ok(keys)
    }

    pub async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, Failure> {
        // The nil UUID is nobody's identifier (RFC 9562, section 5.9), and the lowest.
        let after = after.unwrap_or(KeyId(Uuid::nil()));
        let statement = sqlx::query(AFTER)
            .bind(after.to_string())
            .bind(i64::from(limit) + 1);
        self.fetch_keys(statement, limit, by_id).await
    }

    pub async fn keys_to_expire(&self, now: Timestamp, limit: u32) -> Result<Keys, Failure> {
        let statement = sqlx::query(TO_EXPIRE)
            .bind(now.as_millis())
            .bind(i64::from(limit) + 1);
        self.fetch_keys(statement, limit, by_id).await
    }

    /// Decodes rows while SQLite still looks for the next. A row beyond `limit` tells that there is
    /// another page; `place_of` tells where that starts, from the last row of this one.
    pub async fn fetch_keys(
        &self,
        statement: Statement<'_>,
        limit: u32,
        place_of: impl Fn(&SqliteRow, KeyId) -> Result<Cursor, sqlx::Error>,
    ) -> Result<Keys, Failure> {
        let mut rows = statement.fetch(&self.pool);
        let (mut keys, mut count, mut last) = (Keys::default(), 0, None);
        while let Some(row) = rows.try_next().await? {
            if count == limit {
                let place = last.map(|(row, id)| place_of(&row, id));
                keys.next = place.transpose()?;
                break;
            }
            count += 1;
            let id = match find(&row, row.try_get(0)?, &self.cipher)? {
                Found::Key(key) => {
                    let id = key.id;
                    keys.records.push(key);
                    id
                }
                Found::Damaged(id) => {
                    keys.damaged.push(id);
                    id
                }
                Found::Nameless => continue,
            };
            last = Some((row, id));
        }
        Ok(keys)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "other places are read from the row"
)]
const fn by_id(_: &SqliteRow, id: KeyId) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor { name: None, id })
}

impl Transaction<'_> {
    /// Inserts keys; there is nothing but [`Change::InsertKey`] in `changes`.
    pub async fn insert_keys(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let keys = changes.iter().filter_map(|change| match change {
            Change::InsertKey(key) => Some(&**key),
            _ => None,
        });
        let keys: Vec<&KeyRecord> = keys.collect();
        let cipher = self.cipher;
        let bind = |statement, key: &&KeyRecord| bind(statement, key::insertion(key, cipher));
        INSERT
            .run(self.connection, &keys, bind)
            .await
            .map_err(conflict_if_duplicate)?;
        sqlx::query("UPDATE meta SET key_count = key_count + ?")
            .bind(i64::try_from(keys.len()).unwrap_or(i64::MAX))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Writes a key's settings over those of the version that was read.
    pub async fn update_key(&mut self, key: &KeyRecord) -> Result<(), Failure> {
        let sql = format!(
            concat!(
                "UPDATE api_key SET (",
                settings!(),
                ", name_folded) = ({}), version = version + 1 WHERE id = ? AND version = ?"
            ),
            placeholders(SETTINGS)
        );
        let statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        let updated = bind(statement, key::written(key, key.version + 1, self.cipher))
            .bind(key.id.to_string())
            .bind(key.version)
            .execute(&mut *self.connection)
            .await?;
        one_row(updated.rows_affected())
    }
}
