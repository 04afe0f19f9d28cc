//! The table of keys, and every look-up in it.

use sealgate_core::clock::Timestamp;
use sealgate_core::key::{KeyId, KeyPrefix, KeyRecord};
use sealgate_core::store::{Change, Cursor, KeyQuery, Keys};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};
use uuid::Uuid;

use super::error::{Fault, conflict_if_duplicate};
use super::readers::Readers;
use super::statement::{Bulk, Columns, bind, execute};
use super::transaction::Transaction;
use crate::failure::{Failure, one_row};
use crate::row::Values;
use crate::row::key::{self, Found, SETTINGS, columns, find, read, settings};
use crate::row::listing::{self, Ranges};

const INSERT: Bulk = Bulk {
    head: concat!(
        "INSERT INTO api_key (",
        settings!(),
        ", name_folded, id, last_used_at, use_count, version) SELECT * FROM"
    ),
    tail: "",
};

pub const BY_ID: &str = concat!("SELECT ", columns!(), " FROM api_key WHERE id = $1");

/// Of prefixes between commas.
pub const BY_PREFIXES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE prefix = ANY(string_to_array($1, ','))"
);

/// Of identifiers between commas.
pub const BY_IDS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE id = ANY(string_to_array($1, ','))"
);

pub const AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE id > $1 ORDER BY id LIMIT $2"
);

/// The condition on the status is word for word that of the partial index, which answers it.
pub const TO_EXPIRE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE status = 'active' AND expires_at <= $1 \
     ORDER BY expires_at, id LIMIT $2"
);

/// Locks keys in the order of their identifiers: whoever needs several of them takes them in this
/// order, so that no two transactions wait for each other.
pub const LOCK: &str = "SELECT id FROM api_key WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// The column of a listing after those of the key.
const NAME_FOLDED: usize = key::COLUMNS;

impl Readers {
    pub async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, Failure> {
        let rows = self.rows(BY_ID, vec![id.to_string().into()]).await?;
        rows.first().map(|row| read(row, &self.cipher)).transpose()
    }

    pub async fn keys_with_prefixes(&self, prefixes: &[KeyPrefix]) -> Result<Keys, Failure> {
        let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
        self.every(BY_PREFIXES, &prefixes.join(",")).await
    }

    pub async fn keys_with_ids(&self, ids: &[KeyId]) -> Result<Keys, Failure> {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        self.every(BY_IDS, &ids.join(",")).await
    }

    async fn every(&self, sql: &'static str, names: &str) -> Result<Keys, Failure> {
        let values = vec![names.into()];
        let mut keys = self
            .page(sql.into_sql_str(), values, u32::MAX, by_id)
            .await?;
        keys.records.sort_unstable_by_key(|key| key.id);
        Ok(keys)
    }

    pub async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, Failure> {
        // The nil UUID is nobody's identifier (RFC 9562, section 5.9), and the lowest.
        let after = after.unwrap_or(KeyId(Uuid::nil())).to_string();
        let values = vec![after.into(), (i64::from(limit) + 1).into()];
        self.page(AFTER.into_sql_str(), values, limit, by_id).await
    }

    pub async fn keys_to_expire(&self, now: Timestamp, limit: u32) -> Result<Keys, Failure> {
        let values = vec![now.into(), (i64::from(limit) + 1).into()];
        self.page(TO_EXPIRE.into_sql_str(), values, limit, by_id)
            .await
    }

    pub async fn keys(&self, query: &KeyQuery) -> Result<Keys, Failure> {
        let is_by_name = query.name.is_some();
        let listing = listing::keys(query, Ranges::CutOff);
        let (sql, values) = listing.into_parts(|number| format!("${number}"));
        let sql = AssertSqlSafe(sql).into_sql_str();
        self.page(sql, values, query.limit, |row, id| {
            let name = is_by_name.then(|| Columns::at(row, NAME_FOLDED).take());
            Ok(Cursor {
                name: name.transpose()?,
                id,
            })
        })
        .await
    }

    /// The keys of rows. One beyond `limit` tells that there is another page; `place_of` tells where
    /// that starts, from the last row of this one.
    async fn page(
        &self,
        sql: SqlStr,
        values: Values,
        limit: u32,
        place_of: impl Fn(&PgRow, KeyId) -> Result<Cursor, Failure> + Send + Sync,
    ) -> Result<Keys, Failure> {
        let (mut keys, mut count, mut last) = (Keys::default(), 0, None);
        self.fetch(sql, values, |row| {
            if count == limit {
                let place = last.take().map(|(row, id)| place_of(&row, id));
                keys.next = place.transpose()?;
                return Ok(());
            }
            count += 1;
            let id = match find(&row, Columns::of(&row).take()?, &self.cipher)? {
                Found::Key(key) => {
                    let id = key.id;
                    keys.records.push(key);
                    id
                }
                Found::Damaged(id) => {
                    keys.damaged.push(id);
                    id
                }
                Found::Nameless => return Ok(()),
            };
            last = Some((row, id));
            Ok(())
        })
        .await?;
        Ok(keys)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "other places are read from the row"
)]
const fn by_id(_: &PgRow, id: KeyId) -> Result<Cursor, Failure> {
    Ok(Cursor { name: None, id })
}

impl Transaction<'_> {
    /// Locks keys that are about to be changed, those that are there.
    pub async fn lock_keys(&mut self, ids: Vec<String>) -> Result<(), Fault> {
        sqlx::query(LOCK)
            .bind(ids)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Inserts keys; there is nothing but [`Change::InsertKey`] in `changes`.
    pub async fn insert_keys(&mut self, changes: &[Change]) -> Result<(), Fault> {
        let keys = changes.iter().filter_map(|change| match change {
            Change::InsertKey(key) => Some(key::insertion(key, self.cipher)),
            _ => None,
        });
        let inserted = INSERT
            .run(self.connection, keys.collect())
            .await
            .map_err(conflict_if_duplicate)?;
        let count = "UPDATE meta SET key_count = key_count + $1";
        execute(self.connection, count, vec![inserted.into()]).await?;
        Ok(())
    }

    /// Writes a key's settings over those of the version that was read.
    pub async fn update_key(&mut self, key: &KeyRecord) -> Result<(), Fault> {
        let places: Vec<String> = (1..=SETTINGS).map(|place| format!("${place}")).collect();
        let sql = format!(
            concat!(
                "UPDATE api_key SET (",
                settings!(),
                ", name_folded) = ({}), version = version + 1 WHERE id = ${} AND version = ${}"
            ),
            places.join(", "),
            SETTINGS + 1,
            SETTINGS + 2
        );
        let mut values = key::written(key, key.version + 1, self.cipher);
        values.extend([key.id.to_string().into(), key.version.into()]);
        let updated = bind(sqlx::query(AssertSqlSafe(sql)), values)
            .execute(&mut *self.connection)
            .await?;
        Ok(one_row(updated.rows_affected())?)
    }
}
