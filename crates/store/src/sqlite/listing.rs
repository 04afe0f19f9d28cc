//! Listings of keys.

use sealgate_core::store::{Cursor, KeyQuery, Keys};
use sqlx::{AssertSqlSafe, Row as _};

use super::Readers;
use super::error::Failure;
use super::statement::bind;
use crate::row::key;
use crate::row::listing::{self, Ranges};

impl Readers {
    pub async fn keys(&self, query: &KeyQuery) -> Result<Keys, Failure> {
        let is_by_name = query.name.is_some();
        let (sql, values) = listing::keys(query, Ranges::Merged).into_parts(|_| "?".to_owned());
        let statement = bind(sqlx::query(AssertSqlSafe(sql)), values);
        self.fetch_keys(statement, query.limit, |row, id| {
            let name = is_by_name.then(|| row.try_get(NAME_FOLDED)).transpose()?;
            Ok(Cursor { name, id })
        })
        .await
    }
}

/// The column of a listing after those of the key.
const NAME_FOLDED: usize = key::COLUMNS;
