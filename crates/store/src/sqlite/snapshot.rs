//! A copy of a store at one moment, made while others write to it, and whether a copy is sound.

use std::path::Path;

use sealgate_core::store::StoreError;
use sqlx::Row as _;

use super::{Sqlite, connect};
use crate::failure::Failure;

impl Sqlite {
    /// Copies a store as it is at one moment into a file of its own, readable by its owner alone. Others
    /// may read and write the store meanwhile.
    ///
    /// # Errors
    /// If one of the files cannot be used, or the copy is there already.
    pub async fn copy_to(store: &Path, copy: &Path) -> Result<(), StoreError> {
        let store = connect::database_file(store, false)?;
        let copy = connect::database_file(copy, true)?;
        let name = copy
            .to_str()
            .ok_or_else(|| Failure::unavailable("the path of its copy is not UTF-8"))?;
        let mut connection = connect::plain(&store).await?;
        let copied = sqlx::query("VACUUM INTO ?")
            .bind(name)
            .execute(&mut connection)
            .await
            .map_err(Failure::from);
        connect::close(connection).await;
        copied?;
        Ok(())
    }

    /// Looks at every page and index of a file, whatever is in its tables.
    ///
    /// # Errors
    /// If it is not as SQLite would have written it, or cannot be used.
    pub async fn check_file(path: &Path) -> Result<(), StoreError> {
        let path = connect::database_file(path, false)?;
        let mut connection = connect::plain(&path).await?;
        let found = sqlx::query("PRAGMA integrity_check(1)")
            .fetch_one(&mut connection)
            .await
            .and_then(|row| row.try_get::<String, _>(0))
            .map_err(Failure::from);
        connect::close(connection).await;
        match found?.as_str() {
            "ok" => Ok(()),
            problem => Err(StoreError::Unreadable(format!(
                "the file is damaged: {problem}"
            ))),
        }
    }
}
