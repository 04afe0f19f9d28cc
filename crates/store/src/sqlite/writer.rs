//! What writes: one connection, in one transaction for everything that waits.

use std::sync::Arc;

use sealgate_core::audit::{Chain, Event};
use sealgate_core::store::StoreError;
use sqlx::sqlite::SqliteConnection;

use super::connect;
use super::error::Failure;
use super::log::{self, End};
use super::transaction::Transaction;
use crate::cipher::ColumnCipher;
use crate::queue::{self, Outcome, Work};

/// What the task writes with.
pub struct Pen {
    /// The one connection that writes.
    connection: SqliteConnection,
    /// Encrypts what must not be read in the file.
    cipher: Arc<ColumnCipher>,
    /// Links audit records.
    chain: Chain,
    /// Where the log ends, unless somebody else wrote since.
    end: Option<End>,
    /// The audit records are listed by key up to this one at least.
    listed: u64,
}

impl Pen {
    /// What writes over this connection.
    pub const fn new(
        connection: SqliteConnection,
        cipher: Arc<ColumnCipher>,
        chain: Chain,
    ) -> Self {
        Self {
            connection,
            cipher,
            chain,
            end: None,
            listed: 0,
        }
    }
}

impl queue::Pen for Pen {
    async fn write(&mut self, batch: &[Work]) -> Vec<Outcome> {
        let written = match self.append_alone(batch).await {
            Ok(false) => self.transaction(batch).await,
            Ok(true) => Ok(vec![Ok(0); batch.len()]),
            Err(failure) => Err(failure),
        };
        match written {
            Ok(outcomes) => outcomes,
            Err(Failure(error)) => {
                tracing::warn!(%error, pieces = batch.len(), "nothing of a batch was written");
                self.roll_back().await;
                vec![Err(error); batch.len()]
            }
        }
    }

    async fn rest(&mut self) {
        self.list().await;
    }

    async fn close(self) {
        connect::close(self.connection).await;
    }
}

impl Pen {
    /// Writes a batch of audit records alone, in the shortest way; says whether it could. The way is for a
    /// log that ends where this task left it.
    async fn append_alone(&mut self, batch: &[Work]) -> Result<bool, Failure> {
        let Some(end) = self.end else {
            return Ok(false);
        };
        let records: Option<Vec<_>> = batch.iter().map(Work::records).collect();
        let events: Vec<&Event> = records.into_iter().flatten().flatten().collect();
        if !(1..=log::MOST_AT_ONCE).contains(&events.len()) {
            return Ok(false);
        }
        self.end = None;
        self.end = end
            .advance(&mut self.connection, &self.chain, &events)
            .await?;
        if self.end.is_none() {
            self.roll_back().await;
        }
        Ok(self.end.is_some())
    }

    /// Lists audit records by key once there are many to list.
    async fn list(&mut self) {
        let Some(end) = self.end.filter(|end| end.is_far_from(self.listed)) else {
            return;
        };
        match log::list(&mut self.connection, end).await {
            Ok(listed) => self.listed = listed,
            Err(Failure(error)) => {
                // They are next time: a page of a key's records reads more until then.
                self.listed = end.sequence();
                tracing::warn!(%error, "the audit log's records were not listed by key");
                self.roll_back().await;
            }
        }
    }

    /// SQLite has ended the transaction already after some errors, a full disk's for one.
    async fn roll_back(&mut self) {
        let _ = self.execute("ROLLBACK").await;
    }

    async fn transaction(&mut self, batch: &[Work]) -> Result<Vec<Outcome>, Failure> {
        self.end = None;
        self.execute("BEGIN IMMEDIATE").await?;
        let begin = End::read(&mut self.connection, &self.chain).await?;
        let Self {
            connection,
            cipher,
            chain,
            ..
        } = self;
        let mut open = Transaction {
            connection,
            cipher,
            chain,
            end: begin,
        };
        let mut outcomes = Vec::with_capacity(batch.len());
        for run in batch.chunk_by(|one, next| one.records().is_some() && next.records().is_some()) {
            match run {
                // Alone, it needs no savepoint: it is the transaction.
                [work] if batch.len() == 1 => outcomes.push(Ok(open.apply(work).await?)),
                [work] => outcomes.push(open.attempt(work).await?),
                // No one of them can fail without the others: they are written as one.
                many => {
                    open.append(many.iter().filter_map(Work::records).flatten())
                        .await?;
                    outcomes.extend(many.iter().map(|_| Ok(0)));
                }
            }
        }
        let end = open.end;
        if end != begin {
            end.write(open.connection, open.chain).await?;
        }
        self.execute("COMMIT").await?;
        self.end = Some(end);
        Ok(outcomes)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), Failure> {
        execute(&mut self.connection, sql).await
    }
}

impl Transaction<'_> {
    /// Does a piece of work or, where it cannot be done, none of it.
    ///
    /// # Errors
    /// If the database itself failed. It may have ended the transaction then, and a savepoint set
    /// after that would begin another: nothing more may be done.
    async fn attempt(&mut self, work: &Work) -> Result<Outcome, Failure> {
        let before = self.end;
        execute(self.connection, "SAVEPOINT piece").await?;
        let outcome = match self.apply(work).await {
            Ok(count) => Ok(count),
            Err(Failure(error @ StoreError::Unavailable(_))) => return Err(Failure(error)),
            Err(Failure(error)) => {
                execute(self.connection, "ROLLBACK TO piece").await?;
                self.end = before;
                Err(error)
            }
        };
        execute(self.connection, "RELEASE piece").await?;
        Ok(outcome)
    }

    async fn apply(&mut self, work: &Work) -> Result<u64, Failure> {
        match work {
            Work::Commit(commit) => self.commit(commit).await.map(|()| 0),
            Work::AddUses(counted) => self.add_uses(counted).await.map(|()| 0),
            Work::CloseUses { minute, now, limit } => self.close_uses(*minute, *now, *limit).await,
            Work::ForgetRevocations { now, limit } => self.forget_revocations(*now, *limit).await,
        }
    }
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Failure> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Pen as _, Writer};
    use crate::sqlite::fixture::{Fixture, key};
    use sealgate_core::audit::{Action, Actor, Query};
    use sealgate_core::clock::Timestamp;
    use sealgate_core::store::{Change, Commit, Store as _};

    fn insert(numbers: std::ops::Range<u32>) -> Work {
        let event = |number: u32| {
            let id = Some(key(number).id);
            Event::new(
                key(number).created_at,
                Action::KeyCreated,
                id,
                &Actor::System,
            )
        };
        Work::Commit(Commit {
            events: numbers.clone().map(event).collect(),
            changes: numbers
                .map(|number| Change::InsertKey(Box::new(key(number))))
                .collect(),
        })
    }

    /// Inserts a key and then fails, since the key it changes is not there.
    fn insert_and_fail(number: u32) -> Work {
        let changes = vec![
            Change::InsertKey(Box::new(key(number))),
            Change::UpdateKey(Box::new(key(1_000))),
        ];
        Work::Commit(Commit {
            changes,
            events: vec![],
        })
    }

    #[tokio::test]
    async fn a_piece_that_cannot_be_written_leaves_the_others_of_its_batch() {
        let fixture = Fixture::new().await;
        let mut pen = fixture.pen().await;
        let batch = [insert(0..2), insert_and_fail(7), insert(2..4), insert(1..3)];
        let conflict = || Err(StoreError::Conflict);
        assert_eq!(
            pen.write(&batch).await,
            [Ok(0), conflict(), Ok(0), conflict()]
        );
        assert_eq!(pen.write(&[insert_and_fail(8)]).await, [conflict()]);
        let store = fixture.open().await;
        assert_eq!(
            store.keys_after(None, 10).await.unwrap().records,
            [0, 1, 2, 3].map(key)
        );
        assert_eq!(store.health().await.unwrap().keys, 4);
        fixture.assert_whole_log(&store, 1 + 4).await;
    }

    #[tokio::test]
    async fn records_alone_are_written_as_one_and_in_their_order() {
        let fixture = Fixture::new().await;
        let mut pen = fixture.pen().await;
        let record = |number: u32| {
            let time = Timestamp::from_seconds(number.into());
            let event = Event::new(time, Action::RequestServed, None, &Actor::System);
            Work::Commit(Commit {
                changes: vec![],
                events: vec![event],
            })
        };
        let batch = [
            record(1),
            record(2),
            insert(0..1),
            insert_and_fail(7),
            record(3),
            record(4),
        ];
        let outcomes = pen.write(&batch).await;
        let expected = [Ok(0), Ok(0), Ok(0), Err(StoreError::Conflict), Ok(0), Ok(0)];
        assert_eq!(outcomes, expected);
        let store = fixture.open().await;
        fixture.assert_whole_log(&store, 1 + 5).await;
        let query = Query {
            key_id: None,
            before: None,
            limit: 10,
        };
        let newest = store.audit(&query).await.unwrap();
        let seconds = newest
            .iter()
            .rev()
            .map(|record| record.event.time.as_seconds());
        let kept = [1, 2, key(0).created_at.as_seconds(), 3, 4];
        assert!(seconds.collect::<Vec<_>>().ends_with(&kept), "{newest:?}");
    }

    fn record(number: u32) -> Work {
        let time = Timestamp::from_seconds(number.into());
        let id = key(number % 3).id;
        Work::Commit(Commit {
            changes: vec![],
            events: vec![Event::new(
                time,
                Action::RequestServed,
                Some(id),
                &Actor::Key(id),
            )],
        })
    }

    #[tokio::test]
    async fn two_who_write_records_in_turn_make_one_log() {
        let fixture = Fixture::new().await;
        let mut pens = [fixture.pen().await, fixture.pen().await];
        let mut written = 1;
        for (turn, size) in [1, 1, 2, 128, 3, 129, 9, 40].into_iter().enumerate() {
            let batch: Vec<Work> = (0..size).map(record).collect();
            // Twice, so that the second batch follows one of the same writer.
            for _ in 0..2 {
                let outcomes = pens[turn % 2].write(&batch).await;
                assert!(outcomes.iter().all(|outcome| *outcome == Ok(0)));
                written += u64::from(size);
            }
        }
        let store = fixture.open().await;
        fixture.assert_whole_log(&store, written).await;
    }

    #[tokio::test]
    async fn the_records_of_a_key_are_found_whether_listed_or_not() {
        let fixture = Fixture::new().await;
        let mut pen = fixture.pen().await;
        let store = fixture.open().await;
        let batch: Vec<Work> = (0..99).map(record).collect();
        for listed in [false, false, true, true] {
            if listed {
                while pen.listed == 0 {
                    pen.write(&batch).await;
                    pen.list().await;
                }
            }
            pen.write(&batch).await;
            let mut query = Query {
                key_id: Some(key(1).id),
                before: None,
                limit: 1_000,
            };
            let mut places = Vec::new();
            loop {
                let page = store.audit(&query).await.unwrap();
                assert!(page.iter().all(|it| it.event.key_id == query.key_id));
                places.extend(page.iter().map(|record| record.sequence));
                query.before = places.last().copied();
                if page.is_empty() {
                    break;
                }
            }
            let mut expected: Vec<u64> = (1..=pen.end.unwrap().sequence())
                .filter(|place| place % 3 == 0)
                .collect();
            expected.reverse();
            assert_eq!(places, expected);
        }
        let end = pen.end.unwrap().sequence();
        assert!(end - pen.listed < log::UNLISTED, "{end}, {}", pen.listed);
    }

    #[tokio::test]
    async fn a_full_disk_undoes_the_whole_batch_and_ends_with_it() {
        let fixture = Fixture::new().await;
        let mut pen = fixture.pen().await;
        execute(&mut pen.connection, "PRAGMA max_page_count = 40")
            .await
            .unwrap();
        let outcomes = pen
            .write(&[insert(0..1), insert(1..2_000), insert(2_000..2_001)])
            .await;
        let full = StoreError::Unavailable("the disk is full".to_owned());
        assert_eq!(outcomes, [Err(full.clone()), Err(full.clone()), Err(full)]);

        execute(&mut pen.connection, "PRAGMA max_page_count = 1000000")
            .await
            .unwrap();
        assert_eq!(
            pen.write(&[insert(5..6), insert(6..7)]).await,
            [Ok(0), Ok(0)]
        );
        let store = fixture.open().await;
        assert_eq!(
            store.keys_after(None, 10).await.unwrap().records,
            [5, 6].map(key)
        );
        fixture.assert_whole_log(&store, 1 + 2).await;
    }

    #[tokio::test]
    async fn work_handed_to_a_writer_that_died_is_told_so() {
        let fixture = Fixture::new().await;
        let writer = Writer::start(fixture.pen().await);
        if let Some((_, task)) = &*writer.0.lock().unwrap() {
            task.abort();
        }
        let outcome = writer.write(insert(0..1)).await;
        assert!(
            matches!(outcome, Err(StoreError::Unavailable(_))),
            "{outcome:?}"
        );
        writer.close().await;
    }
}
