//! Counts of served requests that were put down together, as one row, to be added up later.

use std::borrow::Cow;
use std::collections::HashMap;

use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sealgate_core::tally::{Count, Counted, Use};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::Failure;
use super::uses::{read_address, text_of};
use crate::columns::read_id;

const INSERT: &str = "INSERT INTO use_batch (counts) VALUES (?)";

/// So many rows at once: a server of many keys puts twenty down between one time they are added up and
/// the next.
pub const OLDEST: &str = "SELECT sequence, counts FROM use_batch ORDER BY sequence LIMIT 64";

pub const DELETE: &str = "DELETE FROM use_batch WHERE sequence <= ?";

/// A count as it stands in a batch, in the order of the columns of `uses`.
type Entry<'a> = (i64, Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, u64, i64);

/// Puts counts down.
pub async fn put_down(
    connection: &mut SqliteConnection,
    counted: &[Counted],
) -> Result<(), Failure> {
    let entries: Vec<Entry<'_>> = counted.iter().map(entry).collect();
    let text = serde_json::to_string(&entries)
        .map_err(|error| Failure::unavailable(format!("counts cannot be written: {error}")))?;
    sqlx::query(INSERT).bind(text).execute(connection).await?;
    Ok(())
}

/// What was put down, added up: of one key, or of all.
pub async fn sum(connection: &mut SqliteConnection, only: Option<KeyId>) -> Result<Sum, Failure> {
    let rows = sqlx::query(OLDEST).fetch_all(connection).await?;
    let mut sum = Sum::default();
    for row in &rows {
        sum.add(row, only)?;
    }
    Ok(sum)
}

/// Removes what was added up.
pub async fn remove(connection: &mut SqliteConnection, last: i64) -> Result<(), Failure> {
    sqlx::query(DELETE).bind(last).execute(connection).await?;
    Ok(())
}

/// Counts of several batches.
#[derive(Debug, Default)]
pub struct Sum {
    /// The last batch that is in it; nothing without any.
    pub last: Option<i64>,
    counts: HashMap<Use, Count>,
}

impl Sum {
    /// The counts, each use once.
    pub fn into_counted(self) -> impl Iterator<Item = Counted> {
        let counts = self.counts.into_iter();
        counts.map(|(of, count)| Counted { of, count })
    }

    /// Takes further counts in.
    pub fn include(&mut self, counted: Counted) {
        let Counted { of, count } = counted;
        self.counts
            .entry(of)
            .and_modify(|sum| {
                sum.requests = sum.requests.saturating_add(count.requests);
                sum.last = sum.last.max(count.last);
            })
            .or_insert(count);
    }

    fn add(&mut self, row: &SqliteRow, only: Option<KeyId>) -> Result<(), Failure> {
        let damaged = || Failure::unreadable("counts of requests are damaged");
        self.last = Some(row.try_get(0)?);
        let entries: Vec<Entry<'_>> =
            serde_json::from_str(row.try_get(1)?).map_err(|_| damaged())?;
        for entry in &entries {
            let counted = counted(entry).ok_or_else(damaged)?;
            if only.is_none_or(|key_id| counted.of.key_id == key_id) {
                self.include(counted);
            }
        }
        Ok(())
    }
}

/// A count as it is put down.
fn entry(Counted { of, count }: &Counted) -> Entry<'_> {
    (
        of.minute.as_millis(),
        of.key_id.to_string().into(),
        text_of(of.address).into(),
        (&*of.route).into(),
        count.requests,
        count.last.as_millis(),
    )
}

fn counted((minute, key_id, address, route, requests, last): &Entry<'_>) -> Option<Counted> {
    let of = Use {
        minute: Timestamp::from_millis(*minute),
        key_id: read_id(key_id)?,
        address: read_address(address).ok()?,
        route: (&**route).into(),
    };
    let count = Count {
        // As a column holds it.
        requests: i64::try_from(*requests).ok()?.cast_unsigned(),
        last: Timestamp::from_millis(*last),
    };
    Some(Counted { of, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::fixture::{Fixture, key};
    use sealgate_core::audit::Record;
    use sealgate_core::store::{Change, Commit, Store as _, StoreError};

    /// More than are added up at once when they come.
    fn many(requests: u64) -> Vec<Counted> {
        let counted = |number: u32| Counted {
            of: Use {
                minute: Timestamp::from_seconds(60),
                key_id: key(number % 2).id,
                address: Some(std::net::Ipv4Addr::from(number).into()),
                route: "GET /a".into(),
            },
            count: Count {
                requests,
                last: Timestamp::from_seconds(61 + i64::from(number)),
            },
        };
        (0..300).map(counted).collect()
    }

    async fn total_of_closed(store: &crate::sqlite::Sqlite) -> u64 {
        let records = store.audit_after(0, 1_000).await.unwrap();
        let count = |record: &Record| {
            let details: serde_json::Value = serde_json::from_str(&record.event.details).ok()?;
            details["count"].as_u64()
        };
        records.iter().filter_map(count).sum()
    }

    #[tokio::test]
    async fn many_counts_are_told_at_once_and_added_to_their_keys_when_minutes_are_closed() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        let keys = [0, 1].map(|number| Change::InsertKey(Box::new(key(number))));
        let commit = Commit {
            changes: keys.into(),
            events: vec![],
        };
        store.commit(commit).await.unwrap();
        store.add_uses(&many(2)).await.unwrap();
        store.add_uses(&many(3)).await.unwrap();
        store.add_uses(&many(1)[..2]).await.unwrap();

        let open = store.open_uses(key(0).id).await.unwrap();
        assert_eq!(open.len(), 150);
        let requests = open.iter().map(|counted| counted.count.requests);
        assert_eq!(requests.sum::<u64>(), 150 * 5 + 1);

        let none = Timestamp::from_seconds(60);
        assert_eq!(store.close_uses(none, none, 1).await.unwrap(), 0);
        assert_eq!(store.open_uses(key(0).id).await.unwrap(), open);
        let used = store.key(key(0).id).await.unwrap().unwrap();
        assert_eq!(used.use_count, 150 * 5 + 1);
        assert_eq!(used.last_used_at, Some(Timestamp::from_seconds(61 + 298)));

        let later = Timestamp::from_seconds(600);
        assert_eq!(store.close_uses(later, later, 1_000).await.unwrap(), 300);
        assert_eq!(total_of_closed(&store).await, 300 * 5 + 2);
        assert_eq!(store.open_uses(key(0).id).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_not_added_up_yet_is_when_the_store_is_closed() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        store.add_uses(&many(2)).await.unwrap();
        store.close().await;
        let mut connection = fixture.connect().await;
        assert_eq!(sum(&mut connection, None).await.unwrap().last, None);
        let store = fixture.open().await;
        assert_eq!(store.open_uses(key(1).id).await.unwrap().len(), 150);
    }

    #[tokio::test]
    async fn damaged_counts_are_an_error_and_stay() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        store.add_uses(&many(2)).await.unwrap();
        let mut connection = fixture.connect().await;
        for damage in [
            "counts = replace(counts, '60000', '\"x\"')",
            "counts = 'garbage'",
        ] {
            let sql = sqlx::AssertSqlSafe(format!("UPDATE use_batch SET {damage}"));
            sqlx::query(sql).execute(&mut connection).await.unwrap();
            let later = Timestamp::from_seconds(600);
            for outcome in [
                store.close_uses(later, later, 10).await.map(|_| ()),
                store.open_uses(key(0).id).await.map(|_| ()),
            ] {
                assert!(
                    matches!(outcome, Err(StoreError::Unreadable(_))),
                    "{outcome:?}"
                );
            }
        }
    }
}
