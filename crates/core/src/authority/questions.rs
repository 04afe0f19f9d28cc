//! What the keyring asks the store when it has never heard of a key. Questions that come while others are
//! under way wait together and are asked as one; equal ones share the answer; "no such key" is remembered
//! briefly.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use super::Authority;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::{KeyId, KeyPrefix, KeyRecord};
use crate::keyring::Moment;
use crate::store::{Keys, StoreError};

/// Rounds under way at once. Few, so that many who ask at once are soon asked for together.
const AT_ONCE: usize = 4;
/// Most questions of a round.
const ROUND: usize = 256;
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

/// Questions that the store is asked together. But for the answer it is changed under the lock of [`Rounds`]
/// alone.
#[derive(Debug, Default)]
struct Round {
    questions: Mutex<Vec<Question>>,
    /// Who wait for the answer.
    askers: AtomicUsize,
    answer: OnceCell<Result<(), StoreError>>,
}

impl Round {
    fn questions(&self) -> MutexGuard<'_, Vec<Question>> {
        lock(&self.questions)
    }
}

/// The rounds that are not answered yet.
#[derive(Debug, Default)]
struct Rounds {
    by_question: HashMap<Question, Arc<Round>>,
    /// The one that takes further questions.
    next: Option<Arc<Round>>,
}

impl Rounds {
    /// The round that asks a question, if there is one.
    fn of(&self, question: Question) -> Option<Arc<Round>> {
        self.by_question.get(&question).cloned()
    }

    /// Adds a question to the next round.
    fn add(&mut self, question: Question) -> Arc<Round> {
        let has_room = |round: &&Arc<Round>| round.questions().len() < ROUND;
        let round = self.next.as_ref().filter(has_room).cloned();
        let round = round.unwrap_or_default();
        round.questions().push(question);
        self.by_question.insert(question, Arc::clone(&round));
        self.next = Some(Arc::clone(&round));
        round
    }

    /// What a round asks, which takes no more from now on.
    fn begin(&mut self, round: &Arc<Round>) -> Vec<Question> {
        self.close(round);
        let questions = round.questions().clone();
        for question in &questions {
            // Not if who began before hung up, and somebody asks anew since.
            let known = self.by_question.entry(*question);
            known.or_insert_with(|| Arc::clone(round));
        }
        questions
    }

    fn end(&mut self, round: &Arc<Round>) {
        self.close(round);
        for question in round.questions().iter() {
            let known = self.by_question.get(question);
            if known.is_some_and(|known| Arc::ptr_eq(known, round)) {
                self.by_question.remove(question);
            }
        }
    }

    fn close(&mut self, round: &Arc<Round>) {
        if self
            .next
            .as_ref()
            .is_some_and(|next| Arc::ptr_eq(next, round))
        {
            self.next = None;
        }
    }
}

#[derive(Debug)]
pub(super) struct Questions {
    rounds: Mutex<Rounds>,
    /// How many rounds have ended; changed under the lock of the rounds.
    ended: AtomicU64,
    absent: Mutex<HashMap<Question, Timestamp>>,
    places: Semaphore,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            rounds: Mutex::default(),
            ended: AtomicU64::new(0),
            absent: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl Questions {
    fn is_absent(&self, question: Question, now: Timestamp) -> bool {
        let is_near = |until: Timestamp| now < until && until <= now.plus_millis(ABSENT_MILLIS);
        let absent = lock(&self.absent);
        absent.get(&question).copied().is_some_and(is_near)
    }

    fn remember_absent(&self, questions: &[Question], now: Timestamp) {
        let mut absent = lock(&self.absent);
        if absent.len() + questions.len() > ABSENT_CAPACITY {
            absent.retain(|_, until| now < *until);
            if absent.len() + questions.len() > ABSENT_CAPACITY {
                absent.clear();
            }
        }
        let until = now.plus_millis(ABSENT_MILLIS);
        absent.extend(questions.iter().map(|question| (*question, until)));
    }

    /// Forgets what was absent: the store is another one.
    pub(super) fn forget_all(&self) {
        lock(&self.absent).clear();
    }

    fn forget(&self, questions: &[Question]) {
        let mut absent = lock(&self.absent);
        for question in questions {
            absent.remove(question);
        }
    }

    fn forget_absent(&self, record: &KeyRecord) {
        let mut absent = lock(&self.absent);
        if !absent.is_empty() {
            absent.remove(&Question::Prefix(record.prefix));
            absent.remove(&Question::Id(record.id));
        }
    }

    /// How many rounds have ended: none since that, and nothing that was asked has been answered since.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Takes part in the round that asks a question; nothing if one has ended after so many: it may have
    /// asked just that.
    fn join(&self, question: Question, ended: u64) -> Option<Asker<'_>> {
        let mut rounds = lock(&self.rounds);
        let round = match rounds.of(question) {
            Some(round) => round,
            None if self.ended() == ended => rounds.add(question),
            None => return None,
        };
        round.askers.fetch_add(1, Ordering::Relaxed);
        let questions = self;
        Some(Asker { questions, round })
    }

    fn end(&self, rounds: &mut Rounds, round: &Arc<Round>) {
        rounds.end(round);
        self.ended.fetch_add(1, Ordering::Release);
    }
}

/// Somebody who waits for a round. A round that all have hung up is over.
struct Asker<'q> {
    questions: &'q Questions,
    round: Arc<Round>,
}

impl Asker<'_> {
    /// Begins the round, or goes on with it when who began hung up.
    fn begin(&self) -> (Vec<Question>, UnderWay<'_>) {
        let questions = lock(&self.questions.rounds).begin(&self.round);
        (questions, UnderWay(self))
    }
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        let mut rounds = lock(&self.questions.rounds);
        let is_last = self.round.askers.fetch_sub(1, Ordering::Relaxed) == 1;
        // One that was answered has ended.
        if is_last && !self.round.answer.initialized() {
            self.questions.end(&mut rounds, &self.round);
        }
    }
}

/// A round that somebody asks the store. It is over with that, and when who does hangs up; somebody else
/// who waits for it begins it again then.
struct UnderWay<'a>(&'a Asker<'a>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Asker { questions, round } = self.0;
        questions.end(&mut lock(&questions.rounds), round);
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
        let keys = self.store.keys_with_prefixes(&[prefix]).await?;
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

    /// Asks the store, unless somebody is asking the same already or just did; what it answers is in the
    /// keyring afterwards. Says whether it is answered; otherwise what was decided when so many rounds had
    /// `ended` has to be decided again.
    pub(super) async fn ask(
        &self,
        question: Question,
        now: Timestamp,
        ended: u64,
    ) -> Result<bool, Error> {
        if self.questions.is_absent(question, now) {
            return Ok(true);
        }
        let Some(asker) = self.questions.join(question, ended) else {
            return Ok(false);
        };
        let answer = &asker.round.answer;
        let answer = answer.get_or_init(|| self.put_to_store(&asker, now)).await;
        answer.clone()?;
        Ok(true)
    }

    async fn put_to_store(&self, asker: &Asker<'_>, now: Timestamp) -> Result<(), StoreError> {
        // They are never closed.
        let _place = self.questions.places.acquire().await;
        let (questions, _under_way) = asker.begin();
        loop {
            let as_of = self.ring.moment();
            let absent = self.learn_answers(&questions).await?;
            // Otherwise it was asked of a store that another has taken the place of.
            if self.ring.remembers(as_of) {
                self.questions.remember_absent(&absent, now);
                if self.ring.remembers(as_of) {
                    return Ok(());
                }
                // Another store took its place meanwhile, and what was absent there was forgotten before.
                self.questions.forget(&questions);
            }
        }
    }

    /// Takes what the store answers into the keyring; returns the questions to which the answer is that
    /// there is no such key.
    async fn learn_answers(&self, questions: &[Question]) -> Result<Vec<Question>, StoreError> {
        let (mut prefixes, mut ids) = (Vec::new(), Vec::new());
        for question in questions {
            match question {
                Question::Prefix(prefix) => prefixes.push(*prefix),
                Question::Id(id) if self.ring.is_condemned(*id) => {}
                Question::Id(id) => ids.push(*id),
            }
        }
        let mut absent = Vec::new();
        if !prefixes.is_empty() {
            let as_of = self.ring.moment();
            let keys = self.store.keys_with_prefixes(&prefixes).await?;
            self.learn(&keys, as_of);
            // Of damaged ones it is not told which prefixes they have.
            if keys.damaged.is_empty() {
                let found: HashSet<_> = keys.records.iter().map(|key| key.prefix).collect();
                let missing = prefixes.iter().filter(|prefix| !found.contains(prefix));
                absent.extend(missing.map(|prefix| Question::Prefix(*prefix)));
            }
        }
        if !ids.is_empty() {
            let as_of = self.ring.moment();
            let keys = self.store.keys_with_ids(&ids).await?;
            self.learn(&keys, as_of);
            let found = keys.records.iter().map(|key| key.id);
            let found: HashSet<_> = found.chain(keys.damaged.iter().copied()).collect();
            let missing = ids.iter().filter(|id| !found.contains(id));
            absent.extend(missing.map(|id| Question::Id(*id)));
        }
        Ok(absent)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn question(number: u128) -> Question {
        Question::Id(KeyId(Uuid::from_u128(number)))
    }

    fn join(questions: &Questions, number: u128) -> Asker<'_> {
        questions.join(question(number), questions.ended()).unwrap()
    }

    fn are_together(one: &Asker<'_>, other: &Asker<'_>) -> bool {
        Arc::ptr_eq(&one.round, &other.round)
    }

    #[test]
    fn questions_wait_together_until_their_round_begins() {
        let questions = Questions::default();
        let ended = questions.ended();
        let first = join(&questions, 1);
        assert!(are_together(&first, &join(&questions, 2)), "another");
        let (asked, under_way) = first.begin();
        assert_eq!(asked, [question(1), question(2)]);
        assert!(are_together(&first, &join(&questions, 1)), "the same");
        let second = join(&questions, 3);
        assert!(!are_together(&first, &second), "one too late");
        drop(under_way);
        assert!(are_together(&second, &join(&questions, 1)), "asked anew");
        let decided_before = questions.join(question(4), ended);
        assert!(decided_before.is_none(), "it may be answered");
    }

    #[test]
    fn a_round_takes_so_many_questions_and_no_more() {
        let questions = Questions::default();
        let askers: Vec<_> = (0..600).map(|number| join(&questions, number)).collect();
        assert!(are_together(&askers[0], &askers[ROUND - 1]));
        assert!(!are_together(&askers[0], &askers[ROUND]));
        let sizes = [0, ROUND, 2 * ROUND].map(|first| askers[first].begin().0.len());
        assert_eq!(sizes, [256, 256, 88]);
    }

    #[test]
    fn a_round_whose_beginner_hung_up_is_joined_again_once_another_goes_on() {
        let questions = Questions::default();
        let (first, other) = (join(&questions, 1), join(&questions, 1));
        drop(first.begin());
        drop(first);
        assert!(lock(&questions.rounds).by_question.is_empty());
        let _under_way = other.begin();
        assert!(are_together(&other, &join(&questions, 1)));
    }

    #[test]
    fn nothing_is_left_of_rounds_that_all_have_hung_up() {
        let questions = Questions::default();
        for first in (0..10_000).step_by(1_000) {
            let askers: Vec<_> = (first..first + 1_000)
                .map(|number| join(&questions, number))
                .collect();
            drop(askers);
        }
        let rounds = lock(&questions.rounds);
        assert!(rounds.by_question.is_empty() && rounds.next.is_none());
    }

    #[test]
    fn no_more_absent_keys_are_remembered_than_there_is_room_for() {
        let questions = Questions::default();
        for first in (0..200_000).step_by(ROUND) {
            let round: Vec<_> = (first..first + 256).map(question).collect();
            questions.remember_absent(&round, NOW);
            assert!(round.iter().all(|absent| questions.is_absent(*absent, NOW)));
            assert!(lock(&questions.absent).len() <= ABSENT_CAPACITY);
        }
    }
}
