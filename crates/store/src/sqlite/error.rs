//! What SQLite's errors mean.

use sqlx::error::{DatabaseError, ErrorKind};

pub use crate::failure::{Failure, conflict_if_duplicate, is_duplicate, one_row};

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

/// An error in words an operator can act on.
pub fn describe(error: &dyn DatabaseError) -> Failure {
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
