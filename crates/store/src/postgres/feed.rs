//! The change feed: a growing number for each change, so that every process learns what another one
//! changed.
//!
//! The numbers are given out under the lock of the feed's end, which is held until the transaction ends:
//! whoever sees one sees all before it.
//!
//! A standby that takes over may lack the last changes, and numbers come a second time. Whoever follows
//! remembers the mark of the row it read last: where that has another one, everything is loaded anew.

use sealgate_core::random::array;
use sealgate_core::store::{Change, Feed, FeedPosition};

use super::error::Fault;
use super::readers::Readers;
use super::statement::{Bulk, Columns, execute, the_row};
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::feed::{self as row, KEPT, PRUNED_AT_ONCE, Told};
use crate::row::key::columns;

const INSERT: Bulk = Bulk {
    head: "INSERT INTO feed (sequence, kind, subject, mark) SELECT * FROM",
    tail: "",
};

/// One statement, so that the rows, the keys, the revocations and what was pruned are of the same
/// moment. There is always one row at least, and where nothing changed it costs three look-ups.
pub const SINCE: &str = concat!(
    "SELECT ",
    columns!(),
    ", feed_floor, feed_end, since.sequence, kind, since.subject, \
     revoked, revoked_epoch, revoked_until, since.mark, \
     (SELECT mark FROM feed WHERE sequence = $1) FROM meta \
     CROSS JOIN (SELECT feed_end FROM audit_head WHERE one = 1) AS head \
     LEFT JOIN (SELECT sequence, kind, subject, mark FROM feed WHERE sequence > $1 \
     ORDER BY sequence LIMIT $2) AS since ON since.sequence > $1 \
     LEFT JOIN api_key ON id = since.subject \
     LEFT JOIN (SELECT subject AS revoked, epoch AS revoked_epoch, expires_at AS revoked_until \
     FROM revocation) AS revocations ON revoked = since.subject \
     WHERE meta.one = 1 ORDER BY since.sequence"
);

/// Where the feed ends, and the mark of a row. It answers most questions, since most find nothing new; and
/// its plan is kept, where that of [`SINCE`] is made anew each time, which takes several times as long as
/// the answer.
pub const END: &str = "SELECT feed_end, (SELECT mark FROM feed WHERE sequence = $1) \
     FROM audit_head WHERE one = 1";

/// The columns of [`SINCE`] after those that every engine has.
const MARK: usize = row::MORE;
const MARK_BEFORE: usize = MARK + 1;

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
        if self.is_still_at(after).await? {
            return Ok(Feed::nothing_after(after));
        }
        // One more than asked for tells whether there is more.
        let values = vec![after.0.into(), (i64::from(limit) + 1).into()];
        let rows = self.rows_of_feed(SINCE, values).await?;
        let feed = row::read(&rows, after, limit, &self.cipher)?;
        let first = the_row(&rows, "meta")?;
        let before: Option<i64> = Columns::at(first, MARK_BEFORE).take()?;
        let floor = row::position(Columns::at(first, row::FLOOR).take()?)?;
        let last = rows.iter().take(limit as usize).next_back();
        let last: Option<i64> = last.map_or(Ok(None), |row| Columns::at(row, MARK).take())?;

        let mut followed = self.followed();
        let is_another = followed.is_some_and(|(at, mark)| at == after && mark != before);
        if feed.lost || is_another && after > floor {
            *followed = None;
            return Ok(Feed {
                position: row::position(Columns::at(first, row::END).take()?)?,
                lost: true,
                more: false,
                keys: Vec::new(),
                damaged: Vec::new(),
                revocations: Vec::new(),
                ..feed
            });
        }
        *followed = Some((feed.position, last.or(before)));
        Ok(feed)
    }

    /// Whether the feed ends where it was read to, with the very row that was there.
    async fn is_still_at(&self, after: FeedPosition) -> Result<bool, Failure> {
        let followed = *self.followed();
        let Some((_, mark)) = followed.filter(|(at, _)| *at == after) else {
            return Ok(false);
        };
        let rows = self.rows_of_feed(END, vec![after.0.into()]).await?;
        let mut columns = Columns::of(the_row(&rows, "audit_head")?);
        let end = row::position(columns.take()?)?;
        Ok(end == after && columns.take::<Option<i64>>()? == mark)
    }
}

impl Transaction<'_> {
    /// Writes the rows of changes into the feed.
    pub async fn feed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.tell(&row::told(changes)).await
    }

    /// Writes rows into the feed.
    pub async fn tell(&mut self, told: &[Told]) -> Result<(), Fault> {
        let mark = i64::from_be_bytes(array(self.random));
        let rows = (self.head.feed + 1..).zip(told);
        let rows = rows.map(|(number, (kind, subject))| {
            vec![
                number.into(),
                (*kind).into(),
                subject.as_str().into(),
                mark.into(),
            ]
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
