//! Counts of served requests: by minute while it lasts, in the audit log once it is over.
//!
//! A few are added to those of their minute and to their keys as they come. Many are put down together
//! first, and added up with those that follow: to touch the row of each key takes forty times as long.

use std::cmp::Reverse;
use std::net::{AddrParseError, IpAddr};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sealgate_core::tally::{Count, Counted, Use};

use super::error::Failure;
use super::statement::{Bulk, Statement};
use super::transaction::Transaction;
use super::{Readers, feed, use_batch};
use crate::row::feed::{KEPT, PRUNED_AT_ONCE};
pub use crate::row::uses::text_of;
use crate::row::uses::{columns, of_keys, read};

const ADD: Bulk = Bulk {
    head: concat!("INSERT INTO uses (", columns!(), ")"),
    columns: 6,
    tail: "ON CONFLICT (minute, key_id, address, route) DO UPDATE SET \
           requests = uses.requests + excluded.requests, \
           last = CASE WHEN uses.last < excluded.last THEN excluded.last ELSE uses.last END",
};

pub const ADD_TO_KEYS: Bulk = Bulk {
    head: "WITH added (key_id, requests, last) AS (",
    columns: 3,
    tail: ") UPDATE api_key SET use_count = use_count + added.requests, last_used_at = CASE \
           WHEN last_used_at > added.last THEN last_used_at ELSE added.last END \
           FROM added WHERE id = added.key_id",
};

pub const OPEN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM uses WHERE key_id = ? ORDER BY minute DESC, address DESC, route DESC LIMIT 1000"
);

pub const BEFORE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM uses WHERE minute < ? ORDER BY minute, key_id, address, route LIMIT ?"
);

pub const DELETE_UP_TO: &str =
    "DELETE FROM uses WHERE (minute, key_id, address, route) <= (?, ?, ?, ?)";

/// Most counts that are told of a key.
const TOLD: usize = 1_000;

/// Most counts that are added up as they come.
pub const FEW: usize = 64;

impl Readers {
    pub async fn open_uses(&self, key_id: KeyId) -> Result<Vec<Counted>, Failure> {
        // Both questions of one state: in between, counts could move from one answer to the other.
        let mut snapshot = self.pool.begin().await?;
        let mut sum = use_batch::sum(&mut snapshot, Some(key_id)).await?;
        {
            let mut rows = sqlx::query(OPEN)
                .bind(key_id.to_string())
                .fetch(&mut *snapshot);
            while let Some(row) = rows.try_next().await? {
                sum.include(read(&row)?);
            }
        }
        snapshot.rollback().await?;
        let mut counted: Vec<Counted> = sum.into_counted().collect();
        let newest_first = |counted: &Counted| {
            let Use {
                minute,
                address,
                route,
                ..
            } = &counted.of;
            Reverse((*minute, text_of(*address), Arc::clone(route)))
        };
        counted.sort_by_cached_key(newest_first);
        counted.truncate(TOLD);
        Ok(counted)
    }
}

impl Transaction<'_> {
    /// Adds counts to those of their minute, and to the uses of their keys: now, or soon if they are many.
    pub async fn add_uses(&mut self, counted: &[Counted]) -> Result<(), Failure> {
        if counted.len() <= FEW {
            self.add_up(counted).await
        } else {
            use_batch::put_down(self.connection, counted).await
        }
    }

    /// Adds up what was put down; says whether there is more.
    async fn add_up_batches(&mut self) -> Result<bool, Failure> {
        let sum = use_batch::sum(self.connection, None).await?;
        let Some(last) = sum.last else {
            return Ok(false);
        };
        let is_partial = sum.is_partial;
        use_batch::set_aside(self.connection, &sum.damaged).await?;
        let counted: Vec<Counted> = sum.into_counted().collect();
        self.add_up(&counted).await?;
        use_batch::remove(self.connection, last).await?;
        Ok(is_partial)
    }

    async fn add_up(&mut self, counted: &[Counted]) -> Result<(), Failure> {
        ADD.run(self.connection, counted, bind).await?;
        let of_keys = of_keys(counted);
        ADD_TO_KEYS
            .run(self.connection, &of_keys, bind_total)
            .await?;
        Ok(())
    }

    /// Moves counts of minutes before `minute` into the audit log, the oldest first; says how many, or the
    /// most that it may move if there is more to do. Adds up what was put down, and prunes the change feed, which nothing else does as regularly.
    pub async fn close_uses(
        &mut self,
        minute: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, Failure> {
        feed::prune(self.connection, KEPT, PRUNED_AT_ONCE).await?;
        if self.add_up_batches().await? {
            return Ok(limit.into());
        }
        let rows = sqlx::query(BEFORE)
            .bind(minute.as_millis())
            .bind(limit)
            .fetch_all(&mut *self.connection)
            .await?;
        let closed = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = closed.last() else {
            return Ok(0);
        };
        // They are the first in the order of the primary key, and nobody else writes now.
        sqlx::query(DELETE_UP_TO)
            .bind(last.of.minute.as_millis())
            .bind(last.of.key_id.to_string())
            .bind(text_of(last.of.address))
            .bind(&*last.of.route)
            .execute(&mut *self.connection)
            .await?;
        let events: Vec<_> = closed
            .into_iter()
            .map(|counted| counted.into_event(now))
            .collect();
        self.append(&events).await?;
        Ok(events.len() as u64)
    }
}

fn bind<'q>(statement: Statement<'q>, Counted { of, count }: &Counted) -> Statement<'q> {
    statement
        .bind(of.minute.as_millis())
        .bind(of.key_id.to_string())
        .bind(text_of(of.address))
        .bind(&*of.route)
        .bind(count.requests.cast_signed())
        .bind(count.last.as_millis())
}

fn bind_total<'q>(statement: Statement<'q>, (id, count): &(KeyId, Count)) -> Statement<'q> {
    statement
        .bind(id.to_string())
        .bind(count.requests.cast_signed())
        .bind(count.last.as_millis())
}

/// An address of the primary key.
pub fn read_address(text: &str) -> Result<Option<IpAddr>, AddrParseError> {
    match text {
        "" => Ok(None),
        address => address.parse().map(Some),
    }
}
