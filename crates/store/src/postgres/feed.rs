//! The change feed: a growing number for each change, so that every process learns what another one
//! changed.
//!
//! The numbers are given out under the lock of the feed's end, which is held until the transaction ends:
//! whoever sees one sees all before it.

use sealgate_core::store::{Change, Feed, FeedPosition};

use super::error::Fault;
use super::readers::Readers;
use super::statement::{Bulk, Columns, execute};
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::feed::{self as row, KEPT, PRUNED_AT_ONCE, Told};
use crate::row::key::columns;

const INSERT: Bulk = Bulk {
    head: "INSERT INTO feed (sequence, kind, subject) SELECT * FROM",
    tail: "",
};

/// One statement, so that the rows, the keys, the revocations and what was pruned are of the same
/// moment. There is always one row at least, and where nothing changed it costs three look-ups.
pub const SINCE: &str = concat!(
    "SELECT ",
    columns!(),
    ", feed_floor, feed_end, since.sequence, kind, since.subject, \
     revoked, revoked_epoch, revoked_until FROM meta \
     CROSS JOIN (SELECT feed_end FROM audit_head WHERE one = 1) AS head \
     LEFT JOIN (SELECT sequence, kind, subject FROM feed WHERE sequence > $1 \
     ORDER BY sequence LIMIT $2) AS since ON since.sequence > $1 \
     LEFT JOIN api_key ON id = since.subject \
     LEFT JOIN (SELECT subject AS revoked, epoch AS revoked_epoch, expires_at AS revoked_until \
     FROM revocation) AS revocations ON revoked = since.subject \
     WHERE meta.one = 1 ORDER BY since.sequence"
);

pub const POSITION: &str = "SELECT feed_end FROM audit_head WHERE one = 1";

impl Readers {
    pub async fn feed_position(&self) -> Result<FeedPosition, Failure> {
        let rows = self.rows(POSITION, vec![]).await?;
        let end = rows
            .first()
            .map(|row| Columns::of(row).take())
            .transpose()?;
        row::position(end)
    }

    pub async fn feed_since(&self, after: FeedPosition, limit: u32) -> Result<Feed, Failure> {
        // One more than asked for tells whether there is more.
        let values = vec![after.0.into(), (i64::from(limit) + 1).into()];
        let rows = self.rows(SINCE, values).await?;
        row::read(&rows, after, limit, &self.cipher)
    }
}

impl Transaction<'_> {
    /// Writes the rows of changes into the feed.
    pub async fn feed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.tell(&row::told(changes)).await
    }

    /// Writes rows into the feed.
    pub async fn tell(&mut self, told: &[Told]) -> Result<(), Fault> {
        let rows = (self.head.feed + 1..).zip(told);
        let rows = rows.map(|(number, (kind, subject))| {
            vec![number.into(), (*kind).into(), subject.as_str().into()]
        });
        let written = INSERT.run(self.connection, rows.collect()).await?;
        self.head.feed += written.cast_signed();
        Ok(())
    }

    /// Removes the oldest rows of the feed, some at a time, but keeps the last.
    pub async fn prune_feed(&mut self) -> Result<(), Fault> {
        self.prune_feed_to(KEPT, PRUNED_AT_ONCE).await
    }

    async fn prune_feed_to(&mut self, kept: i64, at_once: i64) -> Result<(), Fault> {
        let floor = sqlx::query("SELECT feed_floor FROM meta WHERE one = 1");
        let floor = floor.fetch_one(&mut *self.connection).await?;
        let floor: i64 = Columns::of(&floor).take()?;
        let new_floor = (self.head.feed - kept).min(floor + at_once);
        if new_floor <= floor {
            return Ok(());
        }
        let delete = "DELETE FROM feed WHERE sequence <= $1";
        execute(self.connection, delete, vec![new_floor.into()]).await?;
        let note = "UPDATE meta SET feed_floor = $1";
        execute(self.connection, note, vec![new_floor.into()]).await?;
        Ok(())
    }
}
