//! Where Sealgate keeps its keys and users, their audit log and their change feed: the [`Store`] trait
//! of `sealgate-core` on SQLite, embedded and the default, and on PostgreSQL. What engines have in
//! common stands beside them: how columns are encrypted, and what a row holds. Limits of requests can be
//! kept on a server of Redis instead.
//!
//! [`Store`]: sealgate_core::store::Store

mod cipher;
mod columns;
mod failure;
mod moving;
mod postgres;
mod queue;
mod redis;
mod row;
mod sqlite;

pub use self::moving::{Move, MoveError, Moved};
pub use self::postgres::{NotAUrl, Postgres, PostgresOptions};
pub use self::redis::{NotARedisUrl, Redis};
pub use self::sqlite::{Sqlite, SqliteOptions};
