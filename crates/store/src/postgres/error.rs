//! What PostgreSQL's errors mean: for whoever is told, for the transaction, and for the connection.

use sealgate_core::store::StoreError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::failure::{self, Failure};

/// Why a statement failed, by what can be done about it. Errors of `sqlx` turn into it with `?`.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another transaction was in the way: run again, this one can succeed.
    InTheWay,
    /// Another transaction held a lock for too long. The connection is as good as before.
    Locked,
    /// The connection is of no use any more. What a transaction had done on it is undone, unless its
    /// end was asked for already: then nobody knows.
    Lost(Failure),
    /// The connection is as good as before.
    Refused(Failure),
}

impl Fault {
    /// Whether other transactions are the reason, so that it may go well once they have ended.
    pub const fn is_of_others(&self) -> bool {
        matches!(self, Self::InTheWay | Self::Locked)
    }

    /// What whoever asked is told.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::InTheWay => {
                Failure::unavailable("other processes write to the same rows at the same time")
            }
            Self::Locked => Failure::unavailable("another process is writing to it for too long"),
            Self::Lost(failure) | Self::Refused(failure) => failure,
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = of_postgres(&error) else {
            return match error {
                sqlx::Error::ColumnDecode { .. } => Self::Refused(error.into()),
                sqlx::Error::Io(why) => Self::lost(format!("the connection failed: {why}")),
                other => Self::lost(other.to_string()),
            };
        };
        let code = database.code();
        if matches!(code, SERIALIZATION_FAILURE | DEADLOCK_DETECTED) {
            return Self::InTheWay;
        }
        if code == LOCKED {
            return Self::Locked;
        }
        let failure = describe(database);
        if ends_the_connection(code, database.severity()) {
            Self::Lost(failure)
        } else {
            Self::Refused(failure)
        }
    }
}

impl Fault {
    fn lost(why: String) -> Self {
        Self::Lost(Failure::unavailable(why))
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// The failure of a statement that inserts a row that others may have inserted before.
pub fn conflict_if_duplicate(error: sqlx::Error) -> Fault {
    if failure::is_duplicate(&error) {
        StoreError::Conflict.into()
    } else {
        error.into()
    }
}

/// The error's code, if it is one of the database itself.
pub fn code(error: &sqlx::Error) -> Option<&str> {
    of_postgres(error).map(PgDatabaseError::code)
}

fn of_postgres(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

// PostgreSQL's documentation, appendix A: error codes.
const READ_ONLY: &str = "25006";
const IDLE_IN_TRANSACTION: &str = "25P03";
const WRONG_PASSWORD: &str = "28P01";
const NOT_LET_IN: &str = "28000";
const NO_SUCH_DATABASE: &str = "3D000";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const NOT_PERMITTED: &str = "42501";
/// A table that is not there.
pub const NO_SUCH_TABLE: &str = "42P01";
/// A column that is not there.
pub const NO_SUCH_COLUMN: &str = "42703";
/// A table that is there already.
pub const TABLE_EXISTS: &str = "42P07";
/// A row that is there already.
pub const DUPLICATE: &str = "23505";
/// A statement that another database does not have.
pub const NOT_SUPPORTED: &str = "0A000";
/// A statement that another database does not know.
pub const NOT_A_STATEMENT: &str = "42601";
const DISK_FULL: &str = "53100";
const TOO_MANY_CONNECTIONS: &str = "53300";
const LOCKED: &str = "55P03";
const CANCELED: &str = "57014";

/// An error in words an operator can act on.
pub fn describe(error: &PgDatabaseError) -> Failure {
    match error.code() {
        READ_ONLY => Failure::unavailable(STANDBY),
        WRONG_PASSWORD | NOT_LET_IN => {
            Failure::unavailable("the database does not let this user in: check user and password")
        }
        NO_SUCH_DATABASE => Failure::unavailable("there is no such database: create it first"),
        NOT_PERMITTED => Failure::unavailable(format!(
            "the database's user lacks a right: {}",
            error.message()
        )),
        DISK_FULL => Failure::unavailable("the database's disk is full"),
        TOO_MANY_CONNECTIONS => Failure::unavailable("the database has no connection left"),
        LOCKED => Fault::Locked.into_failure(),
        CANCELED => Failure::unavailable("the database did not answer in time"),
        NO_SUCH_TABLE | NO_SUCH_COLUMN => {
            Failure::unreadable("its tables are not those that were made")
        }
        code if code.starts_with("XX00") => Failure::unreadable(format!(
            "the database is damaged: {} ({code})",
            error.message()
        )),
        code => Failure::unavailable(format!("{} ({code})", error.message())),
    }
}

/// What is said of a server that does not take writes.
pub const STANDBY: &str = "the database may only be read: it is a standby, or set so";

fn ends_the_connection(code: &str, severity: PgSeverity) -> bool {
    // A standby is left: the next connection may reach the server that took over.
    matches!(code, READ_ONLY | IDLE_IN_TRANSACTION)
        // Connection exceptions, and an operator's intervention except for a cancelled statement.
        || code.starts_with("08")
        || code.starts_with("57P")
        || matches!(severity, PgSeverity::Fatal | PgSeverity::Panic)
}
