//! Keys that were asked for lately, side by side in memory: of a million keys each lies on a page of its
//! own, and to find it there takes longer than all that is checked of it.
//!
//! What is in here must never outlive what it is a copy of. So it is put in while the lock of the
//! original is held, and forgotten by whoever changes that, under the same lock.

use std::sync::{PoisonError, RwLock};

/// Sets of entries, a power of two: with two of some 100 bytes in each, under a megabyte.
const SETS: usize = 4_096;
/// So many sets share a lock.
const SHARED: usize = 32;

/// Two of the many things a set could be about, and what is copied of the key that each led to.
type Set<T> = [Option<(u128, T)>; 2];

/// A cache of copies by something of 128 bits. A copy is in the set that its hash leads to.
pub(super) struct Recent<T>(Box<[RwLock<[Set<T>; SHARED]>]>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        let sets = || RwLock::new(std::array::from_fn(|_| Set::default()));
        Self((0..SETS / SHARED).map(|_| sets()).collect())
    }
}

impl<T> Recent<T> {
    /// What `read` makes of the copy, if it is here.
    pub fn find<R>(&self, hash: u64, name: u128, read: impl FnOnce(&T) -> R) -> Option<R> {
        let (sets, place) = self.place(hash);
        let sets = sets.read().unwrap_or_else(PoisonError::into_inner);
        let found = sets[place].iter().flatten().find(|entry| entry.0 == name);
        found.map(|(_, copy)| read(copy))
    }

    /// Takes a copy in, in place of another if there is no room.
    pub fn put(&self, hash: u64, name: u128, copy: T) {
        let (sets, place) = self.place(hash);
        let mut sets = sets.write().unwrap_or_else(PoisonError::into_inner);
        let [first, second] = &mut sets[place];
        // What is new comes first, so that of two the one that was asked for earlier goes.
        if first.is_some() {
            *second = first.take();
        }
        *first = Some((name, copy));
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

    fn place(&self, hash: u64) -> (&RwLock<[Set<T>; SHARED]>, usize) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lowest bits are all that is needed"
        )]
        let set = hash as usize % SETS;
        (&self.0[set / SHARED], set % SHARED)
    }
}
