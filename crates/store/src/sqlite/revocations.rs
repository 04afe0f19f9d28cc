//! The table of revocations: one row for each dead token, and one for each user with an epoch that is
//! over.
//!
//! Nothing vouches for a row. Who writes to the database behind the store's back can delete one, and
//! the next process that starts honours its tokens until they expire; a row that cannot be read,
//! however, is an error for all of them, never left out.

use sealgate_core::clock::Timestamp;
use sealgate_core::revocation::{Revocation, Subject};
use sqlx::sqlite::SqliteRow;

use super::Readers;
use super::error::Failure;
use super::statement::Columns;
use super::transaction::Transaction;

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

/// Reads a revocation from the columns `subject`, `epoch`, `expires_at` of a row, from that place on.
pub fn read(row: &SqliteRow, from: usize) -> Result<Revocation, Failure> {
    let mut columns = Columns::at(row, from);
    let name: &str = columns.take()?;
    let subject = Subject::parse(name, columns.take()?)
        // Spelled otherwise, it would not be found under its name.
        .filter(|subject| subject.name() == name)
        .ok_or_else(|| Failure::unreadable("a revocation is damaged"))?;
    Ok(Revocation {
        subject,
        expires_at: columns.time()?,
    })
}

impl Transaction<'_> {
    pub async fn revoke(&mut self, revocation: &Revocation) -> Result<(), Failure> {
        let Revocation {
            subject,
            expires_at,
        } = revocation;
        sqlx::query(REVOKE)
            .bind(subject.name())
            .bind(subject.epoch())
            .bind(expires_at.as_millis())
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
