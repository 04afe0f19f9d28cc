//! What `sqlx` says, as the store says it: by kind, in words an operator can act on, and without any
//! value of a column.

use sealgate_core::store::StoreError;
use sqlx::error::{DatabaseError, ErrorKind};

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
            sqlx::Error::Database(error) => from_database(&*error),
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

/// Whether a statement failed because a value is missing that there has to be.
pub fn is_missing_value(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::NotNullViolation))
}

/// Whether the database was busy with another process for longer than the busy timeout.
pub fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| matches!(primary_code(error), BUSY | LOCKED))
}

// The primary result codes (sqlite.org/rescode.html) that an operator can do something about.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const INPUT_OUTPUT: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;

/// The low byte of an extended result code.
fn primary_code(error: &dyn DatabaseError) -> u32 {
    let extended = error.code().and_then(|code| code.parse::<u32>().ok());
    extended.unwrap_or_default() & 0xFF
}

fn from_database(error: &dyn DatabaseError) -> Failure {
    match primary_code(error) {
        BUSY | LOCKED => Failure::unavailable("another process is writing to it for too long"),
        READ_ONLY => Failure::unavailable(
            "it may only be read: check the owner and the mode of the file and its directory",
        ),
        INPUT_OUTPUT => Failure::unavailable(format!("the disk failed ({})", error.message())),
        FULL => Failure::unavailable("the disk is full"),
        CANNOT_OPEN => Failure::unavailable(
            "the file cannot be opened: check the owner and the mode of the file and its directory",
        ),
        CORRUPT => Failure::unreadable("the file is damaged: restore it from a backup"),
        NOT_A_DATABASE => Failure::unreadable("the file is no SQLite database"),
        _ => Failure::unavailable(error.message()),
    }
}
