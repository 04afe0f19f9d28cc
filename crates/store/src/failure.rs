//! What `sqlx` says, as the store says it: by kind, in words an operator can act on, and without any
//! value of a column.

use sealgate_core::store::StoreError;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// Why something failed. Errors of `sqlx` turn into it with `?`.
#[derive(Clone, Debug)]
pub struct Failure(pub StoreError);

impl Failure {
    /// The content is not what was written.
    pub fn unreadable(what: impl Into<String>) -> Self {
        Self(StoreError::Unreadable(what.into()))
    }

    /// The database does not answer.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self(StoreError::Unavailable(why.into()))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl From<Failure> for StoreError {
    fn from(Failure(error): Failure) -> Self {
        error
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => crate::postgres::describe(error),
                None => crate::sqlite::describe(&*error),
            },
            sqlx::Error::PoolTimedOut => Self::unavailable("no connection became free in time"),
            sqlx::Error::PoolClosed => Self::unavailable("it was closed"),
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::unreadable(format!("column {index} is not of its type"))
            }
            other => Self::unavailable(other.to_string()),
        }
    }
}

/// Whether a statement failed because its row exists already.
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}

/// The failure of a statement that inserts a row that others may have inserted before.
pub fn conflict_if_duplicate(error: sqlx::Error) -> Failure {
    if is_duplicate(&error) {
        StoreError::Conflict.into()
    } else {
        error.into()
    }
}

/// A conflict, unless a statement found the row as it was read.
pub fn one_row(rows: u64) -> Result<(), Failure> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Conflict.into())
    }
}
