//! Where Sealgate keeps its keys and users, their audit log and their change feed: the [`Store`] trait
//! of `sealgate-core` on SQLite, embedded and the default. What engines have in common stands beside
//! them: how columns are encrypted.
//!
//! [`Store`]: sealgate_core::store::Store

mod cipher;
mod sqlite;

pub use self::sqlite::{Sqlite, SqliteOptions};
