//! The change feed: a growing number for each change, so that every process learns what another one
//! changed.

use std::collections::HashSet;

use sealgate_core::revocation::Revocation;
use sealgate_core::store::{Change, Feed, FeedPosition};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, ValueRef as _};

use super::error::Failure;
use super::keys::{self, Found, columns};
use super::statement::{Bulk, Statement};
use super::transaction::Transaction;
use super::{Readers, revocations};

/// How many rows are kept at least: whoever is further behind loads everything anew.
pub const KEPT: i64 = 100_000;
/// How many rows one maintenance step removes at most, so that no commit waits long for it.
pub const PRUNED_AT_ONCE: i64 = 20_000;

const KEY: &str = "key";
/// Also of a change that is about several.
pub const SIGNING_KEY: &str = "signing_key";
const REVOCATION: &str = "revocation";
pub const SESSION_KEY: &str = "session_key";

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

/// The columns of [`SINCE`] after those of the key.
const FLOOR: usize = keys::COLUMNS;
const END: usize = FLOOR + 1;
const SEQUENCE: usize = END + 1;
const KIND: usize = SEQUENCE + 1;
const SUBJECT: usize = KIND + 1;
const REVOKED: usize = SUBJECT + 1;

pub const POSITION: &str = "SELECT max(sequence) FROM feed";

impl Readers {
    pub async fn feed_position(&self) -> Result<FeedPosition, Failure> {
        let row = sqlx::query(POSITION).fetch_one(&self.pool).await?;
        position(row.try_get(0)?)
    }

    pub async fn feed_since(&self, after: FeedPosition, limit: u32) -> Result<Feed, Failure> {
        let rows = sqlx::query(SINCE)
            .bind(after.0.cast_signed())
            // One more than asked for tells whether there is more.
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await?;
        let mut feed = Feed {
            position: after,
            keys: Vec::new(),
            damaged: Vec::new(),
            signing_keys: false,
            session_keys: false,
            revocations: Vec::new(),
            lost: false,
            more: rows.len() > limit as usize,
        };
        let Some(first) = rows.first() else {
            return Err(Failure::unreadable("its only row in meta is missing"));
        };
        let (floor, end) = (
            position(first.try_get(FLOOR)?)?,
            position(first.try_get(END)?)?,
        );
        // Beyond the end: the store was put back to an earlier state, from a backup perhaps.
        if after < floor || after > end {
            return Ok(Feed {
                position: end,
                lost: true,
                more: false,
                ..feed
            });
        }
        let mut seen: HashSet<(&str, &str)> = HashSet::new();
        for row in rows.iter().take(limit as usize) {
            let Some(sequence) = row.try_get(SEQUENCE)? else {
                break;
            };
            feed.position = position(Some(sequence))?;
            let (kind, subject) = (row.try_get(KIND)?, row.try_get(SUBJECT)?);
            match kind {
                SIGNING_KEY => feed.signing_keys = true,
                SESSION_KEY => feed.session_keys = true,
                KEY | REVOCATION if !seen.insert((kind, subject)) => {}
                KEY => self.read_key(row, subject, &mut feed)?,
                REVOCATION => feed.revocations.extend(read_revocation(row)?),
                _ => {}
            }
        }
        Ok(feed)
    }

    fn read_key(&self, row: &SqliteRow, id: &str, feed: &mut Feed) -> Result<(), Failure> {
        match keys::find(row, id, &self.cipher)? {
            Found::Key(key) => feed.keys.push(key),
            Found::Damaged(id) => feed.damaged.push(id),
            Found::Nameless => {}
        }
        Ok(())
    }
}

/// The revocation that a row of the feed is about; nothing if it was forgotten since, when nobody
/// needed it any more.
fn read_revocation(row: &SqliteRow) -> Result<Option<Revocation>, Failure> {
    if row.try_get_raw(REVOKED)?.is_null() {
        return Ok(None);
    }
    revocations::read(row, REVOKED).map(Some)
}

fn position(sequence: Option<i64>) -> Result<FeedPosition, Failure> {
    let sequence = u64::try_from(sequence.unwrap_or(0));
    sequence
        .map(FeedPosition)
        .map_err(|_| Failure::unreadable("the change feed is damaged"))
}

impl Transaction<'_> {
    /// Writes the rows of changes into the feed.
    pub async fn feed(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let rows = changes.iter().filter_map(|change| match change {
            Change::InsertKey(key) | Change::UpdateKey(key) => Some((KEY, key.id.to_string())),
            Change::InsertSigningKey(key) => Some((SIGNING_KEY, key.kid.clone())),
            Change::Revoke(revocation) => Some((REVOCATION, revocation.subject.name())),
            Change::InsertSessionKey(key) => Some((SESSION_KEY, key.kid.clone())),
            Change::InsertDataKey(_)
            | Change::InsertUser(_)
            | Change::UpdateUser(_)
            | Change::RemoveUser { .. }
            | Change::NoteLogin { .. }
            | Change::KnowAddress { .. }
            | Change::ForgetAddresses { .. }
            // These have told already, if there was anything to tell.
            | Change::RetireSigningKeys { .. }
            | Change::RemoveSigningKeys { .. }
            | Change::RetireSessionKeys { .. }
            | Change::RemoveSessionKeys { .. } => None,
        });
        let rows: Vec<(&'static str, String)> = rows.collect();
        self.tell(&rows).await
    }

    /// Writes rows into the feed: what kind of thing changed, and which one.
    pub async fn tell(&mut self, rows: &[(&'static str, String)]) -> Result<(), Failure> {
        let bind = |statement: Statement<'static>, (kind, subject): &(&'static str, String)| {
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
