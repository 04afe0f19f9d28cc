//! What makes a change of the log show: each record's hash covers its predecessor's, under a key that
//! whoever can write to the database does not have, and a sealed head tells where the log ends.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use uuid::Uuid;

use super::{Event, Record};
use crate::secret::Secret;

/// Ties a record to all before it: HMAC-SHA-256 over the predecessor's hash and the record.
#[derive(Clone, Copy)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// What the first record has for a predecessor.
    pub const START: Self = Self([0; 32]);
}

impl PartialEq for ChainHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ChainHash {}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHash({self})")
    }
}

/// Where the log ends, so that a record cut off its end is missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last record's place.
    pub sequence: u64,
    /// The last record's hash.
    pub hash: ChainHash,
    /// HMAC-SHA-256 over both: a head cannot be made up without the key.
    pub seal: ChainHash,
}

/// Links records and seals heads, under a key derived from the master key.
#[derive(Clone)]
pub struct Chain(Hmac<Sha256>);

impl Chain {
    /// Prepares the key.
    #[must_use]
    pub fn new(key: &Secret<32>) -> Self {
        Self(Hmac::new_from_slice(key.expose()).expect("HMAC takes keys of any length"))
    }

    /// The hash of the record that follows `previous` at `sequence`.
    #[must_use]
    pub fn link(&self, previous: &ChainHash, sequence: u64, event: &Event) -> ChainHash {
        let mut mac = self.0.clone();
        mac.update(b"record");
        mac.update(&previous.0);
        mac.update(&sequence.to_be_bytes());
        mac.update(&event.time.as_millis().to_be_bytes());
        mac.update(&event.status.unwrap_or(0).to_be_bytes());
        let mut key_id = Uuid::encode_buffer();
        let key_id = event
            .key_id
            .map(|id| id.0.as_hyphenated().encode_lower(&mut key_id));
        let address = event.address.map(|address| address.to_string());
        let texts = [
            Some(event.action.as_str()),
            Some(&event.actor),
            key_id.as_deref(),
            address.as_deref(),
            event.user_agent.as_deref(),
            event.method.as_deref(),
            event.path.as_deref(),
            event.request_id.as_deref(),
            Some(&event.details),
        ];
        for text in texts {
            // The length first, so that no two records are the same bytes; absent is no length.
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            mac.update(&length.to_be_bytes());
            mac.update(text.unwrap_or_default().as_bytes());
        }
        ChainHash(mac.finalize().into_bytes().into())
    }

    /// The head that says the log ends with this record.
    #[must_use]
    pub fn head(&self, sequence: u64, hash: ChainHash) -> Head {
        let mut mac = self.0.clone();
        mac.update(b"head");
        mac.update(&sequence.to_be_bytes());
        mac.update(&hash.0);
        Head {
            sequence,
            hash,
            seal: ChainHash(mac.finalize().into_bytes().into()),
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain(…)")
    }
}

/// The first thing found wrong with a log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadChain {
    /// A record is not what was written.
    #[error("record {0} was altered, or one before it was removed or inserted")]
    Altered(u64),
    /// A record is missing.
    #[error("record {0} is missing")]
    Missing(u64),
    /// Records were cut off the end.
    #[error(
        "the log ends at record {found}, but {sealed} were written: the last ones were removed"
    )]
    Cut {
        /// The last record found.
        found: u64,
        /// The last record the sealed head speaks of.
        sealed: u64,
    },
    /// The head is not what was written.
    #[error("the sealed end of the log was altered (it speaks of record {0})")]
    Head(u64),
}

/// A walk along the log from its first record.
#[derive(Debug)]
pub struct Walk<'a> {
    chain: &'a Chain,
    last: ChainHash,
    sequence: u64,
}

impl<'a> Walk<'a> {
    /// Starts before the first record.
    #[must_use]
    pub const fn new(chain: &'a Chain) -> Self {
        Self {
            chain,
            last: ChainHash::START,
            sequence: 0,
        }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// If it is not the one that was written after the last.
    pub fn step(&mut self, record: &Record) -> Result<(), BadChain> {
        let expected = self.sequence + 1;
        if record.sequence != expected {
            return Err(BadChain::Missing(expected));
        }
        if self.chain.link(&self.last, expected, &record.event) != record.hash {
            return Err(BadChain::Altered(expected));
        }
        self.last = record.hash;
        self.sequence = expected;
        Ok(())
    }

    /// The place of the last record taken; 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The hash of the last record taken.
    #[must_use]
    pub const fn hash(&self) -> ChainHash {
        self.last
    }

    /// Compares the end reached with the sealed head read *before* the walk; records appended since
    /// are beyond it.
    ///
    /// # Errors
    /// If the head is forged, or speaks of records that are not there.
    pub fn finish(&self, head: &Head) -> Result<(), BadChain> {
        if *head != self.chain.head(head.sequence, head.hash) {
            return Err(BadChain::Head(head.sequence));
        }
        if self.sequence < head.sequence {
            return Err(BadChain::Cut {
                found: self.sequence,
                sealed: head.sequence,
            });
        }
        if self.sequence == head.sequence && self.last != head.hash {
            return Err(BadChain::Head(head.sequence));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor};
    use crate::clock::Timestamp;

    fn chain() -> Chain {
        Chain::new(&Secret::new([9; 32]))
    }

    fn log(count: u64) -> (Vec<Record>, Head) {
        let chain = chain();
        let mut last = ChainHash::START;
        let mut records = Vec::new();
        for sequence in 1..=count {
            let time = Timestamp::from_millis(i64::try_from(sequence).unwrap());
            let event = Event::new(time, Action::KeyCreated, None, &Actor::System);
            last = chain.link(&last, sequence, &event);
            records.push(Record {
                sequence,
                hash: last,
                event,
            });
        }
        (records, chain.head(count, last))
    }

    fn walk(records: &[Record], head: &Head) -> Result<(), BadChain> {
        let chain = chain();
        let mut walk = Walk::new(&chain);
        records.iter().try_for_each(|record| walk.step(record))?;
        walk.finish(head)
    }

    #[test]
    fn an_untouched_log_is_walked_to_its_end() {
        let (records, head) = log(5);
        assert_eq!(walk(&records, &head), Ok(()));
    }

    #[test]
    fn the_first_altered_record_is_named() {
        let (records, head) = log(5);
        let alterations: [fn(&mut Event); 6] = [
            |event| event.actor = "cli:mallory".into(),
            |event| event.details = r#"{"x":1}"#.into(),
            |event| event.time = Timestamp::from_millis(99),
            |event| event.status = Some(200),
            |event| event.path = Some(String::new()),
            |event| event.action = Action::KeyRevoked,
        ];
        for alter in alterations {
            let mut changed = records.clone();
            alter(&mut changed[2].event);
            assert_eq!(walk(&changed, &head), Err(BadChain::Altered(3)));
        }
    }

    #[test]
    fn a_removed_record_is_missed_wherever_it_was() {
        let (records, head) = log(5);
        for gone in 0..4 {
            let mut cut = records.clone();
            cut.remove(gone);
            assert_eq!(walk(&cut, &head), Err(BadChain::Missing(gone as u64 + 1)));
        }
        assert_eq!(
            walk(&records[..4], &head),
            Err(BadChain::Cut {
                found: 4,
                sealed: 5
            })
        );
        assert_eq!(
            walk(&[], &head),
            Err(BadChain::Cut {
                found: 0,
                sealed: 5
            })
        );
    }

    #[test]
    fn a_head_moved_back_without_the_key_is_noticed() {
        let (records, head) = log(5);
        let moved = Head {
            sequence: 4,
            hash: records[3].hash,
            seal: head.seal,
        };
        assert_eq!(walk(&records[..4], &moved), Err(BadChain::Head(4)));
        let swapped = Head {
            hash: records[3].hash,
            ..head
        };
        assert_eq!(walk(&records, &swapped), Err(BadChain::Head(5)));
    }

    #[test]
    fn neighbouring_texts_cannot_trade_characters() {
        let event = |method: &str, path: &str| {
            let mut event = Event::new(
                Timestamp::from_millis(0),
                Action::KeyCreated,
                None,
                &Actor::System,
            );
            event.method = Some(method.into());
            event.path = Some(path.into());
            chain().link(&ChainHash::START, 1, &event)
        };
        assert_ne!(event("GET", "/a"), event("GET/", "a"));
    }
}
