//! Counts of served requests that were put down together, as one row, to be added up later.

use std::borrow::Cow;
use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sealgate_core::tally::{Count, Counted, Use};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::Failure;
use super::uses::{read_address, text_of};
use crate::columns::read_id;
use crate::row::uses::add;

const INSERT: &str = "INSERT INTO use_batch (counts) VALUES (?)";

/// Damaged batches have been set aside, with negative numbers.
pub const OLDEST: &str =
    "SELECT sequence, counts FROM use_batch WHERE sequence > 0 ORDER BY sequence LIMIT 64";

pub const DELETE: &str = "DELETE FROM use_batch WHERE sequence BETWEEN 1 AND ?";

pub const SET_ASIDE: &str = "UPDATE use_batch SET sequence = -sequence WHERE sequence = ?";

/// No batch is added to a sum of so many counts: others wait while they are written.
const SUMMED_AT_ONCE: usize = 32_768;

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

/// What was put down first, added up: of one key, or of all.
pub async fn sum(connection: &mut SqliteConnection, only: Option<KeyId>) -> Result<Sum, Failure> {
    let mut sum = Sum::default();
    let mut rows = sqlx::query(OLDEST).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if sum.counts.len() >= SUMMED_AT_ONCE {
            sum.is_partial = true;
            break;
        }
        sum.add(&row, only)?;
    }
    Ok(sum)
}

/// Sets batches aside that cannot be read, for whoever finds out what became of them.
pub async fn set_aside(connection: &mut SqliteConnection, damaged: &[i64]) -> Result<(), Failure> {
    for sequence in damaged {
        tracing::error!(
            sequence,
            "counts of requests are damaged, and are set aside"
        );
        sqlx::query(SET_ASIDE)
            .bind(sequence)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Removes what was added up.
pub async fn remove(connection: &mut SqliteConnection, last: i64) -> Result<(), Failure> {
    sqlx::query(DELETE).bind(last).execute(connection).await?;
    Ok(())
}

/// Counts of several batches.
#[derive(Debug, Default)]
pub struct Sum {
    /// The last batch that was read; nothing without any.
    pub last: Option<i64>,
    /// Batches that cannot be read.
    pub damaged: Vec<i64>,
    /// Whether there are more.
    pub is_partial: bool,
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
                sum.requests = add(sum.requests, count.requests);
                sum.last = sum.last.max(count.last);
            })
            .or_insert(count);
    }

    fn add(&mut self, row: &SqliteRow, only: Option<KeyId>) -> Result<(), Failure> {
        let sequence = row.try_get(0)?;
        self.last = Some(sequence);
        let Some(counts) = read(row) else {
            self.damaged.push(sequence);
            return Ok(());
        };
        let wanted = |counted: &Counted| only.is_none_or(|key_id| counted.of.key_id == key_id);
        for counted in counts.into_iter().filter(wanted) {
            self.include(counted);
        }
        Ok(())
    }
}

/// The counts of a batch; nothing if one of them is none.
fn read(row: &SqliteRow) -> Option<Vec<Counted>> {
    let entries: Vec<Entry<'_>> = serde_json::from_str(row.try_get(1).ok()?).ok()?;
    entries.iter().map(counted).collect()
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
    use sealgate_core::store::{Change, Commit, Store as _};

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
    async fn damaged_counts_are_set_aside_and_hold_nothing_up() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        for _ in 0..3 {
            store.add_uses(&many(2)).await.unwrap();
        }
        let mut connection = fixture.connect().await;
        for damage in [
            "counts = replace(counts, '60000', '\"x\"') WHERE sequence = 1",
            "counts = 'garbage' WHERE sequence = 2",
        ] {
            let sql = sqlx::AssertSqlSafe(format!("UPDATE use_batch SET {damage}"));
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        let open = store.open_uses(key(0).id).await.unwrap();
        assert_eq!(open.len(), 150);
        assert!(open.iter().all(|counted| counted.count.requests == 2));
        let later = Timestamp::from_seconds(600);
        assert_eq!(store.close_uses(later, later, 1_000).await.unwrap(), 300);
        assert_eq!(total_of_closed(&store).await, 300 * 2);
        let kept = sqlx::query_scalar::<_, i64>("SELECT sequence FROM use_batch ORDER BY 1");
        let kept = kept.fetch_all(&mut connection).await.unwrap();
        assert_eq!(kept, [-2, -1]);
    }

    #[tokio::test]
    async fn so_many_counts_are_added_up_in_several_steps() {
        let fixture = Fixture::new().await;
        let store = fixture.open().await;
        let one = many(1).swap_remove(0);
        for part in 0..5_u32 {
            let counted = (0..10_000).map(|number| {
                let mut counted = one.clone();
                counted.of.route = format!("GET /{part}/{number}").into();
                counted
            });
            store.add_uses(&counted.collect::<Vec<_>>()).await.unwrap();
        }
        let (never, later) = (Timestamp::from_seconds(0), Timestamp::from_seconds(600));
        let limit = 7;
        assert_eq!(
            store.close_uses(never, later, limit).await.unwrap(),
            7,
            "there is more to do"
        );
        assert_eq!(store.close_uses(never, later, limit).await.unwrap(), 0);
        let mut connection = fixture.connect().await;
        assert_eq!(sum(&mut connection, None).await.unwrap().last, None);
    }
}
