//! What one process holds of one limit.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Outcome;
use crate::clock::Timestamp;
use crate::key::KeyId;
use crate::rate::{Allowance, Handed, Nanos, RateLimit, Used, nanos};
use crate::shared_limits::Ask;

/// Of what is there, the part that is taken ahead at most: what one process holds is not there for others.
const PART_AHEAD: u32 = 8;
/// How long what was taken is held though it is not needed, in milliseconds.
const HOLD_MILLIS: i64 = 2_000;
/// For how long a limit that is used up is taken for used up, at most, in milliseconds: another process
/// may give something back.
const REFUSE_MILLIS: i64 = 1_000;

/// What a process holds of a limit, and what it knows of the rest.
#[derive(Debug)]
pub(super) struct Lease {
    limit: RateLimit,
    /// What the keeper told last, by this process's clock. What is held here is used for the keeper.
    told: Used,
    /// What is held and not spent, in nanoseconds of the window.
    spare: Nanos,
    /// From then on the spare melts, as fast as the keeper's bucket fills. Before, what was spent here
    /// takes as long to come back, and nothing can come back twice.
    melts_from: Nanos,
    /// Until when what was spent here takes to come back, at least.
    covered_until: Nanos,
    /// What was spent while nobody kept the limit, and the keeper has to hear of, in nanoseconds of the
    /// window.
    alone: Nanos,
    pace: Pace,
    /// When the keeper handed something out last.
    taken_at: Timestamp,
    /// Until when there is nothing, if the keeper said so.
    refused_until: Timestamp,
    /// Whether the keeper is being asked ahead.
    pub is_asked: bool,
    /// Whether it is on the list of those that may have something to give back.
    pub is_listed: bool,
}

/// What the keeper is asked of a limit, and what for.
pub(super) struct Question {
    pub ask: Ask,
    /// Of what is wanted, so much was spent already.
    owed: u32,
    /// What the keeper hears of by that, of what was spent while it was gone.
    alone: Nanos,
    /// Until when what was spent before it was asked takes to come back.
    covered_until: Nanos,
    /// Who waits for a request each.
    replies: Vec<oneshot::Sender<Outcome>>,
}

impl Question {
    /// One for nobody.
    pub const fn of(ask: Ask) -> Self {
        Self {
            ask,
            owed: 0,
            alone: 0,
            covered_until: Nanos::MIN,
            replies: Vec::new(),
        }
    }
}

impl Lease {
    pub fn new(limit: RateLimit, now: Timestamp) -> Self {
        Self {
            limit,
            told: Used::nothing_of(limit),
            spare: 0,
            melts_from: nanos(now),
            covered_until: Nanos::MIN,
            alone: 0,
            pace: Pace::default(),
            taken_at: now,
            refused_until: now,
            is_asked: false,
            is_listed: false,
        }
    }

    /// Takes one request off what is held.
    pub fn spend(&mut self, limit: RateLimit, now: Timestamp) -> Option<Allowance> {
        self.melt(now);
        let share = limit.share();
        if self.limit != limit || self.spare < share {
            return None;
        }
        self.spare -= share;
        self.covered_until = nanos(now).saturating_add(share);
        self.melts_from = self.covered_until;
        self.pace.count(now);
        Some(limit.allowance(self.used_by_all(), nanos(now)))
    }

    /// How long to wait, if the keeper said a moment ago that there is nothing.
    pub fn refusal(&self, limit: RateLimit, now: Timestamp) -> Option<Duration> {
        let is_near = now < self.refused_until
            && self.refused_until <= now.plus_millis(REFUSE_MILLIS)
            && self.limit == limit;
        is_near.then(|| self.wait(now))
    }

    /// Notes that the keeper has nothing; says how long to wait.
    fn refuse(&mut self, now: Timestamp) -> Duration {
        let wait = self.wait(now);
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.refused_until = now.plus_millis(millis.min(REFUSE_MILLIS));
        wait
    }

    /// Takes one request off the whole limit, as if nobody else did.
    pub fn spend_alone(&mut self, limit: RateLimit, now: Timestamp) -> Outcome {
        if self.limit != limit {
            self.change(limit);
        }
        let before = self.told.of(limit, nanos(now));
        let taken = limit.take(before, now);
        self.told = Used {
            full_again: taken.full_again,
            window_seconds: limit.window_seconds(),
        };
        if taken.outcome.is_ok() {
            let alone = self.alone.saturating_add(limit.share());
            self.alone = alone.min(limit.whole());
        }
        taken.outcome
    }

    /// Whether the keeper should be asked before nothing is left.
    pub fn runs_low(&self, now: Timestamp) -> bool {
        let ahead = self.ahead(now);
        ahead > 1 && !self.is_asked && self.spare < i64::from(ahead / 2) * self.limit.share()
    }

    /// Puts down what to ask the keeper for those who wait. What was held of another limit goes back
    /// first.
    pub fn ask(
        &mut self,
        lineage: KeyId,
        limit: RateLimit,
        mut replies: Vec<oneshot::Sender<Outcome>>,
        may_ask_ahead: bool,
        now: Timestamp,
        questions: &mut Vec<Question>,
    ) {
        self.melt(now);
        if self.limit != limit {
            questions.extend(self.give_back(lineage, self.spare));
            self.change(limit);
        }
        // Something may have come in since they began to wait.
        let held: Vec<_> = (0..replies.len())
            .map_while(|_| self.spend(limit, now))
            .collect();
        for (reply, allowance) in replies.drain(..held.len()).zip(held) {
            let _ = reply.send(Ok(allowance));
        }
        let owed = self.owed(limit, now);
        let ahead = if may_ask_ahead { self.ahead(now) } else { 0 };
        let held = u32::try_from(self.spare / limit.share()).unwrap_or(u32::MAX);
        let waiting = u32::try_from(replies.len()).unwrap_or(u32::MAX);
        // Not less for what is held: others may have spent it before the answer is here.
        let wanted = owed
            .saturating_add(waiting)
            .saturating_add(ahead.saturating_sub(held));
        self.is_asked = wanted > 0;
        if self.is_asked {
            let ask = Ask {
                lineage,
                limit,
                returned: 0,
                wanted,
            };
            questions.push(Question {
                ask,
                owed,
                alone: std::mem::take(&mut self.alone),
                covered_until: self.covered_until,
                replies,
            });
        }
    }

    /// Takes in what the keeper handed out, or took back: first for what was spent already, then for those
    /// who wait, and the rest to be held.
    pub fn take_in(
        &mut self,
        question: Question,
        handed: Handed,
        asked_at: Timestamp,
        now: Timestamp,
    ) {
        let Question {
            ask,
            owed,
            covered_until,
            replies,
            ..
        } = question;
        let (limit, share) = (ask.limit, ask.limit.share());
        self.melt(now);
        // With what was spent alone since it was asked, and it does not know of.
        let missing = handed.missing.saturating_add(self.alone);
        self.told = Used {
            full_again: nanos(now).saturating_add(missing),
            window_seconds: limit.window_seconds(),
        };
        if ask.wanted == 0 {
            return;
        }
        (self.is_asked, self.taken_at) = (false, now);
        let got = handed.requests.min(ask.wanted);
        let left = got.saturating_sub(owed);
        let waiting = u32::try_from(replies.len()).unwrap_or(u32::MAX);
        let served = left.min(waiting);
        if self.limit == limit {
            // The keeper's bucket has filled for as long as its answer took: what is held ahead melts from
            // the question on, but for what takes as long to come back.
            let asked_at = nanos(asked_at);
            // A clock that was set back must not keep it from melting.
            let covered_until = covered_until.min(asked_at.saturating_add(limit.whole()));
            let comes_back = asked_at.saturating_add(i64::from(served) * share);
            let melts_from = comes_back.max(covered_until);
            let melted = nanos(now).saturating_sub(melts_from).max(0);
            let rest = i64::from(left - served) * share;
            self.spare = self.spare.saturating_add((rest - melted).max(0));
            self.melts_from = self.melts_from.max(melts_from);
            self.covered_until = self.covered_until.max(comes_back);
        }
        let allowance = limit.allowance(self.used_by_all(), nanos(now));
        let mut replies = replies.into_iter();
        for reply in replies.by_ref().take(served as usize) {
            self.pace.count(now);
            // Whoever has gone meanwhile did come.
            let _ = reply.send(Ok(allowance));
        }
        if got < ask.wanted {
            for reply in replies {
                let held = self.spend(limit, now);
                let _ = reply.send(held.ok_or_else(|| self.refuse(now)));
            }
        }
    }

    /// Takes note that the keeper did not answer. Who waits for it looks again.
    pub fn give_up(&mut self, question: &Question) {
        if question.ask.wanted > 0 {
            self.is_asked = false;
        }
        self.alone = self.alone.saturating_add(question.alone);
    }

    /// What the keeper has to hear of: what was spent while it was gone, or else what of the spare has not
    /// been needed for a while.
    pub fn settle(&mut self, lineage: KeyId, now: Timestamp) -> Option<Question> {
        self.melt(now);
        let owed = self.owed(self.limit, now);
        if owed > 0 {
            if self.is_asked {
                return None;
            }
            self.is_asked = true;
            let ask = Ask {
                lineage,
                limit: self.limit,
                returned: 0,
                wanted: owed,
            };
            return Some(Question {
                owed,
                alone: std::mem::take(&mut self.alone),
                covered_until: self.covered_until,
                ..Question::of(ask)
            });
        }
        self.alone = 0;
        let held_for = now.as_millis().saturating_sub(self.taken_at.as_millis());
        if (0..HOLD_MILLIS).contains(&held_for) {
            return None;
        }
        let needed = i64::from(self.pace.recent(now)).saturating_mul(self.limit.share());
        self.give_back(lineage, self.spare.saturating_sub(needed))
    }

    /// All of the spare, to be given back.
    pub fn give_back_all(&mut self, lineage: KeyId, now: Timestamp) -> Option<Question> {
        self.melt(now);
        self.give_back(lineage, self.spare)
    }

    fn give_back(&mut self, lineage: KeyId, returned: Nanos) -> Option<Question> {
        if returned <= 0 {
            return None;
        }
        self.spare -= returned;
        Some(Question::of(Ask {
            lineage,
            limit: self.limit,
            returned,
            wanted: 0,
        }))
    }

    /// Goes over to another limit, of which the same part was spent alone. What is held is of the old one.
    fn change(&mut self, limit: RateLimit) {
        let [from, to] = [self.limit, limit].map(|limit| i128::from(limit.window_seconds()));
        let alone = i128::from(self.alone) * to / from;
        self.alone = i64::try_from(alone).unwrap_or(i64::MAX);
        (self.limit, self.spare) = (limit, 0);
    }

    /// Whether [`Self::settle`] may have something to say.
    pub const fn is_unsettled(&self) -> bool {
        self.spare > 0 || self.alone > 0
    }

    /// Whether nothing is lost if it is forgotten.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let is_whole = self.told.full_again <= nanos(now);
        is_whole && self.spare <= 0 && !self.is_asked && self.pace.recent(now) == 0
    }

    /// How many requests were spent alone, but for those that have come back since.
    fn owed(&self, limit: RateLimit, now: Timestamp) -> u32 {
        let now = nanos(now);
        let missing = self.told.of(limit, now).saturating_sub(now);
        let owed = self.alone.min(missing.clamp(0, limit.whole()));
        u32::try_from((owed + limit.share() - 1) / limit.share()).unwrap_or(u32::MAX)
    }

    /// How many to hold ahead: as many as were used in a second, and not much of what is there.
    fn ahead(&self, now: Timestamp) -> u32 {
        let there = self.limit.allowance(self.used_by_all(), nanos(now));
        self.pace.recent(now).min(there.remaining / PART_AHEAD)
    }

    fn wait(&self, now: Timestamp) -> Duration {
        let wait = self.limit.wait(self.used_by_all(), nanos(now));
        wait.unwrap_or(Duration::from_millis(1))
    }

    /// What was told, but for what is still held here.
    fn used_by_all(&self) -> Nanos {
        self.told.full_again.saturating_sub(self.spare)
    }

    fn melt(&mut self, now: Timestamp) {
        let now = nanos(now);
        // A clock that was set back must not keep it from melting.
        let from = self.melts_from.min(now.saturating_add(self.limit.share()));
        self.spare = self.spare.saturating_sub((now - from).max(0)).max(0);
        self.melts_from = from.max(now);
    }
}

/// How many requests there were in this second and in the one before.
#[derive(Debug, Default)]
struct Pace {
    second: i64,
    this: u32,
    last: u32,
}

impl Pace {
    fn count(&mut self, now: Timestamp) {
        let second = now.as_seconds();
        if second != self.second {
            self.last = if second == self.second + 1 {
                self.this
            } else {
                0
            };
            (self.second, self.this) = (second, 0);
        }
        self.this = self.this.saturating_add(1);
    }

    /// In the fuller of the two.
    fn recent(&self, now: Timestamp) -> u32 {
        match now.as_seconds() - self.second {
            0 => self.this.max(self.last),
            1 => self.this,
            _ => 0,
        }
    }
}
