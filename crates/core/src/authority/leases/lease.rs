//! What one process holds of one limit.

use std::time::Duration;

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

impl Lease {
    pub fn new(limit: RateLimit, now: Timestamp) -> Self {
        Self {
            limit,
            told: Used::nothing_of(limit),
            spare: 0,
            melts_from: nanos(now),
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
        self.melts_from = nanos(now).saturating_add(share);
        self.pace.count(now);
        Some(limit.allowance(self.used_by_all(), nanos(now)))
    }

    /// Puts one back that was spent for nobody.
    pub fn put_back(&mut self, limit: RateLimit) {
        if self.limit == limit {
            self.spare = self.spare.saturating_add(limit.share());
        }
    }

    /// How long to wait, if the keeper said a moment ago that there is nothing.
    pub fn refusal(&self, limit: RateLimit, now: Timestamp) -> Option<Duration> {
        let is_near = now < self.refused_until
            && self.refused_until <= now.plus_millis(REFUSE_MILLIS)
            && self.limit == limit;
        is_near.then(|| self.wait(now))
    }

    /// Notes that the keeper has nothing; says how long to wait.
    pub fn refuse(&mut self, now: Timestamp) -> Duration {
        let wait = self.wait(now);
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.refused_until = now.plus_millis(millis.min(REFUSE_MILLIS));
        wait
    }

    /// Takes one request off the whole limit, as if nobody else did.
    pub fn spend_alone(&mut self, limit: RateLimit, now: Timestamp) -> Result<Allowance, Duration> {
        let before = self.told.of(limit, nanos(now));
        let taken = limit.take(before, now);
        self.told = Used {
            full_again: taken.full_again,
            window_seconds: limit.window_seconds(),
        };
        if self.limit != limit {
            (self.limit, self.spare) = (limit, 0);
        }
        taken.outcome
    }

    /// Whether the keeper should be asked before nothing is left.
    pub fn runs_low(&self, now: Timestamp) -> bool {
        let ahead = self.ahead(now);
        ahead > 1 && !self.is_asked && self.spare < i64::from(ahead / 2) * self.limit.share()
    }

    /// Puts down what to ask the keeper for so many requests that wait. What was held of another limit
    /// goes back first.
    pub fn ask(
        &mut self,
        lineage: KeyId,
        limit: RateLimit,
        waiting: u32,
        may_ask_ahead: bool,
        now: Timestamp,
        asks: &mut Vec<Ask>,
    ) {
        self.melt(now);
        if self.limit != limit {
            if self.spare > 0 {
                asks.push(self.give_back(lineage, self.spare));
            }
            self.limit = limit;
        }
        let ahead = if may_ask_ahead { self.ahead(now) } else { 0 };
        let held = u32::try_from(self.spare / limit.share()).unwrap_or(u32::MAX);
        let wanted = waiting.max(ahead).saturating_sub(held);
        if wanted > 0 {
            self.is_asked = true;
            asks.push(Ask {
                lineage,
                limit,
                returned: 0,
                wanted,
            });
        }
    }

    /// Takes in what the keeper handed out, or took back.
    pub fn take_in(&mut self, ask: &Ask, handed: Handed, now: Timestamp) {
        self.melt(now);
        self.told = Used {
            full_again: nanos(now).saturating_add(handed.missing),
            window_seconds: ask.limit.window_seconds(),
        };
        if ask.wanted > 0 && ask.limit == self.limit {
            let got = i64::from(handed.requests) * ask.limit.share();
            self.spare = self.spare.saturating_add(got);
            self.taken_at = now;
        }
        self.is_asked = false;
    }

    /// What of the spare has not been needed for a while, to be given back.
    pub fn give_back_idle(&mut self, lineage: KeyId, now: Timestamp) -> Option<Ask> {
        self.melt(now);
        let held_for = now.as_millis().saturating_sub(self.taken_at.as_millis());
        if (0..HOLD_MILLIS).contains(&held_for) {
            return None;
        }
        let needed = i64::from(self.pace.recent(now)) * self.limit.share();
        let idle = self.spare - needed;
        (idle > 0).then(|| self.give_back(lineage, idle))
    }

    /// All of the spare, to be given back.
    pub fn give_back_all(&mut self, lineage: KeyId, now: Timestamp) -> Option<Ask> {
        self.melt(now);
        (self.spare > 0).then(|| self.give_back(lineage, self.spare))
    }

    fn give_back(&mut self, lineage: KeyId, returned: Nanos) -> Ask {
        self.spare -= returned;
        Ask {
            lineage,
            limit: self.limit,
            returned,
            wanted: 0,
        }
    }

    pub const fn holds_something(&self) -> bool {
        self.spare > 0
    }

    /// Whether nothing is lost if it is forgotten.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let is_whole = self.told.full_again <= nanos(now);
        is_whole && self.spare <= 0 && !self.is_asked && self.pace.recent(now) == 0
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
