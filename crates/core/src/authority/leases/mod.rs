//! Limits that several processes count together. A process takes some requests off a limit before they
//! arrive, as many as it had in the last second, and spends them without asking; what it does not need
//! goes back. So who uses more holds more, and the sum is never more than the limit.
//!
//! - [`lease`]: what one process holds of one limit

mod lease;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::lease::{Lease, Question};
use super::rate::Spent;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::key::KeyId;
use crate::rate::{Allowance, RateLimit};
use crate::shared_limits::{
    Ask, KeeperGone, KeeperHealth, LimitKeeper, MOST_ASKS, WhenUnavailable,
};

/// A power of two: so many locks share the keys among them.
const SHARDS: usize = 64;
/// Requests that wait for the keeper; whoever brings more waits for room.
const QUEUE: usize = 4 * MOST_ASKS;
/// How often a request asks whose limit was asked about under other terms at the same moment.
const TRIES: u32 = 10;
/// After how long a silence it is looked whether the keeper still answers, in milliseconds.
const LOOK_MILLIS: i64 = 5_000;

/// The limits that are counted together.
pub(super) struct Leases {
    desk: Arc<Desk>,
    /// The way to the one task that asks the keeper, once there is one.
    queue: OnceLock<mpsc::Sender<Wish>>,
}

/// What the task and the requests share.
struct Desk {
    clock: Arc<dyn Clock>,
    keeper: Arc<dyn LimitKeeper>,
    when_unavailable: WhenUnavailable,
    shards: Box<[Mutex<HashMap<KeyId, Lease>>; SHARDS]>,
    /// Those of which the keeper may have to hear without a request: something to give back, or something
    /// that was spent while it was gone.
    unsettled: Mutex<Vec<KeyId>>,
    is_gone: AtomicBool,
    /// When the keeper answered last, in milliseconds since 1970.
    answered_at: AtomicI64,
    failures: AtomicU64,
}

/// A request that needs the keeper.
struct Wish {
    lineage: KeyId,
    limit: RateLimit,
    /// Who waits for it; nobody if something is to be held ahead. Dropped if it has to look again.
    reply: Option<oneshot::Sender<Outcome>>,
}

/// The leases of some keys.
type Shard<'a> = MutexGuard<'a, HashMap<KeyId, Lease>>;

/// What is left, or how long to wait.
type Outcome = Result<Allowance, Duration>;

impl Leases {
    pub fn new(
        clock: Arc<dyn Clock>,
        keeper: Arc<dyn LimitKeeper>,
        when_unavailable: WhenUnavailable,
    ) -> Self {
        let desk = Desk {
            clock,
            keeper,
            when_unavailable,
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            unsettled: Mutex::default(),
            is_gone: AtomicBool::new(false),
            answered_at: AtomicI64::new(i64::MIN / 2),
            failures: AtomicU64::new(0),
        };
        Self {
            desk: Arc::new(desk),
            queue: OnceLock::new(),
        }
    }

    /// Takes one request off a limit with what is known here.
    pub fn spend(&self, lineage: KeyId, limit: RateLimit) -> Result<Spent, Duration> {
        let desk = &self.desk;
        let mut shard = desk.shard(lineage);
        let now = desk.clock.now();
        let lease = shard
            .entry(lineage)
            .or_insert_with(|| Lease::new(limit, now));
        if let Some(allowance) = lease.spend(limit, now) {
            if desk.keeper.hands_out_ahead() && lease.runs_low(now) && !desk.is_gone() {
                lease.is_asked = self.ask_ahead(lineage, limit);
            }
            return Ok(Spent::Settled(Some(allowance)));
        }
        if desk.is_gone() {
            return match desk.when_unavailable {
                WhenUnavailable::Open => {
                    drop(shard);
                    let outcome = desk.spend_alone(lineage, limit);
                    outcome.map(|allowance| Spent::Settled(Some(allowance)))
                }
                WhenUnavailable::Closed => Ok(Spent::MustAsk),
            };
        }
        match lease.refusal(limit, now) {
            Some(wait) => Err(wait),
            None => Ok(Spent::MustAsk),
        }
    }

    /// Takes one request off a limit, with the keeper's help where that is needed.
    pub async fn charge(&self, lineage: KeyId, limit: RateLimit) -> Result<Outcome, Error> {
        let desk = &self.desk;
        let is_closed = desk.when_unavailable == WhenUnavailable::Closed;
        for _ in 0..TRIES {
            match self.spend(lineage, limit) {
                Ok(Spent::Settled(Some(allowance))) => return Ok(Ok(allowance)),
                Err(wait) => return Ok(Err(wait)),
                Ok(_) if is_closed && desk.is_gone() => break,
                Ok(_) => {}
            }
            let (reply, outcome) = oneshot::channel();
            let wish = Wish {
                lineage,
                limit,
                reply: Some(reply),
            };
            // The task ends with this, and its queue is closed no earlier.
            let _ = self.queue().send(wish).await;
            if let Ok(outcome) = outcome.await {
                return Ok(outcome);
            }
        }
        if is_closed {
            return Err(Error::LimitsUnavailable);
        }
        Ok(desk.spend_alone(lineage, limit))
    }

    fn ask_ahead(&self, lineage: KeyId, limit: RateLimit) -> bool {
        let reply = None;
        let wish = Wish {
            lineage,
            limit,
            reply,
        };
        // Something is held, so that the task was started; where the queue is full, it is asked later.
        self.queue
            .get()
            .is_some_and(|queue| queue.try_send(wish).is_ok())
    }

    fn queue(&self) -> &mpsc::Sender<Wish> {
        self.queue.get_or_init(|| {
            let (sender, queue) = mpsc::channel(QUEUE);
            tokio::spawn(run(Arc::clone(&self.desk), queue));
            sender
        })
    }

    /// Settles with the keeper what is open between the two, and looks whether it answers if nobody has
    /// asked it for a while.
    pub async fn tend(&self) {
        let desk = &self.desk;
        if desk.is_gone() || desk.is_silent() {
            desk.put(vec![Question::of(probe())]).await;
        }
        if !desk.is_gone() {
            desk.settle(Lease::settle).await;
        }
    }

    /// Gives back all that is held: nothing will be asked for any more.
    pub async fn end(&self) {
        if !self.desk.is_gone() {
            self.desk.settle(Lease::give_back_all).await;
        }
    }

    /// Forgets what is whole again, here and at the keeper.
    pub async fn forget_unused(&self) {
        for shard in self.desk.shards.iter() {
            let mut shard = lock(shard);
            let now = self.desk.clock.now();
            shard.retain(|_, lease| !lease.is_over(now));
            if shard.len() < shard.capacity() / 4 {
                let some_more = shard.len() * 2;
                shard.shrink_to(some_more);
            }
        }
        if !self.desk.is_gone()
            && let Err(failure) = self.desk.keeper.forget_whole().await
        {
            // They are there next time: nobody needs it.
            tracing::warn!(%failure, "limits that are whole again were not forgotten");
        }
    }

    pub fn health(&self) -> KeeperHealth {
        KeeperHealth {
            answers: !self.desk.is_gone(),
            failures: self.desk.failures.load(Ordering::Relaxed),
        }
    }
}

/// Asks the keeper for all that wait, again and again: one question at a time.
async fn run(desk: Arc<Desk>, mut queue: mpsc::Receiver<Wish>) {
    let mut wishes = Vec::new();
    while queue.recv_many(&mut wishes, MOST_ASKS / 2).await > 0 {
        let fulfilled = AssertUnwindSafe(desk.fulfil(std::mem::take(&mut wishes)));
        if fulfilled.catch_unwind().await.is_err() {
            // Who waits looks again; without this task nobody would ever be answered.
            tracing::error!("asking for limits panicked");
        }
    }
}

/// A limit of nobody's: taking from it takes all that taking from another does.
fn probe() -> Ask {
    Ask {
        lineage: KeyId(Uuid::nil()),
        limit: RateLimit::new(1, 1).expect("a limit"),
        returned: 0,
        wanted: 1,
    }
}

/// Wishes about one limit.
struct Waiting {
    limit: RateLimit,
    replies: Vec<oneshot::Sender<Outcome>>,
}

impl Desk {
    async fn fulfil(&self, wishes: Vec<Wish>) {
        let mut waiting: HashMap<KeyId, Waiting> = HashMap::new();
        for wish in wishes {
            // Who stopped waiting needs nothing.
            if wish.reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
                continue;
            }
            let waiting = waiting.entry(wish.lineage).or_insert_with(|| Waiting {
                limit: wish.limit,
                replies: Vec::new(),
            });
            // Of a limit that is just being changed, the others look again.
            if waiting.limit == wish.limit {
                waiting.replies.extend(wish.reply);
            }
        }
        let mut questions = Vec::with_capacity(waiting.len());
        for (lineage, Waiting { limit, replies }) in waiting {
            let mut shard = self.shard(lineage);
            let now = self.clock.now();
            let lease = shard
                .entry(lineage)
                .or_insert_with(|| Lease::new(limit, now));
            if self.is_gone() {
                // They look again too, and hear what is to be done without it.
                lease.is_asked = false;
                continue;
            }
            let may_ask_ahead = self.keeper.hands_out_ahead();
            lease.ask(lineage, limit, replies, may_ask_ahead, now, &mut questions);
        }
        if !questions.is_empty() {
            self.put(questions).await;
        }
    }

    /// Asks the keeper, and takes in what it answers.
    async fn put(&self, questions: Vec<Question>) {
        let asks: Vec<Ask> = questions.iter().map(|question| question.ask).collect();
        let asked_at = self.clock.now();
        let answer = AssertUnwindSafe(self.keeper.take(&asks)).catch_unwind();
        let answer = answer.await;
        let answer = answer.unwrap_or_else(|_| Err(KeeperGone("the question panicked".to_owned())));
        match &answer {
            Ok(_) => self.note_success(),
            Err(gone) => self.note_failure(gone),
        }
        let mut handed = answer.unwrap_or_default().into_iter();
        for question in questions {
            let (lineage, handed) = (question.ask.lineage, handed.next());
            let mut shard = self.shard(lineage);
            let now = self.clock.now();
            let Some(lease) = shard.get_mut(&lineage) else {
                continue;
            };
            match handed {
                Some(handed) => lease.take_in(question, handed, asked_at, now),
                None => lease.give_up(&question),
            }
            self.list(shard, lineage);
        }
    }

    /// Takes one request off a limit as if nobody else did.
    fn spend_alone(&self, lineage: KeyId, limit: RateLimit) -> Outcome {
        let mut shard = self.shard(lineage);
        let now = self.clock.now();
        let lease = shard
            .entry(lineage)
            .or_insert_with(|| Lease::new(limit, now));
        let outcome = lease.spend_alone(limit, now);
        self.list(shard, lineage);
        outcome
    }

    /// Puts a lease on the list of those to be settled, if it may be one and is not there yet.
    fn list(&self, mut shard: Shard<'_>, lineage: KeyId) {
        let lease = shard.get_mut(&lineage);
        let Some(lease) = lease.filter(|lease| lease.is_unsettled() && !lease.is_listed) else {
            return;
        };
        lease.is_listed = true;
        drop(shard);
        lock(&self.unsettled).push(lineage);
    }

    async fn settle(&self, part: impl Fn(&mut Lease, KeyId, Timestamp) -> Option<Question>) {
        let mut unsettled = std::mem::take(&mut *lock(&self.unsettled));
        let mut questions = Vec::new();
        unsettled.retain(|lineage| {
            let mut shard = self.shard(*lineage);
            let now = self.clock.now();
            let Some(lease) = shard.get_mut(lineage) else {
                return false;
            };
            questions.extend(part(lease, *lineage, now));
            lease.is_listed = lease.is_unsettled();
            lease.is_listed
        });
        lock(&self.unsettled).append(&mut unsettled);
        while !questions.is_empty() {
            let others = questions.split_off(questions.len().min(MOST_ASKS));
            self.put(std::mem::replace(&mut questions, others)).await;
        }
    }

    /// Whether the keeper has not answered for a while, which may be for want of a question.
    fn is_silent(&self) -> bool {
        let since = self.clock.now().as_millis() - self.answered_at.load(Ordering::Relaxed);
        !(0..LOOK_MILLIS).contains(&since)
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    fn note_success(&self) {
        let now = self.clock.now().as_millis();
        self.answered_at.store(now, Ordering::Relaxed);
        if self.is_gone.swap(false, Ordering::Relaxed) {
            tracing::info!("rate limits are counted together again");
        }
    }

    fn note_failure(&self, failure: &KeeperGone) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.is_gone.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.when_unavailable {
            WhenUnavailable::Open => {
                tracing::error!(%failure, "rate limits are counted by this process alone for now");
            }
            WhenUnavailable::Closed => {
                tracing::error!(%failure, "rate limits cannot be counted: keys that have one are not served");
            }
        }
    }

    fn shard(&self, lineage: KeyId) -> Shard<'_> {
        // The last bytes of an identifier are random.
        let [.., last] = lineage.0.into_bytes();
        lock(&self.shards[usize::from(last) % SHARDS])
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
