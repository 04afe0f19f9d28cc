//! Refusals on their way to the log. A flood of them must neither fill the disk nor hold up a
//! reply: equal ones are counted together until the next write, one source gets so many records a
//! minute, and so do all together. What goes beyond is still counted, in fewer records.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Event;
use crate::clock::Timestamp;
use crate::key::KeyId;

/// Records a minute that tell one source's refusals apart; then they are counted together.
const OF_ONE_SOURCE: u32 = 64;
/// Records a minute that tell sources apart; then all are counted together.
const OF_ALL: u32 = 10_000;

/// Refusals not yet written.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Told apart by everything.
    distinct: HashMap<Likeness, Refusal>,
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

/// Who was refused and why: nothing in it is a client's to choose freely.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    reason: &'static str,
    network: Option<IpAddr>,
    key_id: Option<KeyId>,
}

/// What makes two refusals the same for the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likeness {
    source: Source,
    address: Option<IpAddr>,
    path: Option<String>,
    user_agent: Option<String>,
    /// Which user it was about, for one.
    details: String,
}

/// A refusal that waits, and how many it stands for.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: &'static str,
    event: Event,
    count: u64,
    last: Timestamp,
}

impl Refusals {
    /// Takes a refusal; `reason` is the slug under which it is counted.
    pub fn add(&self, reason: &'static str, event: Event) {
        let last = event.time;
        self.restore(vec![Refusal {
            reason,
            event,
            count: 1,
            last,
        }]);
    }

    /// Takes all that wait, oldest first.
    #[must_use]
    pub fn drain(&self) -> Vec<Refusal> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let distinct = std::mem::take(&mut waiting.distinct);
        let folded = std::mem::take(&mut waiting.folded);
        let mut refusals: Vec<Refusal> = distinct.into_values().collect();
        refusals.extend(folded.into_values());
        refusals.extend(waiting.overflow.take());
        refusals.sort_by_key(|refusal| refusal.event.time);
        refusals
    }

    /// Gives back what could not be written.
    pub fn restore(&self, refusals: Vec<Refusal>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for refusal in refusals {
            waiting.add(refusal);
        }
    }
}

impl Waiting {
    fn add(&mut self, refusal: Refusal) {
        let source = refusal.source();
        let likeness = refusal.likeness(&source);
        if let Some(known) = self.distinct.get_mut(&likeness) {
            known.absorb(&refusal);
        } else if let Some(known) = self.folded.get_mut(&source) {
            known.absorb(&refusal);
        } else {
            match self.spent.on(&source, refusal.last.minute()) {
                Room::ForItself => drop(self.distinct.insert(likeness, refusal)),
                Room::ForItsSource => drop(self.folded.insert(source, refusal.folded())),
                Room::None => match &mut self.overflow {
                    Some(known) => known.absorb(&refusal),
                    empty => *empty = Some(refusal.overflowing()),
                },
            }
        }
    }
}

enum Room {
    ForItself,
    ForItsSource,
    None,
}

impl Spent {
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

    fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.last = self.last.max(other.last);
    }

    fn source(&self) -> Source {
        let network = self.event.address.map(|address| match address {
            // Whoever has one address of a /64 has them all.
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        });
        Source {
            reason: self.reason,
            network,
            key_id: self.event.key_id,
        }
    }

    fn likeness(&self, source: &Source) -> Likeness {
        Likeness {
            source: source.clone(),
            address: self.event.address,
            path: self.event.path.clone(),
            user_agent: self.event.user_agent.clone(),
            details: self.event.details.clone(),
        }
    }

    /// One record for all of its source.
    fn folded(mut self) -> Self {
        self.event = Event {
            user_agent: None,
            path: None,
            request_id: None,
            ..self.event
        };
        self
    }

    /// One record for all that found no place: how many, not whose.
    fn overflowing(self) -> Self {
        let mut folded = self.folded();
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
    event.details = Value::Object(details).to_string();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Origin};
    use crate::clock::Timestamp;

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

    fn total(refusals: &[Refusal]) -> u64 {
        refusals.iter().map(|refusal| refusal.count).sum()
    }

    #[test]
    fn equal_refusals_become_one_record_with_their_count() {
        let refusals = Refusals::default();
        for _ in 0..3 {
            refusals.add("unknown_key", refusal([127, 0, 0, 1], "/a"));
        }
        refusals.add("unknown_key", refusal([127, 0, 0, 1], "/b"));
        refusals.add("expired", refusal([127, 0, 0, 1], "/a"));
        let drained = refusals.drain();
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
        assert!(refusals.drain().is_empty());
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded_and_loses_no_count() {
        let refusals = Refusals::default();
        for n in 0..30_000_u32 {
            refusals.add("unknown_key", refusal(n.to_be_bytes(), "/a"));
        }
        let drained = refusals.drain();
        assert_eq!(drained.len(), OF_ALL as usize + 1);
        assert_eq!(total(&drained), 30_000);
        // Within the same minute there is room for one more record alone, at each write.
        for n in 0..30_000_u32 {
            refusals.add("unknown_key", refusal(n.to_be_bytes(), "/b"));
        }
        assert_eq!(refusals.drain().len(), 1);
    }

    #[test]
    fn a_flood_from_one_source_stays_bounded_whatever_it_calls_itself() {
        let refusals = Refusals::default();
        for n in 0..10_000 {
            let mut event = refusal([192, 0, 2, 1], &format!("/{n}"));
            event.user_agent = Some(format!("agent {n}"));
            refusals.add("unknown_key", event);
        }
        let drained = refusals.drain();
        assert_eq!(drained.len(), OF_ONE_SOURCE as usize + 1);
        assert_eq!(total(&drained), 10_000);
        let mut v6 = refusal([0; 4], "/a");
        for n in 0..10_000_u128 {
            v6.address = Some(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n).into());
            refusals.add("unknown_key", v6.clone());
        }
        assert!(refusals.drain().len() <= OF_ONE_SOURCE as usize + 1);
        // Another source is still told apart, and the next minute has room for both.
        refusals.add("unknown_key", refusal([192, 0, 2, 2], "/a"));
        let mut later = refusal([192, 0, 2, 1], "/later");
        later.time = later.time.plus_seconds(60);
        refusals.add("unknown_key", later);
        let drained = refusals.drain();
        assert!(drained.iter().all(|refusal| refusal.event.path.is_some()));
        assert_eq!(drained.len(), 2);
    }

    #[test]
    fn what_could_not_be_written_is_kept_for_the_next_time() {
        let refusals = Refusals::default();
        for _ in 0..4 {
            refusals.add("unknown_key", refusal([127, 0, 0, 1], "/a"));
        }
        refusals.restore(refusals.drain());
        assert_eq!(total(&refusals.drain()), 4);
    }
}
