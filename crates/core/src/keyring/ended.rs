//! Keys that stopped, or will, before a token that they were exchanged for has expired: what verifiers
//! have to be told. It grows and shrinks with each change of a key, so that no answer walks all keys.
//!
//! A token never outlives what was its key's end when it was issued. So a key that ends when it was
//! always to end is not told of, but one whose end was moved forward is.

use std::collections::HashMap;

use uuid::Uuid;

use crate::clock::{CLOCK_MARGIN_SECONDS, Timestamp};
use crate::key::{KeyRecord, KeyState};

/// When a key ends, as its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not yet known.
    Never,
    /// Then; perhaps in the future.
    At(Timestamp),
    /// It has ended, and nothing says when.
    Unknown,
}

impl End {
    pub fn of(record: &KeyRecord) -> Self {
        match record.state {
            KeyState::Active => record.expires_at.map_or(Self::Never, Self::At),
            KeyState::Expired => record.expires_at.map_or(Self::Unknown, Self::At),
            KeyState::Rotated { until, .. } => {
                Self::At(record.expires_at.map_or(until, |at| at.min(until)))
            }
            KeyState::Revoked { at, .. } => Self::At(at),
            KeyState::Disabled => Self::Unknown,
        }
    }
}

/// What is told of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// It ends then.
    At(Timestamp),
    /// It has ended, and it is not asked any more since when.
    Unknown,
    /// It was first told of then, and had ended.
    Since(Timestamp),
    /// Its row cannot be read: nobody knows what it says.
    Condemned,
}

/// The keys to tell of.
#[derive(Debug, Default)]
pub(super) struct Ended {
    entries: HashMap<Uuid, Entry>,
    /// Grows with each change.
    generation: u64,
}

impl Ended {
    /// Takes note of a key as it is now. `known_until` is until when it was honoured as it was in the
    /// version before, if that is known; `is_original` whether its row was never changed.
    pub fn note(&mut self, id: Uuid, end: End, known_until: Option<Timestamp>, is_original: bool) {
        let known = self.entries.get(&id).copied();
        let is_sooner = |end: Timestamp| match known_until {
            Some(until) => end < until,
            // Read for the first time, or after versions that were missed: its end may have been moved.
            None => !is_original,
        };
        let entry = match end {
            End::At(at) if known.is_some() || is_sooner(at) => Some(Entry::At(at)),
            End::At(_) | End::Never => None,
            End::Unknown => match known {
                Some(entry @ (Entry::Unknown | Entry::Since(_))) => Some(entry),
                Some(_) => Some(Entry::Unknown),
                None => is_sooner(Timestamp::from_millis(i64::MIN)).then_some(Entry::Unknown),
            },
        };
        self.set(id, entry);
    }

    /// Takes note that a key's row cannot be read.
    pub fn condemn(&mut self, id: Uuid) {
        self.set(id, Some(Entry::Condemned));
    }

    fn set(&mut self, id: Uuid, entry: Option<Entry>) {
        let before = match entry {
            Some(entry) => self.entries.insert(id, entry),
            None if self.entries.is_empty() => None,
            None => self.entries.remove(&id),
        };
        if before != entry {
            self.generation += 1;
        }
    }

    pub fn forget_all(&mut self) {
        self.entries = HashMap::new();
        self.generation += 1;
    }

    /// Forgets keys of which no token can be alive, and those that no token can outlive: none lives for
    /// longer than so many seconds.
    pub fn forget(&mut self, now: Timestamp, lifetime: i64) {
        let count = self.entries.len();
        self.entries.retain(|_, entry| {
            if *entry == Entry::Unknown {
                *entry = Entry::Since(now);
            }
            match *entry {
                Entry::At(at) => is_of_use(at, now, lifetime) && at <= now.plus_seconds(lifetime),
                Entry::Since(since) => is_of_use(since, now, lifetime),
                Entry::Unknown | Entry::Condemned => true,
            }
        });
        if self.entries.len() != count {
            self.generation += 1;
        }
    }

    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Each key with the second from which on its tokens are dead.
    pub fn published(&self) -> Vec<(Uuid, i64)> {
        let entries = self.entries.iter();
        let told = entries.map(|(id, entry)| match entry {
            Entry::At(at) => (*id, at.as_seconds().max(0)),
            Entry::Since(since) => (*id, since.as_seconds().max(0)),
            Entry::Unknown | Entry::Condemned => (*id, 0),
        });
        told.collect()
    }
}

fn is_of_use(since: Timestamp, now: Timestamp, lifetime: i64) -> bool {
    now < since.plus_seconds(lifetime + CLOCK_MARGIN_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(100_000);
    const KEY: Uuid = Uuid::from_u128(1);
    const HOUR: i64 = 3_600;
    const FOREVER: Option<Timestamp> = Some(Timestamp::from_millis(i64::MAX));
    const DEAD: Option<Timestamp> = Some(Timestamp::from_millis(i64::MIN));

    fn at(seconds: i64) -> Timestamp {
        NOW.plus_seconds(seconds)
    }

    /// What is told after these notes, each an end and what was known before.
    fn told(notes: &[(End, Option<Timestamp>)]) -> Option<i64> {
        let mut ended = Ended::default();
        for (end, known_until) in notes {
            ended.note(KEY, *end, *known_until, false);
        }
        ended.forget(NOW, HOUR);
        let told = ended.published();
        told.first().map(|(_, from)| from - NOW.as_seconds())
    }

    #[test]
    fn an_end_that_was_moved_forward_is_told_and_one_that_came_is_not() {
        let later = Some(at(9_000));
        assert_eq!(told(&[(End::At(at(-1)), later)]), Some(-1), "revoked");
        assert_eq!(told(&[(End::At(at(60)), later)]), Some(60), "in a minute");
        assert_eq!(told(&[(End::At(at(9_000)), later)]), None, "expired");
        assert_eq!(told(&[(End::At(at(9_001)), later)]), None, "prolonged");
        assert_eq!(told(&[(End::At(at(-1)), DEAD)]), None, "dead already");
        assert_eq!(told(&[(End::Unknown, FOREVER)]), Some(0), "switched off");
        assert_eq!(told(&[(End::Unknown, DEAD)]), None, "off already");
    }

    #[test]
    fn a_key_that_is_switched_on_again_leaves() {
        let off = (End::Unknown, FOREVER);
        assert_eq!(told(&[off, (End::Never, DEAD)]), None);
        // Its tokens of before may outlive an end that it has by now.
        assert_eq!(told(&[off, (End::At(at(60)), DEAD)]), Some(60));
        assert_eq!(told(&[off, (End::Unknown, DEAD)]), Some(0), "renamed");
    }

    #[test]
    fn nobody_is_told_of_a_key_whose_tokens_are_dead_or_die_before_it() {
        let last = -HOUR - CLOCK_MARGIN_SECONDS;
        assert_eq!(told(&[(End::At(at(last)), FOREVER)]), None);
        assert_eq!(told(&[(End::At(at(last + 1)), FOREVER)]), Some(last + 1));
        assert_eq!(told(&[(End::At(at(HOUR + 1)), FOREVER)]), None);
        assert_eq!(told(&[(End::At(at(HOUR)), FOREVER)]), Some(HOUR));
    }

    #[test]
    fn a_key_that_is_read_for_the_first_time_is_told_of_if_its_row_was_ever_changed() {
        let mut ended = Ended::default();
        ended.note(KEY, End::At(at(60)), None, true);
        assert_eq!(ended.published(), []);
        ended.note(KEY, End::At(at(60)), None, false);
        assert_eq!(ended.published().len(), 1);
    }

    #[test]
    fn a_damaged_key_stays_until_it_is_read_again() {
        let mut ended = Ended::default();
        ended.condemn(KEY);
        ended.forget(at(1_000_000), HOUR);
        assert_eq!(ended.published(), [(KEY, 0)]);
        ended.note(KEY, End::Never, DEAD, true);
        assert_eq!(ended.published(), []);
    }

    #[test]
    fn the_generation_grows_with_changes_alone() {
        let mut ended = Ended::default();
        let mut last = 0;
        let mut grew =
            |ended: &Ended| std::mem::replace(&mut last, ended.generation()) != ended.generation();
        ended.note(KEY, End::Never, FOREVER, true);
        assert!(!grew(&ended));
        ended.note(KEY, End::At(NOW), FOREVER, false);
        assert!(grew(&ended));
        ended.note(KEY, End::At(NOW), DEAD, false);
        ended.forget(NOW, HOUR);
        assert!(!grew(&ended));
        ended.forget(at(2 * HOUR), HOUR);
        assert!(grew(&ended));
    }
}
