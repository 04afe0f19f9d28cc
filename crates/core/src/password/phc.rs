//! What is kept of a password: [`PasswordHash`], in the PHC string format, and what making one costs.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Error;

/// Bytes of a new hash's salt: RFC 9106 section 3.1 recommends 16.
pub(super) const SALT_LENGTH: usize = 16;
/// Bytes of a new hash: RFC 9106 section 4 recommends 32.
pub(super) const OUTPUT_LENGTH: usize = 32;

/// Most memory of one hash, in KiB: one GiB. It bounds a damaged row as well as the setting.
const MOST_MEMORY_KIB: u32 = 1_048_576;
const MOST_PASSES: u32 = 100;
const MOST_LANES: u32 = 16;
/// Least memory for each lane, in KiB (RFC 9106 section 3.1).
const LEAST_MEMORY_PER_LANE_KIB: u32 = 8;

/// What one hash costs, and what whoever guesses pays for each guess.
///
/// The default is what the OWASP Password Storage Cheat Sheet asks for at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingCost {
    /// Memory to fill, in KiB.
    pub memory_kib: u32,
    /// How often to fill it.
    pub passes: u32,
    /// Independent parts of the memory. They are filled one after the other here.
    pub lanes: u32,
}

impl Default for HashingCost {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

impl HashingCost {
    /// Checks that one hash can be made at this cost, and in seconds.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the figure at fault.
    pub fn check(&self) -> Result<(), Error> {
        if !(1..=MOST_LANES).contains(&self.lanes) {
            return Err(Error::invalid("lanes", "from 1 to 16"));
        }
        if !(1..=MOST_PASSES).contains(&self.passes) {
            return Err(Error::invalid("passes", "from 1 to 100"));
        }
        let least = LEAST_MEMORY_PER_LANE_KIB * self.lanes;
        if !(least..=MOST_MEMORY_KIB).contains(&self.memory_kib) {
            let message = format!("from {least} to {MOST_MEMORY_KIB}");
            return Err(Error::invalid("memory_kib", message));
        }
        Ok(())
    }

    /// The blocks of one KiB that are filled: what the time of a hash is proportional to.
    pub(super) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// Whether any part of the cost is higher.
    pub(super) const fn is_more_than(self, other: Self) -> bool {
        self.memory_kib > other.memory_kib || self.passes > other.passes || self.lanes > other.lanes
    }

    /// What is left to do, in up to two hashes, until as much was done as this costs.
    pub(super) fn left_after(self, done: Self) -> impl Iterator<Item = Self> {
        let left = self.work().saturating_sub(done.work());
        let passes = left / u64::from(self.memory_kib);
        let memory = left % u64::from(self.memory_kib);
        let narrowed = |(memory, passes): (u64, u64)| Self {
            memory_kib: u32::try_from(memory).expect("no more than this cost's own memory"),
            passes: u32::try_from(passes).expect("no more than this cost's own passes"),
            lanes: self.lanes,
        };
        [(self.memory_kib.into(), passes), (memory, 1)]
            .map(narrowed)
            .into_iter()
            .filter(|cost| cost.check().is_ok())
    }
}

/// The hash of a password by Argon2id, version 19 (RFC 9106), with its cost and its salt.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PasswordHash {
    text: String,
    #[zeroize(skip)]
    cost: HashingCost,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl PasswordHash {
    /// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$hash`; nothing if it is anything else, or asks for more
    /// than [`HashingCost::check`] allows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("$argon2id$v=19$")?;
        let mut parts = rest.split('$');
        let cost = read_cost(parts.next()?)?;
        let salt = decode(parts.next()?, 8..=64)?;
        let output = decode(parts.next()?, 16..=64)?;
        parts.next().is_none().then(|| Self {
            text: text.to_owned(),
            cost,
            salt,
            output,
        })
    }

    pub(super) fn assemble(cost: HashingCost, salt: &[u8], output: &[u8]) -> Self {
        let HashingCost {
            memory_kib,
            passes,
            lanes,
        } = cost;
        let text = format!(
            "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}",
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(output),
        );
        Self {
            text,
            cost,
            salt: salt.to_vec(),
            output: output.to_vec(),
        }
    }

    /// The text, for the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What making it cost.
    #[must_use]
    pub const fn cost(&self) -> HashingCost {
        self.cost
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.text.as_bytes().ct_eq(other.text.as_bytes()).into()
    }
}

impl Eq for PasswordHash {}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Reads `m=19456,t=2,p=1`.
fn read_cost(text: &str) -> Option<HashingCost> {
    let mut figures = text.split(',');
    let mut figure = |name: &str| {
        let text = figures.next()?.strip_prefix(name)?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        is_plain.then(|| text.parse().ok()).flatten()
    };
    let cost = HashingCost {
        memory_kib: figure("m=")?,
        passes: figure("t=")?,
        lanes: figure("p=")?,
    };
    (figures.next().is_none() && cost.check().is_ok()).then_some(cost)
}

fn decode(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    // Looked at before it is decoded, so that a row of a gigabyte is not.
    let bytes = (text.len() <= 100).then(|| STANDARD_NO_PAD.decode(text).ok())??;
    lengths.contains(&bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn a_hash_is_read_and_written_as_it_was() {
        let hash = PasswordHash::parse(GOOD).unwrap();
        assert_eq!(hash.as_str(), GOOD);
        assert_eq!(hash.salt(), b"somesalt");
        let again = PasswordHash::assemble(hash.cost(), hash.salt(), hash.output());
        assert_eq!(again, hash);
    }

    #[test]
    fn a_damaged_hash_is_none() {
        for (from, to) in [
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("v=19$", ""),
            ("m=256", "m=100000000"),
            ("m=256", "m=99999999999999999999"),
            ("m=256", "m=7"),
            ("m=256", "m=+256"),
            ("m=256", "m=0256"),
            ("m=256", "m="),
            ("t=2", "t=0"),
            ("t=2", "t=101"),
            ("p=1", "p=17"),
            ("p=1", "p=1,keyid=AAAA"),
            ("m=256,t=2", "t=2,m=256"),
            ("c29tZXNhbHQ", ""),
            ("c29tZXNhbHQ", "c29tZQ"),
            ("c29tZXNhbHQ", "c29tZXNhbHQ="),
            ("c29tZXNhbHQ", "c29tZXNhbHR"),
            ("Gi/4", "Gi/4$"),
            ("Gi/4", "Gi_4"),
        ] {
            let damaged = GOOD.replace(from, to);
            assert_ne!(damaged, GOOD);
            assert_eq!(PasswordHash::parse(&damaged), None, "{damaged}");
        }
        for end in 0..GOOD.len() - 22 {
            assert_eq!(PasswordHash::parse(&GOOD[..end]), None);
        }
        let long = GOOD.replace("c29tZXNhbHQ", &"A".repeat(1_000_000));
        assert_eq!(PasswordHash::parse(&long), None);
    }

    #[test]
    fn debug_shows_nothing_of_a_hash() {
        let hash = PasswordHash::parse(GOOD).unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }

    #[test]
    fn a_cost_out_of_bounds_is_named() {
        assert!(HashingCost::default().check().is_ok());
        for (memory_kib, passes, lanes, at_fault) in [
            (7, 1, 1, "memory_kib"),
            (31, 1, 4, "memory_kib"),
            (1_048_577, 1, 1, "memory_kib"),
            (8, 0, 1, "passes"),
            (8, 101, 1, "passes"),
            (8, 1, 0, "lanes"),
            (1024, 1, 17, "lanes"),
        ] {
            let cost = HashingCost {
                memory_kib,
                passes,
                lanes,
            };
            match cost.check() {
                Err(Error::Invalid { field, .. }) => assert_eq!(field, at_fault),
                other => panic!("{cost:?}: {other:?}"),
            }
        }
    }

    prop_compose! {
        fn costs()(
            lanes in 1..=MOST_LANES,
            passes in 1..=MOST_PASSES,
            memory in 0..=MOST_MEMORY_KIB,
        ) -> HashingCost {
            HashingCost { memory_kib: memory.max(8 * lanes), passes, lanes }
        }
    }

    proptest! {
        #[test]
        fn what_is_left_of_a_cost_makes_up_for_a_cheaper_hash(cost in costs(), done in costs()) {
            let left: u64 = cost.left_after(done).map(HashingCost::work).sum();
            let missing = cost.work().saturating_sub(done.work());
            prop_assert!(left <= missing);
            prop_assert!(missing - left < u64::from(8 * cost.lanes));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "(\\$argon2id\\$v=19\\$)?[$a-z=0-9,+/]{0,80}") {
            if let Some(hash) = PasswordHash::parse(&text) {
                prop_assert!(hash.cost().check().is_ok());
            }
        }
    }
}
