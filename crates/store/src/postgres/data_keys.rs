//! The table of the data keys of lines of keys.

use sealgate_core::key::KeyId;
use sealgate_core::store::DataKey;

use super::error::{Fault, conflict_if_duplicate};
use super::readers::Readers;
use super::statement::execute;
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::data_key::{read, values};

pub const DATA_KEYS: &str = "SELECT lineage, version, key, created_at FROM lineage_key \
     WHERE lineage = $1 ORDER BY version DESC";

const INSERT: &str =
    "INSERT INTO lineage_key (lineage, version, key, created_at) VALUES ($1, $2, $3, $4)";

impl Readers {
    pub async fn data_keys(&self, lineage: KeyId) -> Result<Vec<DataKey>, Failure> {
        let rows = self
            .rows(DATA_KEYS, vec![lineage.to_string().into()])
            .await?;
        rows.iter().map(|row| read(row, &self.cipher)).collect()
    }
}

impl Transaction<'_> {
    pub async fn insert_data_key(&mut self, key: &DataKey) -> Result<(), Fault> {
        execute(self.connection, INSERT, values(key, self.cipher))
            .await
            .map_err(conflict_if_duplicate)?;
        Ok(())
    }
}
