//! Randomness as a parameter: [`Random`], the operating system's source, and what is drawn from it.

use std::sync::{Mutex, PoisonError};

use uuid::{Builder, Uuid};

use crate::clock::Timestamp;

/// A source of random bytes fit for secrets.
pub trait Random: Send + Sync {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that draws random bytes"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no key is safe: there is nothing to go on with.
        getrandom::fill(bytes).expect("the operating system has no randomness to give");
    }
}

/// The operating system's source, asked for many bytes at once: for identifiers, which are no secrets
/// and may lie in memory before they are used.
#[derive(Debug)]
pub struct PooledRandom(Mutex<Pool>);

#[derive(Debug)]
struct Pool {
    bytes: [u8; Self::SIZE],
    used: usize,
}

impl Pool {
    const SIZE: usize = 1_024;
}

impl Default for PooledRandom {
    fn default() -> Self {
        Self(Mutex::new(Pool {
            bytes: [0; Pool::SIZE],
            used: Pool::SIZE,
        }))
    }
}

impl Random for PooledRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > Pool::SIZE {
            return SystemRandom.fill(bytes);
        }
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.used + bytes.len() > Pool::SIZE {
            SystemRandom.fill(&mut pool.bytes);
            pool.used = 0;
        }
        let (start, end) = (pool.used, pool.used + bytes.len());
        bytes.copy_from_slice(&pool.bytes[start..end]);
        pool.used = end;
    }
}

/// An array of random bytes.
#[must_use]
pub fn array<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

/// A UUID whose order is that of its time (RFC 9562, version 7).
#[must_use]
pub fn uuid(random: &dyn Random, now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &array(random)).into_uuid()
}

/// The smallest UUID of version 7 that a moment can have: what is older lies below it.
#[must_use]
pub fn first_uuid_of(time: Timestamp) -> Uuid {
    let millis = u64::try_from(time.as_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// A repeatable stream of bytes from a seed: for tests and measurements, never for a secret.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// A stream that only the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64 (Steele, Lea, Flood 2014): every seed gives a full-period stream.
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let word = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_from_the_pool_is_never_drawn_again() {
        let random = PooledRandom::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            assert!(seen.insert(array::<10>(&random)));
        }
        let long = array::<{ 2 * Pool::SIZE }>(&random);
        assert_ne!(long[..Pool::SIZE], long[Pool::SIZE..]);
    }

    #[test]
    fn uuids_are_version_7_and_ordered_by_time() {
        let random = SeededRandom::new(1);
        let early = uuid(&random, Timestamp::from_millis(1_000));
        let late = uuid(&random, Timestamp::from_millis(2_000));
        assert_eq!(early.get_version_num(), 7);
        assert!(early < late);
        assert!(first_uuid_of(Timestamp::from_millis(2_000)) <= late);
        assert!(first_uuid_of(Timestamp::from_millis(2_000)) > early);
    }

    #[test]
    fn the_system_source_does_not_repeat() {
        assert_ne!(array::<32>(&SystemRandom), array::<32>(&SystemRandom));
    }
}
