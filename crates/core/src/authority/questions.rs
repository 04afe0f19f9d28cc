//! What the keyring asks the store when it has never heard of a key. Equal questions that wait share
//! one answer; "no such key" is remembered briefly; no more than a few are under way at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::collections::HashMap;
use tokio::sync::{OnceCell, Semaphore};

use super::Authority;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::{KeyId, KeyPrefix, KeyRecord};
use crate::keyring::Moment;
use crate::store::{Keys, StoreError};

/// Questions under way at once.
const AT_ONCE: usize = 16;
/// How long "no such key" is remembered, in milliseconds. A key that is made meanwhile comes by the change
/// feed, and is found before this is looked at.
const ABSENT_MILLIS: i64 = 30_000;
/// Most absent keys remembered.
const ABSENT_CAPACITY: usize = 65_536;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// For every key with a prefix.
    Prefix(KeyPrefix),
    /// For the key with an identifier.
    Id(KeyId),
}

/// Filled once the store has answered.
type Answer = Arc<OnceCell<()>>;

#[derive(Debug)]
pub(super) struct Questions {
    under_way: Mutex<HashMap<Question, Answer>>,
    absent: Mutex<HashMap<Question, Timestamp>>,
    places: Semaphore,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
            absent: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl Questions {
    fn is_absent(&self, question: Question, now: Timestamp) -> bool {
        let absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_near = |until: Timestamp| now < until && until <= now.plus_millis(ABSENT_MILLIS);
        absent.get(&question).copied().is_some_and(is_near)
    }

    fn remember_absent(&self, question: Question, now: Timestamp) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if absent.len() >= ABSENT_CAPACITY {
            absent.retain(|_, until| now < *until);
            if absent.len() >= ABSENT_CAPACITY {
                absent.clear();
            }
        }
        absent.insert(question, now.plus_millis(ABSENT_MILLIS));
    }

    /// Takes part in a question, which begins with the first who does.
    fn wait_for(&self, question: Question) -> Waiting<'_> {
        let answer = Arc::clone(self.under_way().entry(question).or_default());
        Waiting {
            questions: self,
            question,
            answer,
            is_over: false,
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Question, Answer>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was absent: the store is another one.
    pub(super) fn forget_all(&self) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.clear();
    }

    fn forget(&self, question: Question) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.remove(&question);
    }

    fn forget_absent(&self, record: &KeyRecord) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if !absent.is_empty() {
            absent.remove(&Question::Prefix(record.prefix));
            absent.remove(&Question::Id(record.id));
        }
    }
}

/// Somebody who waits for an answer. Who stops waiting, since a client hung up, leaves the question to the
/// others, and takes it away if there are none.
struct Waiting<'q> {
    questions: &'q Questions,
    question: Question,
    answer: Answer,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut under_way = self.questions.under_way();
        // Given back under the lock, so that of two who stop waiting at once one sees that it is the last.
        let answer = std::mem::take(&mut self.answer);
        let is_known = under_way
            .get(&self.question)
            .is_some_and(|known| Arc::ptr_eq(known, &answer));
        let is_last = Arc::strong_count(&answer) == 2;
        if is_known && (self.is_over || is_last) {
            under_way.remove(&self.question);
        }
        drop(answer);
    }
}

/// Why the store has not answered a question.
enum Unasked {
    /// Whoever wanted to know does by now.
    Settled,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Unasked {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Authority {
    /// Whether the store said just now that there is no such key.
    pub(super) fn is_absent(&self, question: Question, now: Timestamp) -> bool {
        self.questions.is_absent(question, now)
    }

    /// Takes what the store answered into the keyring.
    pub(super) fn learn(&self, keys: &Keys, as_of: Moment) {
        self.note_damaged(&keys.damaged, as_of);
        self.learn_all(&keys.records, as_of);
    }

    /// Takes copies of keys into the keyring.
    pub(super) fn learn_all(&self, records: &[KeyRecord], as_of: Moment) {
        for record in records {
            self.ring.apply_as_of(record, as_of);
            self.questions.forget_absent(record);
        }
    }

    /// Stops honouring keys whose rows cannot be read, and tells the operator once.
    pub(super) fn note_damaged(&self, damaged: &[KeyId], as_of: Moment) {
        for key_id in damaged {
            if self.ring.condemn(*key_id, as_of) {
                tracing::error!(
                    %key_id,
                    "a key cannot be read: its row was damaged or tampered with; it is refused",
                );
            }
        }
    }

    /// The keys with a prefix as far as they can be read.
    pub(super) async fn readable_with_prefix(&self, prefix: KeyPrefix) -> Result<Keys, Error> {
        let as_of = self.ring.moment();
        let keys = self.store.keys_with_prefix(prefix).await?;
        self.note_damaged(&keys.damaged, as_of);
        Ok(keys)
    }

    /// Every key with a prefix, for who must know them all.
    ///
    /// # Errors
    /// If one of them is damaged, or the store cannot be read.
    pub(super) async fn keys_with_prefix(
        &self,
        prefix: KeyPrefix,
    ) -> Result<Vec<KeyRecord>, Error> {
        let keys = self.readable_with_prefix(prefix).await?;
        match keys.damaged.first() {
            None => Ok(keys.records),
            Some(id) => {
                let why = format!("the row of the key {id} is damaged");
                Err(StoreError::Unreadable(why).into())
            }
        }
    }

    /// Asks the store, unless somebody is asking the same already or just did; what it answers is in
    /// the keyring afterwards. Nothing is asked either once `is_settled`, which is looked at when it is
    /// this question's turn.
    pub(super) async fn ask(
        &self,
        question: Question,
        now: Timestamp,
        is_settled: impl FnMut() -> bool + Send,
    ) -> Result<(), Error> {
        if self.questions.is_absent(question, now) {
            return Ok(());
        }
        let mut waiting = self.questions.wait_for(question);
        let put = || self.put_to_store(question, now, is_settled);
        match waiting.answer.get_or_try_init(put).await {
            // The others are not settled by that: one of them asks.
            Err(Unasked::Settled) => Ok(()),
            Err(Unasked::Failed(error)) => {
                waiting.is_over = true;
                Err(error)
            }
            Ok(()) => {
                waiting.is_over = true;
                Ok(())
            }
        }
    }

    async fn put_to_store(
        &self,
        question: Question,
        now: Timestamp,
        mut is_settled: impl FnMut() -> bool + Send,
    ) -> Result<(), Unasked> {
        let closed = |_| Error::Internal("the places for questions are gone".to_owned());
        let _place = self.questions.places.acquire().await.map_err(closed)?;
        // The feed may have brought the key while this waited, or somebody been answered just before it
        // began to.
        if self.questions.is_absent(question, now) {
            return Ok(());
        }
        if is_settled() {
            return Err(Unasked::Settled);
        }
        loop {
            let as_of = self.ring.moment();
            let keys = match question {
                Question::Prefix(prefix) => self.store.keys_with_prefix(prefix).await?,
                Question::Id(id) => self.key_as_page(id).await?,
            };
            self.learn(&keys, as_of);
            // Otherwise it was asked of a store that another has taken the place of.
            if self.ring.remembers(as_of) {
                if keys.records.is_empty() && keys.damaged.is_empty() {
                    self.questions.remember_absent(question, now);
                }
                if self.ring.remembers(as_of) {
                    return Ok(());
                }
                // Another store took its place meanwhile, and what was absent there was forgotten before.
                self.questions.forget(question);
            }
        }
    }

    async fn key_as_page(&self, id: KeyId) -> Result<Keys, Error> {
        if self.ring.is_condemned(id) {
            return Ok(Keys::default());
        }
        Ok(Keys {
            records: Vec::from_iter(self.store.key(id).await?),
            ..Keys::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_question_is_under_way_until_it_is_over_or_nobody_waits_for_it() {
        let questions = Questions::default();
        let question = Question::Id(KeyId(Uuid::nil()));
        let ask = || questions.wait_for(question);
        let (one, other) = (ask(), ask());
        assert!(Arc::ptr_eq(&one.answer, &other.answer));
        drop(one);
        assert!(Arc::ptr_eq(&ask().answer, &other.answer), "another waits");
        drop(other);
        assert!(questions.under_way().is_empty(), "all hung up");

        let (mut answered, late) = (ask(), ask());
        answered.is_over = true;
        drop(answered);
        let next = ask();
        assert!(!Arc::ptr_eq(&next.answer, &late.answer), "asked anew");
        drop(late);
        assert_eq!(questions.under_way().len(), 1, "that of the next");
    }
}
