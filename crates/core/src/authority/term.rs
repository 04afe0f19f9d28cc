//! When a key signs, and until when what it signed is verified: the same for the server keys of access
//! tokens and for the keys of session tokens.
//!
//! A new key is published at once and signs later, so that whoever verifies on their own has it before
//! the first token that needs it. A retired one verifies until its last token has expired.

use crate::clock::{CLOCK_MARGIN_SECONDS, Timestamp};
use crate::view::SigningState;

/// The times of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub created_at: Timestamp,
    /// From the beginning if there is nothing here.
    pub signs_from: Option<Timestamp>,
    /// For good if there is nothing here.
    pub verify_until: Option<Timestamp>,
}

impl Term {
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.verify_until.is_none_or(|until| now < until)
    }

    fn may_sign(&self, now: Timestamp) -> bool {
        self.signs_from.is_none_or(|from| from <= now)
    }

    /// What the key does, of which it is known whether it is the one that signs.
    pub fn state(&self, signs: bool) -> SigningState {
        if signs {
            SigningState::Signing
        } else if self.verify_until.is_some() {
            SigningState::Retired
        } else {
            SigningState::Published
        }
    }
}

/// The key that signs: of those that may already, the newest. Keys come newest first.
pub(super) fn signer<K>(
    keys: impl IntoIterator<Item = K>,
    term: impl Fn(&K) -> Term,
    now: Timestamp,
) -> Option<K> {
    let mut early = None;
    for key in keys {
        let term = term(&key);
        if !term.verifies(now) {
            continue;
        }
        if term.may_sign(now) {
            return Some(key);
        }
        // The clock of whoever made it is ahead, and there is no other.
        early = Some(key);
    }
    early
}

/// What a rotation settles.
pub(super) struct Handover {
    /// The new key's.
    pub term: Term,
    /// Until when what the keys before it sign, or have signed, is verified.
    pub retire_until: Timestamp,
}

impl Handover {
    /// The new key is published for `lead` seconds before it signs; what the others sign until then
    /// lives for `lifetime` seconds.
    pub fn after(newest: Option<Timestamp>, now: Timestamp, lead: i64, lifetime: i64) -> Self {
        let signs_from = (lead > 0).then(|| now.plus_seconds(lead));
        Self {
            term: Term::of_new(newest, now, signs_from),
            retire_until: now.plus_seconds(lead + lifetime + CLOCK_MARGIN_SECONDS),
        }
    }

    /// The new key signs now, and nothing that the others signed is verified any more.
    pub fn at_once(newest: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            term: Term::of_new(newest, now, None),
            // The clock of another server may be behind.
            retire_until: now.plus_seconds(-CLOCK_MARGIN_SECONDS),
        }
    }
}

impl Term {
    /// The newest key is the one that was made last, also where the clocks of two servers differ.
    pub fn of_new(
        newest: Option<Timestamp>,
        now: Timestamp,
        signs_from: Option<Timestamp>,
    ) -> Self {
        Self {
            created_at: newest.map_or(now, |newest| now.max(newest.plus_millis(1))),
            signs_from,
            verify_until: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_000_000;
    const LIFETIME: i64 = 3_600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// Keys as the store has them after rotations at some moments, newest first.
    fn rotated(rotations: &[(i64, i64)]) -> Vec<Term> {
        let mut keys = vec![Term::of_new(None, at(START), None)];
        for (when, lead) in rotations {
            let newest = keys.first().map(|key| key.created_at);
            let handover = Handover::after(newest, at(*when), *lead, LIFETIME);
            for key in &mut keys {
                let until = key.verify_until.unwrap_or(handover.retire_until);
                key.verify_until = Some(until.min(handover.retire_until));
            }
            keys.insert(0, handover.term);
        }
        keys
    }

    proptest! {
        /// A verifier that refreshes hourly through a cache that keeps the set for as long as it may has
        /// a set of two hours ago at worst.
        #[test]
        fn who_refreshes_hourly_accepts_every_token_before_and_after_rotations(
            pauses in prop::collection::vec(0..20_000_i64, 0..6),
            fetched in 0..100_000_i64,
            age in 0..7_200_i64,
            token_age in 0..LIFETIME,
        ) {
            let mut when = START;
            let rotations: Vec<_> = pauses.iter().map(|pause| { when += pause; (when, 7_200) }).collect();
            let now = START + fetched + age;
            let fetched_at = START + fetched;
            let issued_at = (now - token_age).max(START);
            // What there was at each of these moments: later rotations had not happened.
            let known = |moment: i64| {
                let past: Vec<_> = rotations.iter().copied().filter(|(when, _)| *when <= moment).collect();
                rotated(&past)
            };
            let published: Vec<_> = known(fetched_at).into_iter()
                .filter(|key| key.verifies(at(fetched_at))).map(|key| key.created_at).collect();
            let issuer = known(issued_at);
            let signer = signer(&issuer, |key| **key, at(issued_at)).unwrap();
            prop_assert!(
                published.contains(&signer.created_at),
                "the token of {issued_at} is not verified by the set of {fetched_at}"
            );
            // And whoever asks the server itself, which forgets keys.
            let now_known = known(now);
            let still = now_known.iter().find(|key| key.created_at == signer.created_at).unwrap();
            prop_assert!(still.verifies(at(now)));
        }
    }

    #[test]
    fn a_key_is_published_then_signs_then_is_retired_then_gone() {
        let keys = rotated(&[(START + 100, 7_200)]);
        let signer_at = |seconds| signer(&keys, |key| **key, at(seconds)).copied();
        let (new, old) = (keys[0], keys[1]);
        assert_eq!(signer_at(START + 7_299), Some(old));
        assert_eq!(signer_at(START + 7_300), Some(new));
        assert_eq!(new.state(false), SigningState::Published);
        assert_eq!(new.state(true), SigningState::Signing);
        assert_eq!(old.state(false), SigningState::Retired);
        let gone = START + 7_300 + LIFETIME + CLOCK_MARGIN_SECONDS;
        assert!(old.verifies(at(gone - 1)) && !old.verifies(at(gone)));
    }

    #[test]
    fn of_two_keys_made_in_one_moment_the_later_one_signs_and_a_clock_behind_is_no_obstacle() {
        let first = Term::of_new(None, at(START), None);
        let second = Handover::at_once(Some(first.created_at), at(START - 60));
        assert!(second.term.created_at > first.created_at);
        let keys = [second.term, first];
        assert_eq!(signer(keys, |key| *key, at(START - 60)), Some(second.term));
        let early = Term::of_new(None, at(START), Some(at(START + 60)));
        assert_eq!(signer([early], |key| *key, at(START)), Some(early));
    }
}
