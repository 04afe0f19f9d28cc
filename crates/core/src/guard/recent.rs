//! A map that forgets: of so many entries at most, those that were asked for last stay.

use std::collections::HashMap;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::random::{Random, array};

/// A keyed hash of what an entry is about, under a key of this process alone, so that nobody can
/// choose names or addresses that share an entry; and of one size, however long a name is.
pub(super) type Fingerprint = u128;

/// Makes fingerprints.
#[derive(Clone)]
pub(super) struct Fingerprints(SipHasher13);

impl Fingerprints {
    pub(super) fn new(random: &dyn Random) -> Self {
        Self(SipHasher13::new_with_key(&array(random)))
    }

    /// Of so many parts; the same bytes in other parts give another one.
    pub(super) fn of(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut hasher = self.0;
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

/// A bounded map in two generations: when the young one is full it becomes the old one, and what was
/// old and not asked for since is forgotten. What is asked for is young again.
pub(super) struct Recent<V> {
    generation: usize,
    young: HashMap<Fingerprint, V>,
    old: HashMap<Fingerprint, V>,
}

impl<V> Recent<V> {
    /// Holds no more than `capacity` entries, and forgets none that is among the `capacity / 2`
    /// asked for last.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            generation: (capacity / 2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub(super) fn find(&mut self, print: Fingerprint) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&print) {
            self.insert(print, value);
        }
        self.young.get_mut(&print)
    }

    pub(super) fn insert(&mut self, print: Fingerprint, value: V) {
        self.old.remove(&print);
        if self.young.len() >= self.generation && !self.young.contains_key(&print) {
            // Keeps the memory of both: no allocation while a flood goes on.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(print, value);
    }

    pub(super) fn remove(&mut self, print: Fingerprint) {
        self.young.remove(&print);
        self.old.remove(&print);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use proptest::prelude::*;

    impl<V> Recent<V> {
        /// Entries held now.
        pub(in crate::guard) fn len(&self) -> usize {
            self.young.len() + self.old.len()
        }
    }

    #[test]
    fn fingerprints_differ_by_process_and_by_where_parts_end() {
        let here = Fingerprints::new(&SeededRandom::new(1));
        let there = Fingerprints::new(&SeededRandom::new(2));
        assert_eq!(here.of(&[b"a", b"b"]), here.of(&[b"a", b"b"]));
        assert_ne!(here.of(&[b"a", b"b"]), here.of(&[b"ab"]));
        assert_ne!(here.of(&[b"a", b"b"]), here.of(&[b"ab", b""]));
        assert_ne!(here.of(&[b"a"]), there.of(&[b"a"]));
    }

    #[test]
    fn what_is_asked_for_outlives_any_flood_of_others() {
        let mut recent = Recent::new(100);
        recent.insert(0, "kept");
        for print in 1..10_000 {
            recent.insert(print, "flood");
            assert!(recent.len() <= 100);
            if print % 49 == 0 {
                assert_eq!(recent.find(0), Some(&mut "kept"));
            }
        }
        assert_eq!(recent.find(1), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Find(u8),
        Insert(u8, u32),
        Remove(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            any::<u8>().prop_map(Step::Find),
            (any::<u8>(), any::<u32>()).prop_map(|(print, value)| Step::Insert(print, value)),
            any::<u8>().prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        #[test]
        fn nothing_that_is_found_is_out_of_date(steps in steps()) {
            let mut recent = Recent::new(20);
            let mut model = HashMap::new();
            for step in steps {
                match step {
                    Step::Find(print) => {
                        if let Some(value) = recent.find(print.into()) {
                            prop_assert_eq!(Some(&*value), model.get(&print));
                        }
                    }
                    Step::Insert(print, value) => {
                        recent.insert(print.into(), value);
                        model.insert(print, value);
                        prop_assert_eq!(recent.find(print.into()), Some(&mut model[&print].clone()));
                    }
                    Step::Remove(print) => {
                        recent.remove(print.into());
                        model.remove(&print);
                        prop_assert!(recent.find(print.into()).is_none());
                    }
                }
                prop_assert!(recent.len() <= 20);
            }
        }

        #[test]
        fn the_last_half_asked_for_are_all_there(prints in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut recent = Recent::new(20);
            for (n, print) in prints.iter().enumerate() {
                if recent.find((*print).into()).is_none() {
                    recent.insert((*print).into(), ());
                }
                let mut last: Vec<u8> = prints[..=n].iter().rev().copied().take(10).collect();
                last.dedup();
                for print in last {
                    let print = print.into();
                    prop_assert!(recent.young.contains_key(&print) || recent.old.contains_key(&print));
                }
            }
        }
    }
}
