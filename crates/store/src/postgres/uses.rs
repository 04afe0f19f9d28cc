//! Counts of served requests: by minute while it lasts, in the audit log once it is over.
//!
//! Processes add to the same rows at the same time. They take them in the order of their primary keys,
//! first the counts and then the keys, so that no two wait for each other.

use std::collections::BTreeMap;

use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sealgate_core::tally::{Count, Counted};

use super::error::Fault;
use super::readers::Readers;
use super::statement::{Bulk, bind};
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::uses::{self as row, columns, read};

const ADD: Bulk = Bulk {
    head: concat!("INSERT INTO uses (", columns!(), ") SELECT * FROM"),
    tail: "ON CONFLICT (minute, key_id, address, route) DO UPDATE SET \
           requests = uses.requests + excluded.requests, \
           last = CASE WHEN uses.last < excluded.last THEN excluded.last ELSE uses.last END",
};

const ADD_TO_KEYS: Bulk = Bulk {
    head: "UPDATE api_key SET use_count = use_count + added.requests, last_used_at = CASE \
           WHEN last_used_at > added.last THEN last_used_at ELSE added.last END FROM",
    tail: "AS added (key_id, requests, last) WHERE id = added.key_id",
};

pub const OPEN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM uses WHERE key_id = $1 ORDER BY minute DESC, address DESC, route DESC LIMIT 1000"
);

/// Locked, so that nobody adds to them between this and their removal.
pub const BEFORE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM uses WHERE minute < $1 ORDER BY minute, key_id, address, route LIMIT $2 FOR UPDATE"
);

const DELETE: Bulk = Bulk {
    head: "DELETE FROM uses WHERE (minute, key_id, address, route) IN (SELECT * FROM",
    tail: ")",
};

/// The columns of the primary key are the first.
const PRIMARY_KEY: usize = 4;

impl Readers {
    pub async fn open_uses(&self, key_id: KeyId) -> Result<Vec<Counted>, Failure> {
        let rows = self.rows(OPEN, vec![key_id.to_string().into()]).await?;
        rows.iter().map(read).collect()
    }
}

impl Transaction<'_> {
    /// Adds counts to those of their minute, and to the uses of their keys.
    pub async fn add_uses(&mut self, counted: &[Counted]) -> Result<(), Fault> {
        let merged = merged(counted);
        ADD.run(self.connection, merged.iter().map(row::values).collect())
            .await?;
        let of_keys = row::of_keys(&merged);
        self.lock_keys(of_keys.iter().map(|(id, _)| id.to_string()).collect())
            .await?;
        ADD_TO_KEYS
            .run(self.connection, of_keys.iter().map(row::total).collect())
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
    ) -> Result<u64, Fault> {
        self.prune_feed().await?;
        let values = vec![minute.into(), limit.into()];
        let rows = bind(sqlx::query(BEFORE), values)
            .fetch_all(&mut *self.connection)
            .await?;
        let closed = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let primary_keys = closed.iter().map(|counted| {
            let mut values = row::values(counted);
            values.truncate(PRIMARY_KEY);
            values
        });
        DELETE.run(self.connection, primary_keys.collect()).await?;
        let events: Vec<_> = closed
            .into_iter()
            .map(|counted| counted.into_event(now))
            .collect();
        self.append(&events).await?;
        Ok(events.len() as u64)
    }
}

/// Each count once, in the order of the primary key: a statement may touch a row only once.
fn merged(counted: &[Counted]) -> Vec<Counted> {
    let mut merged: BTreeMap<_, Counted> = BTreeMap::new();
    for Counted { of, count } in counted {
        let place = (
            of.minute,
            of.key_id,
            row::text_of(of.address),
            of.route.clone(),
        );
        let sum = merged.entry(place).or_insert_with(|| Counted {
            of: of.clone(),
            count: Count {
                requests: 0,
                ..*count
            },
        });
        sum.count.requests += count.requests;
        sum.count.last = sum.count.last.max(count.last);
    }
    merged.into_values().collect()
}
