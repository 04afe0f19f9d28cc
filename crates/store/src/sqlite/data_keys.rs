//! The data keys of lines of keys, which the store keeps encrypted.

use sealgate_core::key::KeyId;
use sealgate_core::store::DataKey;

use super::Readers;
use super::error::Failure;
use super::statement::Columns;
use super::transaction::{Transaction, conflict_if_duplicate};
use crate::cipher::Place;

pub const DATA_KEYS: &str = "SELECT lineage, version, key, created_at FROM lineage_key \
     WHERE lineage = ? ORDER BY version DESC";

impl Readers {
    pub async fn data_keys(&self, lineage: KeyId) -> Result<Vec<DataKey>, Failure> {
        let statement = sqlx::query(DATA_KEYS).bind(lineage.to_string());
        let rows = statement.fetch_all(&self.pool).await?;
        let keys = rows.iter().map(|row| {
            let mut columns = Columns::of(row);
            let (lineage, version) = (columns.key_id()?, columns.number()?);
            let row = data_key_row(lineage, version);
            let key = self
                .cipher
                .open_secret(data_key_of(&row), columns.take()?)?;
            Ok(DataKey {
                lineage,
                version,
                key,
                created_at: columns.time()?,
            })
        });
        keys.collect()
    }
}

impl Transaction<'_> {
    pub async fn insert_data_key(&mut self, key: &DataKey) -> Result<(), Failure> {
        let DataKey {
            lineage,
            version,
            key,
            created_at,
        } = key;
        let row = data_key_row(*lineage, *version);
        sqlx::query(
            "INSERT INTO lineage_key (lineage, version, key, created_at) VALUES (?, ?, ?, ?)",
        )
        .bind(lineage.to_string())
        .bind(version)
        .bind(self.cipher.seal(data_key_of(&row), key.expose()))
        .bind(created_at.as_millis())
        .execute(&mut *self.connection)
        .await
        .map_err(conflict_if_duplicate)?;
        Ok(())
    }
}

fn data_key_row(lineage: KeyId, version: u32) -> String {
    format!("{lineage}/{version}")
}

const fn data_key_of(row: &str) -> Place<'_> {
    Place {
        table: "lineage_key",
        column: "key",
        row,
        vouches: b"",
    }
}
