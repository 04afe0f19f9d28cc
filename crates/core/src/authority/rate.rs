//! What the keys that have a limit have used of it: counted here alone, or together with other processes
//! ([`Leases`]). Keys without one pay nothing for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::leases::Leases;
use crate::clock::Clock;
use crate::error::{Denied, Error, Reason};
use crate::key::KeyId;
use crate::keyring::Held;
use crate::rate::{Allowance, RateLimit, Used, nanos};
use crate::shared_limits::{KeeperHealth, LimitKeeper, WhenUnavailable};

/// A power of two: so many locks share the keys among them.
const SHARDS: usize = 64;

/// What was used, by the line of rotations that a key belongs to.
pub(super) struct RateLimits {
    clock: Arc<dyn Clock>,
    shards: Box<[Mutex<Shard>; SHARDS]>,
    /// Where they are counted together with other processes.
    leases: Option<Leases>,
}

type Shard = HashMap<KeyId, Used>;

/// What came of a request that is let through as far as is known here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// It is charged; what is left, if the key has a limit.
    Settled(Option<Allowance>),
    /// Nothing is charged: who keeps the limit has to be asked.
    MustAsk,
}

impl RateLimits {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            leases: None,
        }
    }

    /// Counts together with other processes from here on.
    pub(super) fn share(&mut self, keeper: Arc<dyn LimitKeeper>, when: WhenUnavailable) {
        self.leases = Some(Leases::new(Arc::clone(&self.clock), keeper, when));
    }

    /// Takes one request off what the key may do; nothing for a key without a limit.
    pub(super) fn spend(&self, held: &Held) -> Result<Spent, Denied> {
        let Some(limit) = held.profile.rate_limit else {
            return Ok(Spent::Settled(None));
        };
        let lineage = held.limited_as();
        let spent = if let Some(leases) = &self.leases {
            leases.spend(lineage, limit)
        } else {
            let taken = self.spend_alone(lineage, limit);
            taken.map(|allowance| Spent::Settled(Some(allowance)))
        };
        spent.map_err(|retry_after| refused(held, limit, retry_after))
    }

    /// As [`Self::spend`], with the help of who keeps the limit where that is needed.
    pub(super) async fn charge(&self, held: &Held) -> Result<Option<Allowance>, Error> {
        let Some(limit) = held.profile.rate_limit else {
            return Ok(None);
        };
        let lineage = held.limited_as();
        let outcome = match &self.leases {
            Some(leases) => leases.charge(lineage, limit).await?,
            None => self.spend_alone(lineage, limit),
        };
        outcome
            .map(Some)
            .map_err(|retry_after| refused(held, limit, retry_after).into())
    }

    fn spend_alone(&self, lineage: KeyId, limit: RateLimit) -> Result<Allowance, Duration> {
        let mut shard = self.shard(lineage);
        // Under the lock, or else a later reading could be taken for the earlier one.
        let now = self.clock.now();
        let used = shard.entry(lineage).or_insert(Used::nothing_of(limit));
        let taken = limit.take(used.of(limit, nanos(now)), now);
        *used = Used {
            full_again: taken.full_again,
            window_seconds: limit.window_seconds(),
        };
        taken.outcome
    }

    /// Where they are counted together with other processes.
    pub(super) const fn leases(&self) -> Option<&Leases> {
        self.leases.as_ref()
    }

    /// How it stands with who keeps them for several processes, if somebody does.
    pub(super) fn keeper_health(&self) -> Option<KeeperHealth> {
        self.leases.as_ref().map(Leases::health)
    }

    /// Forgets the keys whose whole limit is there again: what is not known counts as unused.
    pub(super) fn forget_unused(&self) {
        for shard in self.shards.iter() {
            let mut shard = lock(shard);
            let now = nanos(self.clock.now());
            shard.retain(|_, used| used.full_again > now);
            if shard.len() < shard.capacity() / 4 {
                let some_more = shard.len() * 2;
                shard.shrink_to(some_more);
            }
        }
    }

    fn shard(&self, key_id: KeyId) -> MutexGuard<'_, Shard> {
        // The last bytes of an identifier are random.
        let [.., last] = key_id.0.into_bytes();
        lock(&self.shards[usize::from(last) % SHARDS])
    }
}

const fn refused(held: &Held, limit: RateLimit, retry_after: Duration) -> Denied {
    Denied {
        reason: Reason::RateLimited { limit, retry_after },
        key_id: Some(held.key_id),
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::key::{Environment, KeyHash, KeyPrefix, KeyRecord, KeyState, Salt};
    use crate::keyring::Keyring;
    use crate::network::AllowList;
    use crate::permission::Permissions;
    use crate::random::{SeededRandom, array, uuid};
    use crate::secret::Secret;

    const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn limits() -> (RateLimits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(START));
        (RateLimits::new(clock.clone()), clock)
    }

    fn limit(requests: u32, window_seconds: u32) -> Option<RateLimit> {
        RateLimit::new(requests, window_seconds).ok()
    }

    fn key(number: u64, rate_limit: Option<RateLimit>) -> KeyRecord {
        let random = SeededRandom::new(number);
        let id = KeyId(uuid(&random, START));
        KeyRecord {
            id,
            prefix: KeyPrefix::parse("abcdefgh").unwrap(),
            salt: Salt(array(&random)),
            hash: KeyHash::new(array(&random)),
            token_secret: Secret::random(&random),
            name: "k".into(),
            description: String::new(),
            permissions: Permissions::parse("api:read").unwrap(),
            is_admin: false,
            environment: Environment::Production,
            rate_limit,
            allowed_ips: AllowList::default(),
            state: KeyState::Active,
            created_at: START,
            expires_at: None,
            rotated_from: None,
            lineage: id,
            last_used_at: None,
            use_count: 0,
            version: 1,
        }
    }

    fn held(record: &KeyRecord) -> Held {
        let ring = Keyring::default();
        ring.apply(record);
        ring.held(record.id).unwrap()
    }

    fn successor(of: &KeyRecord, number: u64, rate_limit: Option<RateLimit>) -> KeyRecord {
        KeyRecord {
            rotated_from: Some(of.id),
            lineage: of.lineage,
            ..key(number, rate_limit)
        }
    }

    fn wait(refused: Result<Spent, Denied>) -> Duration {
        match refused.unwrap_err().reason {
            Reason::RateLimited { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        }
    }

    fn remaining(spent: Result<Spent, Denied>) -> u32 {
        match spent.unwrap() {
            Spent::Settled(Some(allowance)) => allowance.remaining,
            other => panic!("{other:?}"),
        }
    }

    fn remembered(limits: &RateLimits) -> usize {
        limits.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    #[test]
    fn a_key_without_a_limit_leaves_no_trace() {
        let (limits, _clock) = limits();
        assert_eq!(limits.spend(&held(&key(1, None))), Ok(Spent::Settled(None)));
        assert_eq!(remembered(&limits), 0);
    }

    #[test]
    fn keys_have_a_limit_each() {
        let (limits, _clock) = limits();
        let [one, two] = [1, 2].map(|number| held(&key(number, limit(1, 60))));
        assert!(limits.spend(&one).is_ok());
        assert!(limits.spend(&two).is_ok());
        assert_eq!(wait(limits.spend(&one)), Duration::from_mins(1));
    }

    #[test]
    fn many_requests_at_once_are_no_more_than_many_in_a_row() {
        let (limits, _clock) = limits();
        let used = held(&key(1, limit(100, 60)));
        let spend = || (0..50).filter(|_| limits.spend(&used).is_ok()).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(spend)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(passed, 100);
    }

    #[test]
    fn what_is_whole_again_is_forgotten_and_its_memory_given_back() {
        const KEYS: u64 = 50_000;
        let (limits, clock) = limits();
        for number in 0..KEYS {
            limits.spend(&held(&key(number, limit(2, 60)))).unwrap();
        }
        clock.advance_millis(29_999);
        limits.forget_unused();
        assert_eq!(remembered(&limits), 50_000, "none is whole yet");
        clock.advance_millis(1);
        let used = held(&key(7, limit(2, 60)));
        assert_eq!(remaining(limits.spend(&used)), 1);
        limits.forget_unused();
        assert_eq!(remembered(&limits), 1);
        let room: usize = limits
            .shards
            .iter()
            .map(|shard| lock(shard).capacity())
            .sum();
        assert!(room < 1_000, "{room}");
        assert_eq!(
            remaining(limits.spend(&used)),
            0,
            "what is not whole was kept"
        );
    }

    #[test]
    fn of_a_limit_that_is_changed_the_same_share_remains_used() {
        let (limits, clock) = limits();
        let with = |limit| held(&key(1, limit));
        for _ in 0..50 {
            limits.spend(&with(limit(100, 3_600))).unwrap();
        }
        // Half of it, and this request.
        assert_eq!(remaining(limits.spend(&with(limit(1_000, 3_600)))), 499);
        assert_eq!(remaining(limits.spend(&with(limit(1_000, 60)))), 498);
        assert_eq!(remaining(limits.spend(&with(limit(10, 86_400)))), 3);
        while limits.spend(&with(limit(10, 86_400))).is_ok() {}
        assert_eq!(
            limits.spend(&with(None)),
            Ok(Spent::Settled(None)),
            "no limit for a while"
        );
        while limits.spend(&with(limit(60, 60))).is_ok() {}
        let told = wait(limits.spend(&with(limit(60, 60))));
        assert!(told <= Duration::from_secs(1), "{told:?}");
        clock.advance_millis(i64::try_from(told.as_millis()).unwrap());
        assert_eq!(remaining(limits.spend(&with(limit(60, 60)))), 0);
    }

    #[test]
    fn a_wait_holds_under_the_limit_that_it_was_told_of_though_that_was_just_changed() {
        let (limits, clock) = limits();
        let with = |limit| held(&key(1, limit));
        limits.spend(&with(limit(1, 86_400))).unwrap();
        let told = wait(limits.spend(&with(limit(4, 60))));
        assert_eq!(told, Duration::from_secs(15));
        clock.advance_millis(14_999);
        assert!(limits.spend(&with(limit(4, 60))).is_err());
        clock.advance_millis(1);
        assert!(limits.spend(&with(limit(4, 60))).is_ok());
    }

    #[test]
    fn a_key_and_its_successor_have_one_limit_together_whatever_it_is_changed_to() {
        let (limits, _clock) = limits();
        let first = key(1, limit(4, 60));
        let second = successor(&first, 2, limit(4, 60));
        let third = successor(&second, 3, limit(8, 86_400));
        assert_eq!(remaining(limits.spend(&held(&first))), 3);
        assert_eq!(remaining(limits.spend(&held(&second))), 2);
        assert_eq!(
            remaining(limits.spend(&held(&third))),
            3,
            "half, and this request"
        );
        while limits.spend(&held(&third)).is_ok() {}
        for _ in 0..10 {
            assert!(limits.spend(&held(&first)).is_err());
            assert!(limits.spend(&held(&third)).is_err());
        }
        let unrelated = key(4, limit(4, 60));
        assert_eq!(remaining(limits.spend(&held(&unrelated))), 3);
    }

    proptest! {
        #[test]
        fn two_keys_of_a_line_get_no_more_through_than_one(
            requests in 1_u32..20,
            steps in prop::collection::vec((any::<bool>(), 0_i64..10_000), 1..200),
        ) {
            let (together, clock) = limits();
            let alone = RateLimits::new(clock.clone());
            let first = key(1, limit(requests, 60));
            let second = held(&successor(&first, 2, first.rate_limit));
            let first = held(&first);
            for (takes_second, pause) in steps {
                clock.advance_millis(pause);
                let taken = if takes_second { &second } else { &first };
                let (of_two, of_one) = (together.spend(taken), alone.spend(&first));
                prop_assert_eq!(of_two.is_ok(), of_one.is_ok());
            }
        }

        #[test]
        fn no_change_between_two_limits_gets_more_through_than_the_more_generous_of_them(
            changes in prop::collection::vec((any::<bool>(), 0_i64..10_000), 1..300),
        ) {
            let (limits, clock) = limits();
            let keys = [limit(10, 60), limit(10, 3_600)].map(|limit| held(&key(1, limit)));
            let mut passed = Vec::new();
            for (takes_second, pause) in changes {
                clock.advance_millis(pause);
                if limits.spend(&keys[usize::from(takes_second)]).is_ok() {
                    passed.push(clock.now().as_millis());
                }
            }
            for (start, first) in passed.iter().enumerate() {
                let within = passed[start..].iter().take_while(|at| **at < first + 60_000).count();
                prop_assert!(within < 20, "{}", within);
            }
        }
    }
}
