//! Tokens that were verified before. A hit spares the signature and the reading of claims, and of a
//! session the opening of its data; never the checks of expiry, of revocation, of the key's state and
//! of permissions.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::random::{Random, array};

const SHARDS: usize = 16;

/// A keyed hash of a whole token, SipHash-1-3 with 128 bits under a key of this process alone, so
/// that nobody can make a token that hits another's entry. No hash ever leaves the process, which
/// is why one round a word is enough, and two would cost 80 ns more on every request.
pub(super) type Fingerprint = u128;

/// A bounded cache in two generations: when the young one is full it becomes the old one, and what
/// was old and not asked for since is forgotten.
pub(super) struct TokenCache<T> {
    hasher: SipHasher13,
    generation: usize,
    shards: [RwLock<Generations<T>>; SHARDS],
}

type Entries<T> = HashMap<Fingerprint, Arc<T>, BuildHasherDefault<AlreadyHashed>>;

struct Generations<T> {
    young: Entries<T>,
    old: Entries<T>,
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self {
            young: Entries::default(),
            old: Entries::default(),
        }
    }
}

impl<T> TokenCache<T> {
    pub(super) fn new(capacity: usize, random: &dyn Random) -> Self {
        Self {
            hasher: SipHasher13::new_with_key(&array(random)),
            generation: capacity.div_ceil(2 * SHARDS),
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }

    pub(super) fn fingerprint(&self, token: &str) -> Fingerprint {
        let mut hasher = self.hasher;
        hasher.write(token.as_bytes());
        hasher.finish128().as_u128()
    }

    /// Of a token and the key it came with, together.
    pub(super) fn fingerprint_of_both(&self, token: &str, key: &str) -> Fingerprint {
        let mut hasher = self.hasher;
        hasher.write(token.as_bytes());
        // No text has this byte, so that nothing of one can pass for the beginning of the other.
        hasher.write(&[0xFF]);
        hasher.write(key.as_bytes());
        hasher.finish128().as_u128()
    }

    pub(super) fn find(&self, print: Fingerprint) -> Option<Arc<T>> {
        let shard = self.shard(print);
        let found = {
            let generations = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(claims) = generations.young.get(&print) {
                return Some(Arc::clone(claims));
            }
            Arc::clone(generations.old.get(&print)?)
        };
        self.insert(print, &found);
        Some(found)
    }

    pub(super) fn insert(&self, print: Fingerprint, claims: &Arc<T>) {
        if self.generation == 0 {
            return;
        }
        let mut shard = self
            .shard(print)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.young.len() >= self.generation {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(print, Arc::clone(claims));
    }

    /// Forgets all that something is not true of.
    pub(super) fn retain(&self, keep: impl Fn(&T) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let Generations { young, old } = &mut *shard;
            young.retain(|_, token| keep(token));
            old.retain(|_, token| keep(token));
        }
    }

    fn shard(&self, print: Fingerprint) -> &RwLock<Generations<T>> {
        &self.shards[usize::from(print.to_be_bytes()[0]) % SHARDS]
    }
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn write(&mut self, bytes: &[u8]) {
        let (head, _) = bytes.split_at(bytes.len().min(8));
        self.0 = head
            .iter()
            .rev()
            .fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "one half is enough to find a bucket"
    )]
    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use sealgate_token::jwt::{Claims, Policy, TrustedClaims, Untrusted, issue_hs256};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use uuid::Uuid;

    fn claims() -> (String, Arc<TrustedClaims>) {
        let claims = Claims {
            iss: "sealgate".into(),
            sub: Uuid::from_u128(1),
            prefix: "abcdefgh".into(),
            permissions: "api:read".into(),
            is_admin: false,
            iat: 1,
            exp: 10,
            auth_time: 1,
            jti: Uuid::from_u128(2),
        };
        let token = issue_hs256(&claims, &[0; 32]).unwrap();
        let trusted =
            Untrusted::parse(&token)
                .unwrap()
                .verify_hs256(&[0; 32], &Policy::new("sealgate"), 2);
        (token, Arc::new(trusted.unwrap()))
    }

    #[test]
    fn a_token_is_found_again_and_one_with_another_byte_is_not() {
        let cache = TokenCache::new(100, &SeededRandom::new(1));
        let (token, trusted) = claims();
        cache.insert(cache.fingerprint(&token), &trusted);
        assert!(cache.find(cache.fingerprint(&token)).is_some());
        assert!(cache.find(cache.fingerprint(&token[1..])).is_none());
        let other_process = TokenCache::<TrustedClaims>::new(100, &SeededRandom::new(2));
        assert_ne!(cache.fingerprint(&token), other_process.fingerprint(&token));
    }

    #[test]
    fn the_cache_stays_bounded_and_keeps_what_is_asked_for() {
        let cache = TokenCache::new(320, &SeededRandom::new(1));
        let (_, trusted) = claims();
        let favourite = cache.fingerprint("favourite");
        cache.insert(favourite, &trusted);
        for n in 0..10_000 {
            cache.insert(cache.fingerprint(&n.to_string()), &trusted);
            assert!(cache.find(favourite).is_some());
        }
        let held: usize = cache
            .shards
            .iter()
            .map(|shard| shard.read().map(|s| s.young.len() + s.old.len()).unwrap())
            .sum();
        assert!(held <= 320, "{held}");
    }

    #[test]
    fn a_token_and_its_key_are_found_by_both_together() {
        let cache = TokenCache::<()>::new(100, &SeededRandom::new(1));
        let print = cache.fingerprint_of_both("token", "key");
        for (token, key) in [
            ("token", "kez"),
            ("tokenk", "ey"),
            ("tokenkey", ""),
            ("", "tokenkey"),
        ] {
            assert_ne!(
                cache.fingerprint_of_both(token, key),
                print,
                "{token} {key}"
            );
        }
        cache.insert(print, &Arc::new(()));
        cache.retain(|()| false);
        assert!(cache.find(print).is_none());
    }

    #[test]
    fn what_leaves_the_cache_is_dropped_at_once_and_so_is_zeroed() {
        /// As an opened session's data, counts when it is dropped.
        struct Data(Arc<AtomicUsize>);
        impl Drop for Data {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (cache, dropped) = (
            TokenCache::new(64, &SeededRandom::new(1)),
            Arc::new(AtomicUsize::new(0)),
        );
        for number in 0..10_000 {
            let print = cache.fingerprint(&number.to_string());
            cache.insert(print, &Arc::new(Data(Arc::clone(&dropped))));
        }
        let evicted = dropped.load(Ordering::SeqCst);
        assert!((10_000 - 64..10_000).contains(&evicted), "{evicted}");
        cache.retain(|_| false);
        assert_eq!(dropped.load(Ordering::SeqCst), 10_000);
    }

    #[test]
    fn a_cache_without_room_remembers_nothing() {
        let cache = TokenCache::new(0, &SeededRandom::new(1));
        let (token, trusted) = claims();
        cache.insert(cache.fingerprint(&token), &trusted);
        assert!(cache.find(cache.fingerprint(&token)).is_none());
    }
}
