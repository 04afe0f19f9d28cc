//! The table of the data keys of lines of keys.

use sealgate_core::key::KeyId;
use sealgate_core::store::DataKey;

use super::Readers;
use super::error::{Failure, conflict_if_duplicate};
use super::statement::bind;
use super::transaction::Transaction;
use crate::row::data_key;

pub const DATA_KEYS: &str = "SELECT lineage, version, key, created_at FROM lineage_key \
     WHERE lineage = ? ORDER BY version DESC";

const INSERT: &str =
    "INSERT INTO lineage_key (lineage, version, key, created_at) VALUES (?, ?, ?, ?)";

impl Readers {
    pub async fn data_keys(&self, lineage: KeyId) -> Result<Vec<DataKey>, Failure> {
        let statement = sqlx::query(DATA_KEYS).bind(lineage.to_string());
        let rows = statement.fetch_all(&self.pool).await?;
        let keys = rows.iter().map(|row| data_key::read(row, &self.cipher));
        keys.collect()
    }
}

impl Transaction<'_> {
    pub async fn insert_data_key(&mut self, key: &DataKey) -> Result<(), Failure> {
        bind(sqlx::query(INSERT), data_key::values(key, self.cipher))
            .execute(&mut *self.connection)
            .await
            .map_err(conflict_if_duplicate)?;
        Ok(())
    }
}
