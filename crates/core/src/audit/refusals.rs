//! Refusals on their way to the log. A flood of them must neither fill the disk nor hold up a
//! reply: equal ones are counted together until the next write, and the place is bounded.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use std::collections::HashMap;

use super::Event;
use crate::key::KeyId;

/// Most distinct refusals kept between two writes; what goes beyond is counted in one record.
const CAPACITY: usize = 4_096;

/// Refusals not yet written.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    distinct: HashMap<Likeness, (Event, u64)>,
    overflow: Option<(Event, u64)>,
}

/// What makes two refusals the same for the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likeness {
    reason: &'static str,
    address: Option<IpAddr>,
    key_id: Option<KeyId>,
    path: Option<String>,
    user_agent: Option<String>,
}

/// A refusal that waits, and how many it stands for.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: &'static str,
    event: Event,
    count: u64,
}

impl Refusals {
    /// Takes a refusal; `reason` is the slug under which it is counted.
    pub fn add(&self, reason: &'static str, event: Event) {
        self.add_counted(Refusal {
            reason,
            event,
            count: 1,
        });
    }

    /// Takes all that wait, oldest first.
    #[must_use]
    pub fn drain(&self) -> Vec<Refusal> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let distinct = waiting.distinct.into_iter();
        let mut refusals: Vec<Refusal> = distinct
            .map(|(likeness, (event, count))| Refusal {
                reason: likeness.reason,
                event,
                count,
            })
            .collect();
        refusals.sort_by_key(|refusal| refusal.event.time);
        refusals.extend(
            waiting
                .overflow
                .map(|(event, count)| overflowing(event, count)),
        );
        refusals
    }

    /// Gives back what could not be written.
    pub fn restore(&self, refusals: Vec<Refusal>) {
        for refusal in refusals {
            self.add_counted(refusal);
        }
    }

    fn add_counted(
        &self,
        Refusal {
            reason,
            event,
            count,
        }: Refusal,
    ) {
        let likeness = Likeness {
            reason,
            address: event.address,
            key_id: event.key_id,
            path: event.path.clone(),
            user_agent: event.user_agent.clone(),
        };
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.distinct.len() >= CAPACITY;
        if let Some((_, counted)) = waiting.distinct.get_mut(&likeness) {
            *counted += count;
        } else if full {
            waiting.overflow.get_or_insert((event, 0)).1 += count;
        } else {
            waiting.distinct.insert(likeness, (event, count));
        }
    }
}

impl Refusal {
    /// The record for the log; its details say how many it stands for, if more than one.
    #[must_use]
    pub fn into_event(mut self) -> Event {
        if self.count > 1 {
            set_detail(&mut self.event, "count", self.count.into());
        }
        self.event
    }
}

/// One record for all that found no place: how many, not whose.
fn overflowing(first: Event, count: u64) -> Refusal {
    let mut event = Event {
        key_id: None,
        address: None,
        user_agent: None,
        path: None,
        ..first
    };
    event.request_id = None;
    set_detail(&mut event, "reason", "many_sources".into());
    Refusal {
        reason: "many_sources",
        event,
        count,
    }
}

fn set_detail(event: &mut Event, name: &str, value: serde_json::Value) {
    let mut details: serde_json::Map<_, _> =
        serde_json::from_str(&event.details).unwrap_or_default();
    details.insert(name.to_owned(), value);
    event.details = serde_json::Value::Object(details).to_string();
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
        for n in 0..10_000_u32 {
            refusals.add("unknown_key", refusal(n.to_be_bytes(), "/a"));
        }
        let drained = refusals.drain();
        assert_eq!(drained.len(), CAPACITY + 1);
        assert_eq!(total(&drained), 10_000);
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
