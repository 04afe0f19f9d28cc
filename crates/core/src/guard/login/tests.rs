//! Tests of the login guard.

use super::*;
use crate::clock::ManualClock;
use crate::random::SeededRandom;
use proptest::prelude::*;
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
fn the_wait_doubles_after_five_free_failures_up_to_a_quarter_of_an_hour() {
    let (guard, clock) = guard();
    for _ in 0..5 {
        assert_eq!(fail(&guard, "amina", home()), Ok(()));
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
        assert_eq!(fail(&guard, "amina", home()), Ok(()));
        let wait = seconds * 1_000;
        assert_eq!(fail(&guard, "amina", home()), Err(wait));
        clock.advance_millis(wait - 1);
        assert_eq!(fail(&guard, "amina", home()), Err(1));
        clock.advance_millis(1);
    }
}

#[test]
fn failures_are_forgotten_an_hour_after_the_last() {
    let (guard, clock) = guard();
    for _ in 0..6 {
        fail(&guard, "amina", home()).unwrap();
    }
    clock.advance_millis(HOUR - 1);
    assert_eq!(fail(&guard, "amina", home()), Ok(()));
    assert_eq!(fail(&guard, "amina", home()), Err(2_000));
    clock.advance_millis(HOUR);
    for _ in 0..6 {
        assert_eq!(fail(&guard, "amina", home()), Ok(()));
    }
    assert_eq!(fail(&guard, "amina", home()), Err(1_000));
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
fn a_success_in_the_same_moment_does_not_shorten_the_wait_for_a_failure() {
    for success_comes_first in [true, false] {
        let (guard, clock) = guard();
        for _ in 0..4 {
            fail(&guard, "amina", home()).unwrap();
        }
        clock.advance_millis(500);
        let (good, bad) = if success_comes_first {
            let good = guard.admit("mine", home(), false).unwrap();
            (good, guard.admit("amina", home(), false).unwrap())
        } else {
            let bad = guard.admit("amina", home(), false).unwrap();
            (guard.admit("mine", home(), false).unwrap(), bad)
        };
        good.succeeded();
        bad.failed();
        fail(&guard, "amina", home()).unwrap();
        assert_eq!(fail(&guard, "amina", home()), Err(1_000));
    }
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
    assert_eq!(guard.0.lock().recent.len(), 0);
}

#[test]
fn what_is_given_back_late_is_not_taken_from_others() {
    let (guard, _clock) = guard();
    let early = guard.admit("amina", home(), true).unwrap();
    guard.admit("amina", home(), true).unwrap().succeeded();
    for _ in 0..6 {
        guard.admit("amina", home(), true).unwrap().failed();
    }
    early.abandoned();
    assert!(guard.admit("amina", home(), true).is_err());
}

#[test]
fn a_clock_that_is_set_back_makes_no_wait_longer() {
    let (guard, clock) = guard();
    for _ in 0..7 {
        fail(&guard, "amina", home()).unwrap_or_else(|wait| {
            clock.advance_millis(wait);
            fail(&guard, "amina", home()).unwrap();
        });
    }
    clock.advance_millis(-24 * HOUR);
    assert_eq!(fail(&guard, "amina", home()), Err(2_000));
    clock.advance_millis(2_000);
    assert_eq!(fail(&guard, "amina", home()), Ok(()));
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
    assert!(guard.0.lock().recent.len() <= BUCKETS);
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
        let mut failures: std::collections::HashMap<String, Vec<i64>> = Default::default();
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
                prop_assert!(waited >= back_off(count), "{} after {}", waited, count);
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
                    prop_assert!(refused.retry_after <= Duration::from_secs(900));
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
