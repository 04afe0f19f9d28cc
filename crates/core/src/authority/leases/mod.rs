//! Limits that several processes count together. A process takes some requests off a limit before they
//! arrive, as many as it had in the last second, and spends them without asking; what it does not need
//! goes back. So who uses more holds more, and the sum is never more than the limit.
//!
//! - [`lease`]: what one process holds of one limit

mod lease;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::lease::Lease;
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
    /// Those that may have something to give back.
    holding: Mutex<Vec<KeyId>>,
    is_gone: AtomicBool,
    failures: AtomicU64,
}

/// A request that needs the keeper.
struct Wish {
    lineage: KeyId,
    limit: RateLimit,
    /// Who waits for it; nobody if something is to be held ahead. Dropped if it has to look again.
    reply: Option<oneshot::Sender<Outcome>>,
}

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
            holding: Mutex::default(),
            is_gone: AtomicBool::new(false),
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
                WhenUnavailable::Open => lease
                    .spend_alone(limit, now)
                    .map(|allowance| Spent::Settled(Some(allowance))),
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
        for _ in 0..TRIES {
            match self.spend(lineage, limit) {
                Ok(Spent::Settled(Some(allowance))) => return Ok(Ok(allowance)),
                Err(wait) => return Ok(Err(wait)),
                Ok(_) if self.desk.is_gone() => break,
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
        Err(Error::LimitsUnavailable)
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

    /// Gives back what has not been needed for a while, and looks whether a keeper that was gone is back.
    pub async fn tend(&self) {
        if self.desk.is_gone() {
            self.desk.put(&[]).await;
        } else {
            self.desk.give_back(Lease::give_back_idle).await;
        }
    }

    /// Gives back all that is held: nothing will be asked for any more.
    pub async fn end(&self) {
        if !self.desk.is_gone() {
            self.desk.give_back(Lease::give_back_all).await;
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
            && let Err(gone) = self.desk.keeper.forget_whole().await
        {
            self.desk.note_failure(&gone);
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
        desk.fulfil(&mut wishes).await;
    }
}

impl Desk {
    async fn fulfil(&self, wishes: &mut Vec<Wish>) {
        // Nothing is asked for who stopped waiting.
        wishes.retain(|wish| !wish.reply.as_ref().is_some_and(oneshot::Sender::is_closed));
        if !self.is_gone() {
            let asks = self.asks(wishes);
            if !asks.is_empty() {
                self.put(&asks).await;
            }
        }
        for wish in wishes.drain(..) {
            self.answer(wish);
        }
    }

    /// One question for each limit, with what was held of another limit of the same keys before it.
    fn asks(&self, wishes: &mut Vec<Wish>) -> Vec<Ask> {
        let mut waiting: HashMap<KeyId, (RateLimit, u32)> = HashMap::new();
        wishes.retain(|wish| {
            let (limit, count) = waiting.entry(wish.lineage).or_insert((wish.limit, 0));
            *count += u32::from(wish.reply.is_some());
            // Of a limit that is just being changed, the others look again.
            *limit == wish.limit
        });
        let mut asks = Vec::with_capacity(waiting.len());
        for (lineage, (limit, waiting)) in waiting {
            let mut shard = self.shard(lineage);
            let now = self.clock.now();
            let lease = shard
                .entry(lineage)
                .or_insert_with(|| Lease::new(limit, now));
            lease.is_asked = false;
            let may_ask_ahead = self.keeper.hands_out_ahead();
            lease.ask(lineage, limit, waiting, may_ask_ahead, now, &mut asks);
        }
        asks
    }

    /// Asks the keeper, and takes in what it answers.
    async fn put(&self, asks: &[Ask]) {
        let answer = self.keeper.take(asks).await;
        match &answer {
            Ok(_) => self.note_success(),
            Err(gone) => self.note_failure(gone),
        }
        let handed = answer.unwrap_or_default();
        for (place, ask) in asks.iter().enumerate() {
            let mut shard = self.shard(ask.lineage);
            let now = self.clock.now();
            let Some(lease) = shard.get_mut(&ask.lineage) else {
                continue;
            };
            match handed.get(place) {
                Some(handed) => lease.take_in(ask, *handed, now),
                None => lease.is_asked = false,
            }
            if lease.holds_something() && !lease.is_listed {
                lease.is_listed = true;
                drop(shard);
                lock(&self.holding).push(ask.lineage);
            }
        }
    }

    fn answer(&self, wish: Wish) {
        // Nor are they charged.
        let Some(reply) = wish.reply.filter(|reply| !reply.is_closed()) else {
            return;
        };
        let mut shard = self.shard(wish.lineage);
        let now = self.clock.now();
        let Some(lease) = shard.get_mut(&wish.lineage) else {
            return;
        };
        let outcome = match lease.spend(wish.limit, now) {
            Some(allowance) => Ok(allowance),
            None if self.is_gone() => return,
            None => Err(lease.refuse(now)),
        };
        if let Err(Ok(_)) = reply.send(outcome) {
            lease.put_back(wish.limit);
        }
    }

    async fn give_back(&self, part: impl Fn(&mut Lease, KeyId, Timestamp) -> Option<Ask>) {
        let mut holding = std::mem::take(&mut *lock(&self.holding));
        let mut asks = Vec::new();
        holding.retain(|lineage| {
            let mut shard = self.shard(*lineage);
            let now = self.clock.now();
            let Some(lease) = shard.get_mut(lineage) else {
                return false;
            };
            asks.extend(part(lease, *lineage, now));
            lease.is_listed = lease.holds_something();
            lease.is_listed
        });
        lock(&self.holding).append(&mut holding);
        for asks in asks.chunks(MOST_ASKS) {
            self.put(asks).await;
        }
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    fn note_success(&self) {
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

    fn shard(&self, lineage: KeyId) -> MutexGuard<'_, HashMap<KeyId, Lease>> {
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
