//! Counts of served requests: by minute while it lasts, in the audit log once it is over.

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sealgate_core::tally::Counted;

use super::error::Failure;
use super::statement::{Bulk, bind};
use super::transaction::Transaction;
use super::{Readers, feed};
use crate::row::feed::{KEPT, PRUNED_AT_ONCE};
use crate::row::uses::{self as row, columns, read};

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

impl Readers {
    pub async fn open_uses(&self, key_id: KeyId) -> Result<Vec<Counted>, Failure> {
        let mut rows = sqlx::query(OPEN).bind(key_id.to_string()).fetch(&self.pool);
        let mut counted = Vec::new();
        while let Some(row) = rows.try_next().await? {
            counted.push(read(&row)?);
        }
        Ok(counted)
    }
}

impl Transaction<'_> {
    /// Adds counts to those of their minute, and to the uses of their keys.
    pub async fn add_uses(&mut self, counted: &[Counted]) -> Result<(), Failure> {
        ADD.run(self.connection, counted, |statement, count| {
            bind(statement, row::values(count))
        })
        .await?;
        ADD_TO_KEYS
            .run(
                self.connection,
                &row::of_keys(counted),
                |statement, of_key| bind(statement, row::total(of_key)),
            )
            .await?;
        Ok(())
    }

    /// Moves counts of minutes before `minute` into the audit log, the oldest first, and prunes the
    /// change feed, which nothing else does as regularly; says how many counts it moved.
    pub async fn close_uses(
        &mut self,
        minute: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, Failure> {
        feed::prune(self.connection, KEPT, PRUNED_AT_ONCE).await?;
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
            .bind(row::text_of(last.of.address))
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
