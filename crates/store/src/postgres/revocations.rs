//! The table of revocations: one row for each dead token, and one for each user with an epoch that is
//! over.
//!
//! Nothing vouches for a row. Who writes to the database behind the store's back can delete one, and
//! the next process that starts honours its tokens until they expire; a row that cannot be read,
//! however, is an error for all of them, never left out.

use sealgate_core::clock::Timestamp;
use sealgate_core::revocation::Revocation;

use super::error::Fault;
use super::readers::Readers;
use super::statement::execute;
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::revocation::{read, values};

const REVOKE: &str = "INSERT INTO revocation (subject, epoch, expires_at) VALUES ($1, $2, $3) \
     ON CONFLICT (subject) DO UPDATE SET \
     epoch = CASE WHEN revocation.epoch < excluded.epoch THEN excluded.epoch \
     ELSE revocation.epoch END, \
     expires_at = CASE WHEN revocation.expires_at < excluded.expires_at \
     THEN excluded.expires_at ELSE revocation.expires_at END";

pub const AFTER: &str = "SELECT subject, epoch, expires_at FROM revocation \
     WHERE subject > $1 ORDER BY subject LIMIT $2";

pub const FORGET: &str = "DELETE FROM revocation WHERE subject IN (SELECT subject FROM revocation \
     WHERE expires_at <= $1 ORDER BY expires_at, subject LIMIT $2)";

impl Readers {
    pub async fn revocations_after(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Revocation>, Failure> {
        // Nothing is called ''.
        let values = vec![after.unwrap_or_default().into(), limit.into()];
        let rows = self.rows(AFTER, values).await?;
        rows.iter().map(|row| read(row, 0)).collect()
    }
}

impl Transaction<'_> {
    pub async fn revoke(&mut self, revocation: &Revocation) -> Result<(), Fault> {
        execute(self.connection, REVOKE, values(revocation)).await?;
        Ok(())
    }

    /// Removes revocations that are needed no more, the oldest first; says how many.
    pub async fn forget_revocations(&mut self, now: Timestamp, limit: u32) -> Result<u64, Fault> {
        let values = vec![now.into(), limit.into()];
        Ok(execute(self.connection, FORGET, values).await?)
    }
}
