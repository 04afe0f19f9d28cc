//! Keys that were asked for lately, side by side in memory: of a million keys each lies on a page of its
//! own, and to find it there takes longer than all that is checked of it.
//!
//! What is in here must never outlive what it is a copy of. So it is put in while the lock of the
//! original is held, and forgotten by whoever changes that, under the same lock.

use std::sync::{PoisonError, RwLock};

use super::Held;

/// Sets of entries, a power of two: with two of 64 bytes in each, half a megabyte.
const SETS: usize = 4_096;
/// So many sets share a lock.
const SHARED: usize = 32;

/// One of the many things a set could be about, and the key that it led to.
type Entry = Option<(u128, Held)>;
type Set = [Entry; 2];

/// A cache of keys by something of 128 bits. A key is in the set that its hash leads to.
pub(super) struct Recent(Box<[RwLock<[Set; SHARED]>]>);

impl Default for Recent {
    fn default() -> Self {
        let sets = || RwLock::new(std::array::from_fn(|_| Set::default()));
        Self((0..SETS / SHARED).map(|_| sets()).collect())
    }
}

impl Recent {
    /// The key, if it is here.
    pub fn find(&self, hash: u64, name: u128) -> Option<Held> {
        let (sets, place) = self.place(hash);
        let sets = sets.read().unwrap_or_else(PoisonError::into_inner);
        let found = sets[place].iter().flatten().find(|entry| entry.0 == name);
        found.map(|(_, held)| held.clone())
    }

    /// Takes a key in, in place of another if there is no room.
    pub fn put(&self, hash: u64, name: u128, held: &Held) {
        let (sets, place) = self.place(hash);
        let mut sets = sets.write().unwrap_or_else(PoisonError::into_inner);
        let [first, second] = &mut sets[place];
        // What is new comes first, so that of two the one that was asked for earlier goes.
        if first.is_some() {
            *second = first.take();
        }
        *first = Some((name, held.clone()));
    }

    /// Forgets what a hash leads to.
    pub fn forget(&self, hash: u64) {
        let (sets, place) = self.place(hash);
        sets.write().unwrap_or_else(PoisonError::into_inner)[place] = Set::default();
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        for sets in &self.0 {
            let mut sets = sets.write().unwrap_or_else(PoisonError::into_inner);
            sets.fill_with(Set::default);
        }
    }

    fn place(&self, hash: u64) -> (&RwLock<[Set; SHARED]>, usize) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lowest bits are all that is needed"
        )]
        let set = hash as usize % SETS;
        (&self.0[set / SHARED], set % SHARED)
    }
}
