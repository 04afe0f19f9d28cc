//! Refusals on their way to the log. A flood of them must neither fill the disk nor hold up a
//! reply: the first of its kind is written at once, those like it that follow are counted together for a
//! while; one source gets so many records a minute, and so do all together. What goes beyond is still
//! counted, in fewer records.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::Hasher as _;

use super::Event;
use crate::clock::Timestamp;
use crate::key::KeyId;
use crate::random::{Random, array};

/// Records a minute that tell one source's refusals apart; then they are counted together.
const OF_ONE_SOURCE: u32 = 64;
/// Records a minute that tell sources apart; then all are counted together.
const OF_ALL: u32 = 10_000;

/// For so long those like one that was written are counted together, in milliseconds.
const HELD: i64 = 10_000;

/// Refusals not yet written.
#[derive(Debug)]
pub struct Refusals {
    hasher: SipHasher13,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Told apart by everything.
    distinct: HashMap<Likeness, Refusal>,
    /// Until when those like one that was written are held back.
    held: HashMap<Likeness, Timestamp>,
    /// Likewise those that are not told apart by everything.
    folded_until: Option<Timestamp>,
    /// Told apart by their source alone.
    folded: HashMap<Source, Refusal>,
    /// Not told apart.
    overflow: Option<Refusal>,
    /// What was spent since the minute began.
    spent: Spent,
}

#[derive(Debug, Default)]
struct Spent {
    minute: Option<Timestamp>,
    by_source: HashMap<Source, u32>,
    in_all: u32,
}

/// A refusal as it is met, before a record is made of it: most are like one that waits already.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// The slug of the reason.
    pub reason: &'static str,
    /// The key it is about.
    pub key_id: Option<KeyId>,
    /// Where from.
    pub address: Option<IpAddr>,
    /// The path that was asked for.
    pub path: Option<&'a str>,
    /// The client's own name for itself.
    pub user_agent: Option<&'a [u8]>,
    /// Whatever else tells it apart: which user it was about, for one.
    pub about: Option<&'a str>,
    /// When.
    pub time: Timestamp,
}

/// What makes two refusals the same for the log: a hash of all that a [`Sighting`] has but the time,
/// under a key of this process alone, so that nobody can make one that passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Likeness(u128);

/// Who was refused and why: nothing in it is a client's to choose freely.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    reason: &'static str,
    network: Option<IpAddr>,
    key_id: Option<KeyId>,
}

/// From which others a refusal is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Apart,
    BySource,
    Together,
}

/// A refusal that waits, and how many it stands for.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: &'static str,
    likeness: Likeness,
    told: Told,
    event: Event,
    count: u64,
    last: Timestamp,
}

impl Refusals {
    /// None yet.
    pub fn new(random: &dyn Random) -> Self {
        Self {
            hasher: SipHasher13::new_with_key(&array(random)),
            waiting: Mutex::default(),
        }
    }

    /// Takes a refusal; `record` makes its record, if it is like none that waits. Says whether it did.
    pub fn add(&self, sighting: &Sighting<'_>, record: impl FnOnce() -> Event) -> bool {
        let likeness = self.likeness(sighting);
        let source = Source::new(sighting.reason, sighting.address, sighting.key_id);
        let mut waiting = self.waiting();
        if let Some(known) = waiting.like(likeness, &source, sighting.time) {
            known.absorb(1, sighting.time);
            return false;
        }
        waiting.add(Refusal {
            reason: sighting.reason,
            likeness,
            told: Told::Apart,
            event: record(),
            count: 1,
            last: sighting.time,
        });
        true
    }

    /// Takes all that are to be written now, oldest first.
    #[must_use]
    pub fn drain(&self, now: Timestamp) -> Vec<Refusal> {
        let mut waiting = self.waiting();
        let Waiting { distinct, held, .. } = &mut *waiting;
        // A clock that was set back holds nothing up for longer.
        let is_held = |until: Timestamp| now < until && until <= now.plus_millis(HELD);
        held.retain(|_, until| is_held(*until));
        let due = distinct.extract_if(|likeness, _| !held.contains_key(likeness));
        let due: Vec<Refusal> = due.map(|(_, refusal)| refusal).collect();
        held.extend(due.iter().map(|it| (it.likeness, now.plus_millis(HELD))));
        let is_over = !waiting.folded_until.is_some_and(is_held);
        let folded = if is_over {
            waiting.take_folded()
        } else {
            Vec::new()
        };
        if !folded.is_empty() {
            waiting.folded_until = Some(now.plus_millis(HELD));
        }
        oldest_first(due, folded)
    }

    /// Takes all that wait, oldest first.
    #[must_use]
    pub fn drain_all(&self) -> Vec<Refusal> {
        let mut waiting = self.waiting();
        let distinct = std::mem::take(&mut waiting.distinct);
        oldest_first(distinct.into_values().collect(), waiting.take_folded())
    }

    /// Gives back what could not be written.
    pub fn restore(&self, refusals: Vec<Refusal>) {
        let mut waiting = self.waiting();
        waiting.folded_until = None;
        for refusal in refusals {
            waiting.held.remove(&refusal.likeness);
            waiting.give_back(refusal);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn likeness(&self, sighting: &Sighting<'_>) -> Likeness {
        let Sighting {
            reason,
            key_id,
            address,
            path,
            user_agent,
            about,
            time: _,
        } = sighting;
        let mut hasher = self.hasher;
        let key_id = key_id.map(|id| id.0.as_u128()).unwrap_or_default();
        hasher.write_u128(key_id);
        match address {
            Some(IpAddr::V4(v4)) => hasher.write_u32(v4.to_bits()),
            Some(IpAddr::V6(v6)) => hasher.write_u128(v6.to_bits()),
            None => {}
        }
        let texts = [
            Some(reason.as_bytes()),
            path.map(str::as_bytes),
            *user_agent,
            about.map(str::as_bytes),
        ];
        for text in texts {
            // The length keeps what is at the end of one from passing for the beginning of the next.
            let text = text.unwrap_or_default();
            hasher.write_usize(text.len());
            hasher.write(text);
        }
        Likeness(hasher.finish128().as_u128())
    }
}

impl Waiting {
    /// The one that stands for others like it already.
    fn like(&mut self, likeness: Likeness, source: &Source, at: Timestamp) -> Option<&mut Refusal> {
        if let Some(known) = self.distinct.get_mut(&likeness) {
            return Some(known);
        }
        if let Some(known) = self.folded.get_mut(source) {
            return Some(known);
        }
        let is_exhausted = self.spent.is_exhausted(at.minute());
        self.overflow.as_mut().filter(|_| is_exhausted)
    }

    fn take_folded(&mut self) -> Vec<Refusal> {
        let folded = std::mem::take(&mut self.folded);
        folded.into_values().chain(self.overflow.take()).collect()
    }

    /// Takes one back to where it was, at the cost of nothing: it was paid for.
    fn give_back(&mut self, refusal: Refusal) {
        let Refusal { count, last, .. } = refusal;
        let known = match refusal.told {
            Told::Apart => self.distinct.entry(refusal.likeness).or_insert(Refusal {
                count: 0,
                ..refusal
            }),
            Told::BySource => self.folded.entry(refusal.source()).or_insert(Refusal {
                count: 0,
                ..refusal
            }),
            Told::Together => self.overflow.get_or_insert(Refusal {
                count: 0,
                ..refusal
            }),
        };
        known.absorb(count, last);
    }

    fn add(&mut self, refusal: Refusal) {
        let source = refusal.source();
        match self.spent.on(&source, refusal.last.minute()) {
            Room::ForItself => drop(self.distinct.insert(refusal.likeness, refusal)),
            Room::ForItsSource => drop(self.folded.insert(source, refusal.folded())),
            Room::None => match &mut self.overflow {
                Some(known) => known.absorb(refusal.count, refusal.last),
                empty => *empty = Some(refusal.overflowing()),
            },
        }
    }
}

fn oldest_first(mut refusals: Vec<Refusal>, others: Vec<Refusal>) -> Vec<Refusal> {
    refusals.extend(others);
    refusals.sort_by_key(|refusal| refusal.event.time);
    refusals
}

enum Room {
    ForItself,
    ForItsSource,
    None,
}

impl Spent {
    /// Whether nothing more is told apart in a minute.
    fn is_exhausted(&self, minute: Timestamp) -> bool {
        self.in_all >= OF_ALL && self.minute.is_some_and(|known| known >= minute)
    }

    /// What one more record of a source may tell.
    fn on(&mut self, source: &Source, minute: Timestamp) -> Room {
        if self.minute.is_none_or(|known| known < minute) {
            *self = Self {
                minute: Some(minute),
                ..Self::default()
            };
        }
        if self.in_all >= OF_ALL {
            return Room::None;
        }
        self.in_all += 1;
        let of_source = self.by_source.entry(source.clone()).or_default();
        *of_source += 1;
        if *of_source <= OF_ONE_SOURCE {
            Room::ForItself
        } else {
            Room::ForItsSource
        }
    }
}

impl Source {
    fn new(reason: &'static str, address: Option<IpAddr>, key_id: Option<KeyId>) -> Self {
        let network = address.map(|address| match address {
            // Whoever has one address of a /64 has them all.
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        });
        Self {
            reason,
            network,
            key_id,
        }
    }
}

impl Refusal {
    /// The record for the log; its details say how many it stands for and when the last one was, if
    /// it is more than one.
    #[must_use]
    pub fn into_event(mut self) -> Event {
        if self.count > 1 {
            set_detail(&mut self.event, "count", self.count.into());
            set_detail(&mut self.event, "last", self.last.to_string().into());
        }
        self.event
    }

    fn absorb(&mut self, count: u64, last: Timestamp) {
        self.count += count;
        self.last = self.last.max(last);
    }

    fn source(&self) -> Source {
        Source::new(self.reason, self.event.address, self.event.key_id)
    }

    /// One record for all of its source.
    fn folded(mut self) -> Self {
        self.event = Event {
            user_agent: None,
            path: None,
            request_id: None,
            ..self.event
        };
        self.told = Told::BySource;
        self
    }

    /// One record for all that found no place: how many, not whose.
    fn overflowing(self) -> Self {
        let mut folded = self.folded();
        folded.told = Told::Together;
        folded.event.key_id = None;
        folded.event.address = None;
        "anonymous".clone_into(&mut folded.event.actor);
        folded.reason = "many_sources";
        set_detail(&mut folded.event, "reason", folded.reason.into());
        folded
    }
}

fn set_detail(event: &mut Event, name: &str, value: Value) {
    let mut details: serde_json::Map<_, _> =
        serde_json::from_str(&event.details).unwrap_or_default();
    details.insert(name.to_owned(), value);
    event.details = Value::Object(details).to_string().into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Origin};
    use crate::clock::Timestamp;
    use crate::random::SeededRandom;

    fn refusal(address: [u8; 4], path: &str) -> Event {
        let origin = Origin {
            address: Some(address.into()),
            path: Some(path.into()),
            ..Origin::default()
        };
        Event::new(
            Timestamp::from_millis(0),
            Action::RequestRefused,
            None,
            &Actor::Anonymous,
        )
        .from(&origin)
    }

    /// Adds it as it would be met.
    fn add(refusals: &Refusals, reason: &'static str, event: Event) -> bool {
        let (path, agent) = (event.path.clone(), event.user_agent.clone());
        let sighting = Sighting {
            reason,
            key_id: event.key_id,
            address: event.address,
            path: path.as_deref(),
            user_agent: agent.as_deref().map(str::as_bytes),
            about: None,
            time: event.time,
        };
        refusals.add(&sighting, || event)
    }

    fn none() -> Refusals {
        Refusals::new(&SeededRandom::new(1))
    }

    fn total(refusals: &[Refusal]) -> u64 {
        refusals.iter().map(|refusal| refusal.count).sum()
    }

    #[test]
    fn equal_refusals_become_one_record_with_their_count() {
        let refusals = none();
        for is_new in [true, false, false] {
            let event = refusal([127, 0, 0, 1], "/a");
            assert_eq!(add(&refusals, "unknown_key", event), is_new);
        }
        add(&refusals, "unknown_key", refusal([127, 0, 0, 1], "/b"));
        add(&refusals, "expired", refusal([127, 0, 0, 1], "/a"));
        let drained = refusals.drain_all();
        assert_eq!(drained.len(), 3);
        assert_eq!(total(&drained), 5);
        let details = drained
            .into_iter()
            .map(|refusal| refusal.into_event().details);
        assert_eq!(
            details
                .filter(|details| details.contains(r#""count":3"#))
                .count(),
            1
        );
        assert!(refusals.drain_all().is_empty());
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded_and_loses_no_count() {
        let refusals = none();
        for n in 0..30_000_u32 {
            add(&refusals, "unknown_key", refusal(n.to_be_bytes(), "/a"));
        }
        let drained = refusals.drain_all();
        assert_eq!(drained.len(), OF_ALL as usize + 1);
        assert_eq!(total(&drained), 30_000);
        // Within the same minute there is room for one more record alone, at each write.
        for n in 0..30_000_u32 {
            add(&refusals, "unknown_key", refusal(n.to_be_bytes(), "/b"));
        }
        assert_eq!(refusals.drain_all().len(), 1);
    }

    #[test]
    fn a_flood_from_one_source_stays_bounded_whatever_it_calls_itself() {
        let refusals = none();
        for n in 0..10_000 {
            let mut event = refusal([192, 0, 2, 1], &format!("/{n}"));
            event.user_agent = Some(format!("agent {n}"));
            add(&refusals, "unknown_key", event);
        }
        let drained = refusals.drain_all();
        assert_eq!(drained.len(), OF_ONE_SOURCE as usize + 1);
        assert_eq!(total(&drained), 10_000);
        let mut v6 = refusal([0; 4], "/a");
        for n in 0..10_000_u128 {
            v6.address = Some(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n).into());
            add(&refusals, "unknown_key", v6.clone());
        }
        assert!(refusals.drain_all().len() <= OF_ONE_SOURCE as usize + 1);
        // Another source is still told apart, and the next minute has room for both.
        add(&refusals, "unknown_key", refusal([192, 0, 2, 2], "/a"));
        let mut later = refusal([192, 0, 2, 1], "/later");
        later.time = later.time.plus_seconds(60);
        add(&refusals, "unknown_key", later);
        let drained = refusals.drain_all();
        assert!(drained.iter().all(|refusal| refusal.event.path.is_some()));
        assert_eq!(drained.len(), 2);
    }

    #[test]
    fn the_first_is_written_at_once_and_those_like_it_together_later() {
        let (refusals, now) = (none(), Timestamp::from_millis(0));
        let at = |millis| now.plus_millis(millis);
        let mut counts = Vec::new();
        for step in 0..=100 {
            for _ in 0..3 {
                add(&refusals, "unknown_key", refusal([127, 0, 0, 1], "/a"));
            }
            let drained = refusals.drain(at(step * 250));
            counts.extend(drained.iter().map(|refusal| (step, refusal.count)));
        }
        assert_eq!(counts, [(0, 3), (40, 120), (80, 120)]);
        add(&refusals, "unknown_key", refusal([127, 0, 0, 2], "/a"));
        assert_eq!(refusals.drain(at(25_250)).len(), 1, "of another source");
        assert_eq!(total(&refusals.drain_all()), 60);
    }

    #[test]
    fn what_is_not_told_apart_is_written_now_and_then() {
        let (refusals, now) = (none(), Timestamp::from_millis(0));
        let mut written = 0;
        for step in 0..100 {
            for n in 0..100 {
                let event = refusal([192, 0, 2, 1], &format!("/{step}/{n}"));
                add(&refusals, "unknown_key", event);
            }
            written += refusals.drain(now.plus_millis(step * 250)).len();
        }
        assert_eq!(written, OF_ONE_SOURCE as usize + 3);
    }

    #[test]
    fn what_is_given_back_again_and_again_stays_told_apart() {
        let (refusals, now) = (none(), Timestamp::from_millis(0));
        for path in ["/a", "/b"] {
            add(&refusals, "unknown_key", refusal([127, 0, 0, 1], path));
        }
        for _ in 0..1_000 {
            refusals.restore(refusals.drain(now));
        }
        let drained = refusals.drain(now);
        assert!(drained.iter().all(|refusal| refusal.event.path.is_some()));
        assert_eq!((drained.len(), total(&drained)), (2, 2));
    }

    #[test]
    fn what_could_not_be_written_is_kept_for_the_next_time() {
        let refusals = none();
        for _ in 0..4 {
            add(&refusals, "unknown_key", refusal([127, 0, 0, 1], "/a"));
        }
        let now = Timestamp::from_millis(0);
        refusals.restore(refusals.drain(now));
        assert_eq!(total(&refusals.drain(now)), 4);
    }
}
