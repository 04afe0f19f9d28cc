//! The back-off of logins: [`LoginGuard`] counts failures by account and by address.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buckets::{Buckets, Charge};
use super::recent::{Fingerprint, Fingerprints};
use super::{Network, TooMany};
use crate::clock::Clock;
use crate::random::Random;
use crate::user::fold_username;

/// Admits logins, and makes whoever guesses wait.
///
/// Failures are counted in buckets. A login from an address that the account is not known from
/// counts in two, the account's and the network's, and waits for both. A login from a known address
/// counts in one of its own, for this account from this network, and waits for that alone: nobody
/// elsewhere can keep a user out, and neither can another account's user behind the same address. It
/// counts too in one for all known accounts of the network. After a hundred failures in it, of which a
/// hundred leak out in an hour, those accounts wait for up to a minute that failed three times
/// themselves: whoever shares an address with many users cannot try all of their accounts for long.
///
/// The first five failures in a bucket are free, so that six tries can be made at once. The sixth is
/// followed by a wait of one second, the seventh by two, and so on up to 15 minutes. A bucket is
/// forgotten an hour after its last failure.
///
/// # Floods
/// Memory is bounded: a bucket that nobody asked for while 50,000 others were is forgotten too soon.
/// Only an attempt that is admitted makes buckets, two at most, and it leaves them only if it fails;
/// one that is refused keeps its buckets from being forgotten. So to get six more guesses at an
/// account somebody has to fail at 25,000 other logins first, from more than 4,000 networks since
/// each of them has to wait as well, while nobody tries that account. Whoever waits instead gets six
/// in an hour and a half. Nobody is kept out by a flood.
pub struct LoginGuard(Arc<Shared>);

/// From how many failures on a known account waits for what others of its network do.
const SUSPECT_FAILURES: u32 = 3;
/// Failures at all known accounts of a network that are followed by no wait.
const CROWD_FREE_FAILURES: u32 = 100;
/// How often one of them is let go: a hundred in an hour.
const CROWD_LEAK_MILLIS: i64 = 36_000;
/// The longest wait for what others of a network do.
const CROWD_WAIT_MILLIS: i64 = 60_000;

struct Shared {
    clock: Arc<dyn Clock>,
    fingerprints: Fingerprints,
    buckets: Mutex<Buckets>,
}

impl LoginGuard {
    /// A guard that has seen no failure.
    pub fn new(clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        Self(Arc::new(Shared {
            clock,
            fingerprints: Fingerprints::new(random),
            buckets: Mutex::new(Buckets::new()),
        }))
    }

    /// Admits an attempt to log in, and counts it as a failure until it turns out to be none, so that
    /// many at once are no more than many one after the other.
    ///
    /// `is_known` says that a login of this account has succeeded from the address's [`Network`]
    /// before. Names that differ in case alone are one account.
    ///
    /// # Errors
    /// [`TooMany`] if it is too early; what is refused is not counted.
    pub fn admit(
        &self,
        account: &str,
        address: IpAddr,
        is_known: bool,
    ) -> Result<Admission, TooMany> {
        let prints = self.0.prints(account, address, is_known);
        let mut buckets = self.0.lock();
        // Under the lock, or else a later reading could be taken for the earlier one.
        let now = self.0.clock.now();
        let [own, other] = prints;
        let wait = if is_known {
            let alone = buckets.wait(own, now);
            buckets.leak(other, CROWD_LEAK_MILLIS, now);
            let crowd = buckets.wait_beyond(CROWD_FREE_FAILURES, other, now);
            let is_suspect = buckets.failures(own) >= SUSPECT_FAILURES;
            alone.max(if is_suspect {
                crowd.min(CROWD_WAIT_MILLIS)
            } else {
                0
            })
        } else {
            buckets.wait(own, now).max(buckets.wait(other, now))
        };
        if wait > 0 {
            return Err(TooMany::wait_millis(wait));
        }
        Ok(Admission {
            charges: prints.map(|print| buckets.charge(print, now)),
            is_known,
            guard: Arc::clone(&self.0),
        })
    }
}

/// An attempt that was admitted. It counts as a failure unless it is said to be none.
#[must_use = "an attempt counts as a failure unless it is said to be none"]
pub struct Admission {
    guard: Arc<Shared>,
    is_known: bool,
    /// The pair's and the crowd's, or the account's and the network's.
    charges: [Charge; 2],
}

impl Admission {
    /// The password was right. For a known address that clears its bucket, but for attempts that were
    /// made since: no more than six of them are under way at once. For another it takes
    /// back this attempt alone: who has a password of their own must not be able to wipe out the
    /// failures that the address has on other accounts, or that others have on this one.
    pub fn succeeded(self) {
        if self.is_known {
            let mut buckets = self.guard.lock();
            let [own, crowd] = &self.charges;
            buckets.clear(own);
            buckets.give_back(crowd);
        } else {
            self.abandoned();
        }
    }

    /// The password was wrong, or there is no such user.
    pub fn failed(self) {
        // The attempt was counted when it was admitted.
        drop(self);
    }

    /// Nobody looked at the password: it is as if the attempt had not been made.
    pub fn abandoned(self) {
        let mut buckets = self.guard.lock();
        for charge in &self.charges {
            buckets.give_back(charge);
        }
    }
}

impl Shared {
    fn prints(&self, account: &str, address: IpAddr, is_known: bool) -> [Fingerprint; 2] {
        let account = fold_username(account);
        let network = Network::of(address).to_string();
        let (account, network) = (account.as_bytes(), network.as_bytes());
        if is_known {
            [
                self.fingerprints.of(&[b"pair", account, network]),
                self.fingerprints.of(&[b"crowd", network]),
            ]
        } else {
            [
                self.fingerprints.of(&[b"account", account]),
                self.fingerprints.of(&[b"network", network]),
            ]
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::{ManualClock, Timestamp};
    use crate::guard::buckets::{BUCKETS, FREE_FAILURES, back_off};
    use crate::random::SeededRandom;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::time::Duration;

    const HOUR: i64 = 3_600_000;

    fn guard() -> (LoginGuard, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let guard = LoginGuard::new(clock.clone(), &SeededRandom::new(1));
        (guard, clock)
    }

    fn home() -> IpAddr {
        [203, 0, 113, 9].into()
    }

    fn elsewhere(n: u32) -> IpAddr {
        (0x0a00_0000 + n).to_be_bytes().into()
    }

    /// Fails as a stranger; how long the guard says to wait if it does not admit the attempt.
    fn fail(guard: &LoginGuard, account: &str, address: IpAddr) -> Result<(), i64> {
        guard
            .admit(account, address, false)
            .map(Admission::failed)
            .map_err(millis)
    }

    fn millis(refused: TooMany) -> i64 {
        i64::try_from(refused.retry_after.as_millis()).unwrap()
    }

    #[test]
    fn who_has_a_good_password_has_no_more_attempts_under_way_than_others() {
        let (guard, _) = guard();
        let mut under_way = std::collections::VecDeque::new();
        let mut most = 0;
        for _ in 0..500 {
            while let Ok(admission) = guard.admit("ada", home(), true) {
                under_way.push_back(admission);
                most = most.max(under_way.len());
                assert!(most < 100, "any number of them");
            }
            under_way.pop_front().unwrap().succeeded();
        }
        assert!((6..=7).contains(&most), "{most}");
    }

    #[test]
    fn failures_that_are_forgotten_make_nobody_wait_for_a_network() {
        let (guard, clock) = guard();
        for _ in 0..3 {
            guard.admit("ada", home(), true).ok().unwrap().failed();
        }
        clock.advance_millis(HOUR);
        for number in 0..200 {
            let name = format!("student{number}");
            guard.admit(&name, home(), true).ok().unwrap().failed();
        }
        assert!(guard.admit("ada", home(), true).is_ok());
    }

    #[test]
    fn many_addresses_share_the_patience_for_one_account_and_many_accounts_that_for_one_address() {
        let (guard, _clock) = guard();
        for n in 0..6 {
            fail(&guard, "amina", elsewhere(n)).unwrap();
        }
        assert_eq!(fail(&guard, "Amina", elsewhere(6)), Err(1_000));
        for n in 0..6 {
            fail(&guard, &format!("user {n}"), home()).unwrap();
        }
        assert_eq!(fail(&guard, "user 6", home()), Err(1_000));
        assert_eq!(fail(&guard, "user 6", elsewhere(6)), Ok(()));
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_its_patience() {
        let (guard, _clock) = guard();
        let at = |n: u128| IpAddr::from((0x2001_0db8_u128 << 96 | n).to_be_bytes());
        for n in 0..6 {
            fail(&guard, &format!("user {n}"), at(n)).unwrap();
        }
        assert_eq!(fail(&guard, "user 6", at(6)), Err(1_000));
        assert_eq!(fail(&guard, "user 6", at(1 << 64)), Ok(()));
    }

    #[test]
    fn an_attempt_counts_from_when_it_is_admitted() {
        let (guard, _clock) = guard();
        let admitted: Vec<_> = (0..100)
            .filter_map(|_| guard.admit("amina", home(), false).ok())
            .collect();
        assert_eq!(admitted.len(), 6);
        drop(admitted);
        assert_eq!(fail(&guard, "amina", home()), Err(1_000));
    }

    #[test]
    fn a_burst_from_many_threads_is_no_more_than_attempts_in_a_row() {
        let (guard, _clock) = guard();
        let attempt = || guard.admit("amina", home(), false).ok();
        let admitted = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..50).filter_map(|_| attempt()).count()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(admitted, 6);
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let (guard, clock) = guard();
        for _ in 0..6 {
            fail(&guard, "amina", home()).unwrap();
        }
        for _ in 0..100 {
            assert_eq!(fail(&guard, "amina", home()), Err(1_000));
        }
        clock.advance_millis(1_000);
        assert_eq!(fail(&guard, "amina", home()), Ok(()));
        assert_eq!(fail(&guard, "amina", home()), Err(2_000));
        // What one bucket refuses is not charged to the other either.
        for _ in 0..100 {
            assert_eq!(fail(&guard, "amina", elsewhere(1)), Err(2_000));
        }
        assert_eq!(fail(&guard, "somebody", elsewhere(1)), Ok(()));
    }

    #[test]
    fn a_known_address_waits_for_its_own_failures_alone() {
        let (guard, _clock) = guard();
        while fail(&guard, "amina", elsewhere(1)).is_ok() {}
        while fail(&guard, "somebody", home()).is_ok() {}
        for _ in 0..6 {
            guard.admit("amina", home(), true).unwrap().failed();
        }
        let refused = guard.admit("amina", home(), true).err();
        assert_eq!(refused.map(millis), Some(1_000));
        // And its own failures are nobody else's.
        guard.admit("amina", elsewhere(2), true).unwrap().failed();
        guard.admit("another", home(), true).unwrap().failed();
    }

    #[test]
    fn a_success_clears_what_a_known_address_failed_at() {
        let (guard, _clock) = guard();
        for _ in 0..20 {
            for _ in 0..5 {
                guard.admit("amina", home(), true).unwrap().failed();
            }
            guard.admit("amina", home(), true).unwrap().succeeded();
        }
    }

    #[test]
    fn a_good_password_of_ones_own_does_not_wipe_out_failures_at_others() {
        let (guard, clock) = guard();
        for n in 0..5 {
            fail(&guard, &format!("user {n}"), home()).unwrap();
            guard.admit("mine", home(), false).unwrap().succeeded();
        }
        fail(&guard, "user 5", home()).unwrap();
        assert_eq!(fail(&guard, "user 6", home()), Err(1_000));
        clock.advance_millis(1_000);
        guard.admit("mine", home(), false).unwrap().succeeded();
        fail(&guard, "user 6", home()).unwrap();
        assert_eq!(fail(&guard, "user 7", home()), Err(2_000));
    }

    #[test]
    fn a_success_of_a_stranger_leaves_the_wait_as_it_was() {
        let (guard, clock) = guard();
        for n in 0..7 {
            fail(&guard, "amina", elsewhere(n)).unwrap_or_else(|wait| {
                clock.advance_millis(wait);
                fail(&guard, "amina", elsewhere(n)).unwrap();
            });
        }
        clock.advance_millis(2_000);
        guard.admit("amina", home(), false).unwrap().succeeded();
        // Neither is the user kept out now, nor has a guess become free.
        assert_eq!(fail(&guard, "amina", elsewhere(9)), Ok(()));
        assert_eq!(fail(&guard, "amina", elsewhere(10)), Err(4_000));
    }

    #[test]
    fn an_abandoned_attempt_leaves_nothing() {
        let (guard, _clock) = guard();
        for is_known in [false, true] {
            for _ in 0..100 {
                guard.admit("amina", home(), is_known).unwrap().abandoned();
            }
        }
        assert_eq!(guard.0.lock().len(), 0);
    }

    #[test]
    fn an_account_under_attack_is_not_flushed_out_by_a_flood_of_others() {
        let (guard, _clock) = guard();
        for n in 0..6 {
            fail(&guard, "amina", elsewhere(n)).unwrap();
        }
        for n in 0..120_000_u32 {
            fail(&guard, &n.to_string(), elsewhere(100 + n)).unwrap();
            if n % 20_000 == 0 {
                assert_eq!(fail(&guard, "amina", elsewhere(n)), Err(1_000));
            }
        }
        assert_eq!(fail(&guard, "amina", home()), Err(1_000));
        assert!(guard.0.lock().len() <= BUCKETS);
    }

    #[derive(Clone, Debug)]
    enum End {
        Success,
        Failure,
        Abandoned,
    }

    /// An attempt: after so many milliseconds, on one of three accounts, from one of three addresses.
    fn attempts() -> impl Strategy<Value = Vec<(i64, u8, u32, End)>> {
        let pause = prop_oneof![Just(0), 0..3_000_i64, 0..2 * HOUR];
        let end = prop_oneof![
            1 => Just(End::Success),
            4 => Just(End::Failure),
            1 => Just(End::Abandoned),
        ];
        prop::collection::vec((pause, 0..3_u8, 0..3_u32, end), 0..120)
    }

    fn end(admission: Admission, end: &End) {
        match end {
            End::Success => admission.succeeded(),
            End::Failure => admission.failed(),
            End::Abandoned => admission.abandoned(),
        }
    }

    proptest! {
        #[test]
        fn between_two_failures_of_an_account_or_a_network_its_whole_wait_has_passed(attempts in attempts()) {
            let (guard, clock) = guard();
            let mut failures: HashMap<String, Vec<i64>> = HashMap::new();
            for (pause, account, from, outcome) in attempts {
                clock.advance_millis(pause);
                let now = clock.now().as_millis();
                let account = account.to_string();
                let Ok(admission) = guard.admit(&account, elsewhere(from), false) else {
                    continue;
                };
                for bucket in [format!("account {account}"), format!("from {from}")] {
                    let of_bucket = failures.entry(bucket).or_default();
                    if of_bucket.last().is_some_and(|last| now - last >= HOUR) {
                        of_bucket.clear();
                    }
                    let count = u32::try_from(of_bucket.len()).unwrap();
                    let waited = of_bucket.last().map_or(i64::MAX, |last| now - last);
                    prop_assert!(waited >= back_off(count, FREE_FAILURES), "{} after {}", waited, count);
                    if matches!(outcome, End::Failure) {
                        of_bucket.push(now);
                    }
                }
                end(admission, &outcome);
            }
        }

        #[test]
        fn nothing_that_others_do_delays_a_user_at_a_known_address(attempts in attempts()) {
            let (guard, clock) = guard();
            for (pause, account, from, outcome) in attempts {
                clock.advance_millis(pause);
                // The user is account 0 at address 0; there others use the same address.
                let is_users = account == 0 && from == 0;
                if !is_users && let Ok(admission) = guard.admit(&account.to_string(), elsewhere(from), account == 1) {
                    end(admission, &outcome);
                }
                let Ok(users) = guard.admit("0", elsewhere(0), true) else {
                    return Err(TestCaseError::fail("the user has to wait"));
                };
                users.succeeded();
            }
        }

        #[test]
        fn the_wait_that_is_told_is_enough_and_not_a_millisecond_too_long(attempts in attempts()) {
            let (guard, clock) = guard();
            for (pause, account, from, outcome) in attempts {
                clock.advance_millis(pause);
                let attempt = || guard.admit(&account.to_string(), elsewhere(from), from == 0);
                let admission = match attempt() {
                    Ok(admission) => admission,
                    Err(refused) => {
                        prop_assert!(refused.retry_after <= Duration::from_mins(15));
                        clock.advance_millis(millis(refused) - 1);
                        prop_assert!(attempt().is_err());
                        clock.advance_millis(1);
                        attempt().map_err(|_| TestCaseError::fail("refused after the wait"))?
                    }
                };
                end(admission, &outcome);
            }
        }
    }
}
