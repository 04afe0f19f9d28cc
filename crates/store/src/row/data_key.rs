//! Data keys of lines of keys: how they are written into a row, encrypted, and read from one.

use sealgate_core::key::KeyId;
use sealgate_core::store::DataKey;

use super::Values;
use crate::cipher::{ColumnCipher, Place};
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The values `lineage, version, key, created_at`.
pub fn values(key: &DataKey, cipher: &ColumnCipher) -> Values {
    let row = data_key_row(key.lineage, key.version);
    vec![
        key.lineage.to_string().into(),
        key.version.into(),
        cipher.seal(data_key_of(&row), key.key.expose()).into(),
        key.created_at.into(),
    ]
}

/// Reads the columns `lineage, version, key, created_at`.
pub fn read(row: &impl Cells, cipher: &ColumnCipher) -> Result<DataKey, Failure> {
    let mut columns = Columns::of(row);
    let (lineage, version) = (columns.key_id()?, columns.number()?);
    let row = data_key_row(lineage, version);
    Ok(DataKey {
        lineage,
        version,
        key: cipher.open_secret(data_key_of(&row), columns.take()?)?,
        created_at: columns.time()?,
    })
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
