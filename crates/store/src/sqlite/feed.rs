//! The change feed: a growing number for each change, so that every process learns what another one
//! changed.

use sealgate_core::store::{Change, Feed, FeedPosition};
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::Readers;
use super::error::Failure;
use super::statement::{Bulk, Statement};
use super::transaction::Transaction;
use crate::row::feed::{self as row, Told};
use crate::row::key::columns;

const INSERT: Bulk = Bulk {
    head: "INSERT INTO feed (kind, subject)",
    columns: 2,
    tail: "",
};

/// One statement, so that the rows, the keys, the revocations and what was pruned are of the same
/// moment. There is always one row at least, and where nothing changed it costs three look-ups.
pub const SINCE: &str = concat!(
    "SELECT ",
    columns!(),
    ", feed_floor, (SELECT max(sequence) FROM feed), sequence, kind, feed.subject, \
     revoked, revoked_epoch, revoked_until FROM meta \
     LEFT JOIN feed ON sequence > ? LEFT JOIN api_key ON id = feed.subject \
     LEFT JOIN (SELECT subject AS revoked, epoch AS revoked_epoch, expires_at AS revoked_until \
     FROM revocation) ON revoked = feed.subject \
     WHERE only = 1 ORDER BY sequence LIMIT ?"
);

pub const POSITION: &str = "SELECT max(sequence) FROM feed";

impl Readers {
    pub async fn feed_position(&self) -> Result<FeedPosition, Failure> {
        let row = sqlx::query(POSITION).fetch_one(&self.pool).await?;
        row::position(row.try_get(0)?)
    }

    pub async fn feed_since(&self, after: FeedPosition, limit: u32) -> Result<Feed, Failure> {
        let rows = sqlx::query(SINCE)
            .bind(after.0.cast_signed())
            // One more than asked for tells whether there is more.
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await?;
        row::read(&rows, after, limit, &self.cipher)
    }
}

impl Transaction<'_> {
    /// Writes the rows of changes into the feed.
    pub async fn feed(&mut self, changes: &[Change]) -> Result<(), Failure> {
        self.tell(&row::told(changes)).await
    }

    /// Writes rows into the feed: what kind of thing changed, and which one.
    pub async fn tell(&mut self, rows: &[Told]) -> Result<(), Failure> {
        let bind = |statement: Statement<'static>, (kind, subject): &Told| {
            statement.bind(*kind).bind(subject.as_str())
        };
        Ok(INSERT.run(self.connection, rows, bind).await?)
    }
}

/// Removes the oldest rows, at most `at_once`, but keeps the last `kept`.
pub async fn prune(
    connection: &mut SqliteConnection,
    kept: i64,
    at_once: i64,
) -> Result<(), Failure> {
    let row = sqlx::query("SELECT feed_floor, (SELECT max(sequence) FROM feed) FROM meta")
        .fetch_one(&mut *connection)
        .await?;
    let floor: i64 = row.try_get(0)?;
    let end: Option<i64> = row.try_get(1)?;
    let new_floor = (end.unwrap_or(0) - kept).min(floor + at_once);
    if new_floor <= floor {
        return Ok(());
    }
    sqlx::query("DELETE FROM feed WHERE sequence <= ?")
        .bind(new_floor)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE meta SET feed_floor = ?")
        .bind(new_floor)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::fixture::{Fixture, key};
    use sealgate_core::store::{Commit, Store as _};

    #[tokio::test]
    async fn whoever_is_behind_what_was_pruned_is_told_so_and_nobody_else() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        let changes = (1..=10)
            .map(|number| Change::InsertKey(Box::new(key(number))))
            .collect();
        store
            .commit(Commit {
                changes,
                events: vec![],
            })
            .await
            .unwrap();
        let mut connection = fixture.connect().await;

        prune(&mut connection, 10, 100).await.unwrap();
        assert!(
            !store.feed_since(FeedPosition(0), 100).await.unwrap().lost,
            "all are kept"
        );
        prune(&mut connection, 4, 5).await.unwrap();
        assert!(
            store.feed_since(FeedPosition(4), 100).await.unwrap().lost,
            "5 were removed"
        );
        assert_eq!(
            store
                .feed_since(FeedPosition(5), 100)
                .await
                .unwrap()
                .keys
                .len(),
            5
        );
        prune(&mut connection, 4, 5).await.unwrap();
        let lost = store.feed_since(FeedPosition(5), 100).await.unwrap();
        assert!(lost.lost && lost.keys.is_empty() && !lost.more);
        assert_eq!(lost.position, FeedPosition(10));
        assert_eq!(
            store
                .feed_since(FeedPosition(6), 100)
                .await
                .unwrap()
                .keys
                .len(),
            4
        );
    }

    #[tokio::test]
    async fn a_number_does_not_come_back_after_its_row_was_pruned() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        for number in 1..=2 {
            let changes = vec![Change::InsertKey(Box::new(key(number)))];
            store
                .commit(Commit {
                    changes,
                    events: vec![],
                })
                .await
                .unwrap();
            let mut connection = fixture.connect().await;
            prune(&mut connection, 0, 100).await.unwrap();
        }
        let mut connection = fixture.connect().await;
        let floor = sqlx::query("SELECT feed_floor FROM meta");
        let floor: i64 = floor.fetch_one(&mut connection).await.unwrap().get(0);
        assert_eq!(floor, 2);
    }
}
