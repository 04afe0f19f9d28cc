//! What the keyring asks the store when it has never heard of a key. Equal questions that wait share
//! one answer; "no such key" is remembered briefly; no more than a few are under way at once.

use std::sync::{Arc, Mutex, PoisonError};

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

#[derive(Debug)]
pub(super) struct Questions {
    under_way: Mutex<HashMap<Question, Arc<OnceCell<()>>>>,
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
        absent.get(&question).is_some_and(|until| now < *until)
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

    /// Forgets what was absent: the store is another one.
    pub(super) fn forget_all(&self) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.clear();
    }

    fn forget_absent(&self, record: &KeyRecord) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if !absent.is_empty() {
            absent.remove(&Question::Prefix(record.prefix));
            absent.remove(&Question::Id(record.id));
        }
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
    /// the keyring afterwards.
    pub(super) async fn ask(&self, question: Question, now: Timestamp) -> Result<(), Error> {
        if self.questions.is_absent(question, now) {
            return Ok(());
        }
        let answer = {
            let mut under_way = self
                .questions
                .under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(under_way.entry(question).or_default())
        };
        let result = answer
            .get_or_try_init(|| self.put_to_store(question, now))
            .await;
        let mut under_way = self
            .questions
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if under_way
            .get(&question)
            .is_some_and(|known| Arc::ptr_eq(known, &answer))
        {
            under_way.remove(&question);
        }
        result.map(|&()| ())
    }

    async fn put_to_store(&self, question: Question, now: Timestamp) -> Result<(), Error> {
        let closed = |_| Error::Internal("the places for questions are gone".to_owned());
        let _place = self.questions.places.acquire().await.map_err(closed)?;
        loop {
            let as_of = self.ring.moment();
            let keys = match question {
                Question::Prefix(prefix) => self.store.keys_with_prefix(prefix).await?,
                Question::Id(id) => self.key_as_page(id).await?,
            };
            self.learn(&keys, as_of);
            // Otherwise it was asked of a store that another has taken the place of.
            if self.ring.remembers(as_of) {
                if keys.records.is_empty() {
                    self.questions.remember_absent(question, now);
                }
                return Ok(());
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
