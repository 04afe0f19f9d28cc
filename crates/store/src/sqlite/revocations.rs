//! The table of revocations: one row for each dead token, and one for each user with an epoch that is
//! over.
//!
//! Nothing vouches for a row. Who writes to the database behind the store's back can delete one, and
//! the next process that starts honours its tokens until they expire; a row that cannot be read,
//! however, is an error for all of them, never left out.

use sealgate_core::clock::Timestamp;
use sealgate_core::revocation::Revocation;

use super::Readers;
use super::error::Failure;
use super::statement::bind;
use super::transaction::Transaction;
use crate::row::revocation::{read, values};

const REVOKE: &str = "INSERT INTO revocation (subject, epoch, expires_at) VALUES (?, ?, ?) \
     ON CONFLICT (subject) DO UPDATE SET \
     epoch = CASE WHEN revocation.epoch < excluded.epoch THEN excluded.epoch \
     ELSE revocation.epoch END, \
     expires_at = CASE WHEN revocation.expires_at < excluded.expires_at \
     THEN excluded.expires_at ELSE revocation.expires_at END";

pub const AFTER: &str = "SELECT subject, epoch, expires_at FROM revocation \
     WHERE subject > ? ORDER BY subject LIMIT ?";

pub const FORGET: &str = "DELETE FROM revocation WHERE subject IN \
     (SELECT subject FROM revocation WHERE expires_at <= ? ORDER BY expires_at, subject LIMIT ?)";

impl Readers {
    pub async fn revocations_after(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, Failure> {
        let rows = sqlx::query(AFTER)
            // Nothing is called ''.
            .bind(after.unwrap_or_default())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| read(row, 0)).collect()
    }
}

impl Transaction<'_> {
    pub async fn revoke(&mut self, revocation: &Revocation) -> Result<(), Failure> {
        bind(sqlx::query(REVOKE), values(revocation))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Removes revocations that are needed no more, the oldest first; says how many.
    pub async fn forget_revocations(&mut self, now: Timestamp, limit: u32) -> Result<u64, Failure> {
        let forgotten = sqlx::query(FORGET)
            .bind(now.as_millis())
            .bind(limit)
            .execute(&mut *self.connection)
            .await?;
        Ok(forgotten.rows_affected())
    }
}
