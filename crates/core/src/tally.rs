//! Counting of served requests: per key, address, route and minute, in memory first and written in
//! batches, so that a request waits for no disk.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use serde_json::Value;

use crate::audit::{Action, Actor, Event};
use crate::clock::Timestamp;
use crate::key::KeyId;

/// Most counters held between two writes; beyond that the requests of a key are not told apart.
const CAPACITY: usize = 65_536;
const SHARDS: usize = 16;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    /// The start of the minute.
    pub minute: Timestamp,
    /// The key that was used, itself or through a token.
    pub key_id: KeyId,
    /// Where from; absent where there were too many to tell apart.
    pub address: Option<IpAddr>,
    /// Method and route, such as `GET /api/encrypt`, and the status if it is an error's.
    pub route: Arc<str>,
}

/// So many requests, the last of them at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub requests: u64,
    /// When the last one was.
    pub last: Timestamp,
}

/// A counter as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What was counted.
    pub of: Use,
    /// How often.
    pub count: Count,
}

impl Counted {
    /// The record that stands in the log once the minute is over.
    #[must_use]
    pub fn into_event(self, now: Timestamp) -> Event {
        let Self { of, count } = self;
        let mut words = of.route.split(' ');
        let (method, path) = (words.next(), words.next());
        let status = words.next().and_then(|status| status.parse().ok());
        let mut event = Event::new(
            now,
            Action::RequestsCounted,
            Some(of.key_id),
            &Actor::Key(of.key_id),
        )
        .with_details([
            ("count", Value::from(count.requests)),
            ("minute", Value::from(of.minute.to_string())),
            ("last", Value::from(count.last.to_string())),
        ]);
        event.address = of.address;
        event.method = method.map(str::to_owned);
        event.path = path.map(str::to_owned);
        event.status = status;
        event
    }
}

/// The counters of this process that were not written yet.
#[derive(Debug, Default)]
pub struct Tally([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    told: HashMap<Use, Count>,
    /// Of keys for whose requests there was no more room: one counter each.
    folded: HashMap<KeyId, Count>,
}

impl Tally {
    /// Counts one request.
    pub fn add(&self, key_id: KeyId, address: IpAddr, route: &Arc<str>, now: Timestamp) {
        let of = Use {
            minute: now.minute(),
            key_id,
            address: Some(address),
            route: Arc::clone(route),
        };
        self.add_count(
            of,
            Count {
                requests: 1,
                last: now,
            },
        );
    }

    /// Takes everything counted since the last time.
    #[must_use]
    pub fn drain(&self) -> Vec<Counted> {
        let mut counted = Vec::new();
        for shard in &self.0 {
            let shard = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            let told = shard
                .told
                .into_iter()
                .map(|(of, count)| Counted { of, count });
            counted.extend(told);
            let folded = shard.folded.into_iter().map(|(key_id, count)| {
                let (minute, route) = (count.last.minute(), Arc::from("ANY *"));
                Counted {
                    of: Use {
                        minute,
                        key_id,
                        address: None,
                        route,
                    },
                    count,
                }
            });
            counted.extend(folded);
        }
        counted
    }

    /// Gives back what could not be written.
    pub fn restore(&self, counted: Vec<Counted>) {
        for Counted { of, count } in counted {
            self.add_count(of, count);
        }
    }

    fn add_count(&self, of: Use, count: Count) {
        let place = usize::from(of.key_id.0.as_bytes()[15]) % SHARDS;
        let mut shard = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut *shard;
        let is_full = shard.told.len() >= CAPACITY / SHARDS;
        let counted = if is_full && !shard.told.contains_key(&of) {
            let folded = shard.folded.entry(of.key_id);
            folded.or_insert(Count::none(count.last))
        } else {
            shard.told.entry(of).or_insert(Count::none(count.last))
        };
        counted.requests += count.requests;
        counted.last = counted.last.max(count.last);
    }
}

impl Count {
    const fn none(last: Timestamp) -> Self {
        Self { requests: 0, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const KEY: KeyId = KeyId(Uuid::from_u128(1));

    fn total(counted: &[Counted]) -> u64 {
        counted.iter().map(|counted| counted.count.requests).sum()
    }

    #[test]
    fn requests_are_counted_by_key_address_route_and_minute() {
        let tally = Tally::default();
        let (a, b): (Arc<str>, Arc<str>) = ("GET /a".into(), "GET /b".into());
        let here = IpAddr::from([127, 0, 0, 1]);
        let now = Timestamp::from_seconds(60);
        tally.add(KEY, here, &a, now);
        tally.add(KEY, here, &a, now.plus_seconds(59));
        tally.add(KEY, here, &a, now.plus_seconds(60));
        tally.add(KEY, here, &b, now);
        tally.add(KeyId(Uuid::from_u128(2)), here, &a, now);
        tally.add(KEY, IpAddr::from([127, 0, 0, 2]), &a, now);
        let counted = tally.drain();
        assert_eq!(counted.len(), 5);
        let both = counted
            .iter()
            .find(|counted| counted.count.requests == 2)
            .unwrap();
        assert_eq!(both.count.last, now.plus_seconds(59));
        assert!(tally.drain().is_empty());
    }

    #[test]
    fn a_key_used_from_everywhere_stays_bounded_and_loses_no_count() {
        let tally = Tally::default();
        let route: Arc<str> = "GET /a".into();
        for n in 0..20_000_u32 {
            tally.add(
                KEY,
                IpAddr::from(n.to_be_bytes()),
                &route,
                Timestamp::from_seconds(0),
            );
        }
        let counted = tally.drain();
        assert!(counted.len() <= CAPACITY / SHARDS + 1);
        assert_eq!(total(&counted), 20_000);
        tally.restore(counted);
        assert_eq!(total(&tally.drain()), 20_000);
    }
    #[test]
    fn while_nothing_can_be_written_a_key_takes_one_more_counter_at_most() {
        let tally = Tally::default();
        let here = IpAddr::from([127, 0, 0, 1]);
        for minute in 0..20_000 {
            let route: Arc<str> = format!("GET /{minute}").into();
            tally.add(KEY, here, &route, Timestamp::from_seconds(minute * 60));
            if minute % 5_000 == 0 {
                tally.restore(tally.drain());
            }
        }
        let counted = tally.drain();
        assert_eq!(counted.len(), CAPACITY / SHARDS + 1);
        assert_eq!(total(&counted), 20_000);
    }

    #[test]
    fn the_status_of_an_error_is_told() {
        let of = Use {
            minute: Timestamp::from_seconds(0),
            key_id: KEY,
            address: None,
            route: "POST /api/decrypt 400".into(),
        };
        let count = Count {
            requests: 2,
            last: of.minute,
        };
        let event = Counted { of, count }.into_event(Timestamp::from_seconds(60));
        assert_eq!(event.path.as_deref(), Some("/api/decrypt"));
        assert_eq!(event.status, Some(400));
    }
}
