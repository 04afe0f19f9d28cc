//! Buckets of failures: how many there were, and how long to wait after them.

use super::recent::{Fingerprint, Recent};
use crate::clock::Timestamp;

/// Failures that are followed by no wait: who mistypes a few times does not notice the guard.
pub(super) const FREE_FAILURES: u32 = 5;
/// The wait after the first failure that is not free; it doubles with each further one.
const FIRST_WAIT_MILLIS: i64 = 1_000;
/// The longest wait: four guesses an hour, for as long as they go on.
const LONGEST_WAIT_MILLIS: i64 = 15 * 60_000;
/// How long after the last failure all of them are forgotten.
const FORGOTTEN_AFTER_MILLIS: i64 = 60 * 60_000;
/// Buckets held, at most: some 6 MB.
pub(super) const BUCKETS: usize = 100_000;

/// All buckets.
pub(super) struct Buckets {
    recent: Recent<Bucket>,
    /// Charges made so far, in all buckets: each has a number.
    charges: u64,
}

/// The failures of one account, network or pair.
struct Bucket {
    failures: u32,
    /// Charges made in it, those that were taken back too.
    charged: u64,
    /// Up to when failures have leaked out, of a bucket that leaks.
    leaked: Timestamp,
    /// The first charge since the bucket was empty.
    first: u64,
    latest: Mark,
}

/// When something was charged. The number tells charges of one millisecond apart.
#[derive(Clone, Copy)]
struct Mark {
    number: u64,
    at: Timestamp,
}

/// What an attempt was charged in one bucket, and what stood there before.
pub(super) struct Charge {
    print: Fingerprint,
    number: u64,
    before: Option<Mark>,
    /// Which one of the bucket's charges it is.
    place: u64,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self {
            recent: Recent::new(BUCKETS),
            charges: 0,
        }
    }

    /// How many failures the bucket counts; to be asked after [`Self::wait`], which forgets old ones.
    pub(super) fn failures(&mut self, print: Fingerprint) -> u32 {
        self.recent.find(print).map_or(0, |bucket| bucket.failures)
    }

    /// Lets a failure go for each interval that has passed: what counts is how many there are in a
    /// time, not how many there ever were.
    pub(super) fn leak(&mut self, print: Fingerprint, interval_millis: i64, now: Timestamp) {
        let Some(bucket) = self.recent.find(print) else {
            return;
        };
        // A clock that was set back must not stop it.
        bucket.leaked = bucket.leaked.min(now);
        let intervals = (now.as_millis() - bucket.leaked.as_millis()) / interval_millis;
        bucket.leaked = bucket.leaked.plus_millis(intervals * interval_millis);
        let gone = u32::try_from(intervals).unwrap_or(u32::MAX);
        bucket.failures = bucket.failures.saturating_sub(gone);
        if bucket.failures == 0 {
            self.recent.remove(print);
        }
    }

    /// Milliseconds until the bucket admits another attempt.
    pub(super) fn wait(&mut self, print: Fingerprint, now: Timestamp) -> i64 {
        self.wait_beyond(FREE_FAILURES, print, now)
    }

    /// Milliseconds until the bucket admits another attempt, where so many failures are free.
    pub(super) fn wait_beyond(&mut self, free: u32, print: Fingerprint, now: Timestamp) -> i64 {
        let Some(bucket) = self.recent.find(print) else {
            return 0;
        };
        // A clock that was set back must not make a wait longer than it is.
        bucket.latest.at = bucket.latest.at.min(now);
        if bucket.latest.at.plus_millis(FORGOTTEN_AFTER_MILLIS) <= now {
            self.recent.remove(print);
            return 0;
        }
        let until = bucket
            .latest
            .at
            .plus_millis(back_off(bucket.failures, free));
        until.as_millis().saturating_sub(now.as_millis()).max(0)
    }

    /// Counts an attempt as a failure.
    pub(super) fn charge(&mut self, print: Fingerprint, now: Timestamp) -> Charge {
        self.charges += 1;
        let number = self.charges;
        let latest = Mark { number, at: now };
        let (place, before) = if let Some(bucket) = self.recent.find(print) {
            bucket.failures = bucket.failures.saturating_add(1);
            bucket.charged += 1;
            let before = std::mem::replace(&mut bucket.latest, latest);
            (bucket.charged, Some(before))
        } else {
            let bucket = Bucket {
                failures: 1,
                charged: 1,
                leaked: now,
                first: number,
                latest,
            };
            self.recent.insert(print, bucket);
            (1, None)
        };
        Charge {
            print,
            number,
            before,
            place,
        }
    }

    /// Forgets a charge and what was charged in its bucket before it. What was charged since stays:
    /// those attempts may be under way, and who has a good password must not have any number of them.
    pub(super) fn clear(&mut self, charge: &Charge) {
        let Some(bucket) = self.recent.find(charge.print) else {
            return;
        };
        if charge.number < bucket.first {
            return;
        }
        let since = u32::try_from(bucket.charged - charge.place).unwrap_or(u32::MAX);
        bucket.failures = bucket.failures.min(since);
        bucket.first = charge.number + 1;
        if bucket.failures == 0 {
            self.recent.remove(charge.print);
        }
    }

    /// Takes a charge back, as if it had not been made.
    pub(super) fn give_back(&mut self, charge: &Charge) {
        let Some(bucket) = self.recent.find(charge.print) else {
            return;
        };
        if charge.number < bucket.first {
            // The bucket was emptied meanwhile, and what is in it now is others'.
            return;
        }
        // Of a bucket that leaks, it may have gone by itself.
        bucket.failures = bucket.failures.saturating_sub(1);
        if bucket.failures == 0 {
            self.recent.remove(charge.print);
        } else if let Some(before) = charge
            .before
            .filter(|_| bucket.latest.number == charge.number)
        {
            // The wait counts from the failure before, unless there was another attempt since.
            bucket.latest = before;
        }
    }
}

/// Milliseconds to wait after so many failures, of which some are free.
pub(super) fn back_off(failures: u32, free: u32) -> i64 {
    match failures.checked_sub(free + 1) {
        None => 0,
        Some(doublings) => (FIRST_WAIT_MILLIS << doublings.min(20)).min(LONGEST_WAIT_MILLIS),
    }
}

#[cfg(test)]
impl Buckets {
    /// Buckets held now.
    pub(super) fn len(&self) -> usize {
        self.recent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// One bucket, and a time that is moved by hand.
    struct Scene {
        buckets: Buckets,
        now: Timestamp,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                buckets: Buckets::new(),
                now: Timestamp::from_seconds(1_700_000_000),
            }
        }

        /// A scene with so many failures, where the wait after the last has just begun.
        fn after(failures: usize) -> Self {
            let mut scene = Self::new();
            for _ in 0..failures {
                let wait = scene.wait();
                scene.pass(wait);
                scene.charge();
            }
            scene
        }

        fn wait(&mut self) -> i64 {
            self.buckets.wait(1, self.now)
        }

        fn charge(&mut self) -> Charge {
            self.buckets.charge(1, self.now)
        }

        fn pass(&mut self, millis: i64) {
            self.now = self.now.plus_millis(millis);
        }
    }

    #[test]
    fn the_wait_doubles_after_five_free_failures_up_to_a_quarter_of_an_hour() {
        let mut scene = Scene::after(5);
        assert_eq!(scene.wait(), 0);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            scene.charge();
            assert_eq!(scene.wait(), seconds * 1_000);
            scene.pass(seconds * 1_000 - 1);
            assert_eq!(scene.wait(), 1);
            scene.pass(1);
            assert_eq!(scene.wait(), 0);
        }
        assert_eq!(back_off(u32::MAX, FREE_FAILURES), 900_000);
    }

    #[test]
    fn failures_are_forgotten_an_hour_after_the_last() {
        let mut scene = Scene::after(6);
        scene.pass(HOUR - 1);
        assert_eq!(scene.wait(), 0);
        scene.charge();
        assert_eq!(scene.wait(), 2_000);
        scene.pass(HOUR);
        assert_eq!(scene.wait(), 0);
        assert_eq!(scene.buckets.len(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_wait_longer() {
        let mut scene = Scene::after(7);
        scene.pass(-24 * HOUR);
        assert_eq!(scene.wait(), 2_000);
        scene.pass(2_000);
        assert_eq!(scene.wait(), 0);
    }

    #[test]
    fn a_charge_that_is_given_back_leaves_the_wait_as_it_was() {
        let mut scene = Scene::after(8);
        scene.pass(4_000);
        let charge = scene.charge();
        assert_eq!(scene.wait(), 8_000);
        scene.buckets.give_back(&charge);
        assert_eq!(scene.wait(), 0);
        scene.charge();
        assert_eq!(scene.wait(), 8_000);
    }

    #[test]
    fn of_two_charges_in_one_moment_either_can_be_given_back_and_the_other_counts() {
        for first_is_given_back in [true, false] {
            let mut scene = Scene::after(4);
            scene.pass(500);
            let (first, second) = (scene.charge(), scene.charge());
            assert_eq!(scene.wait(), 1_000);
            let given_back = if first_is_given_back { first } else { second };
            scene.buckets.give_back(&given_back);
            assert_eq!(scene.wait(), 0);
            scene.charge();
            assert_eq!(scene.wait(), 1_000);
        }
    }

    #[test]
    fn charges_beyond_the_free_ones_count_from_the_last_that_stays() {
        let mut scene = Scene::after(6);
        scene.pass(1_000);
        let first = scene.charge();
        let second = scene.charge();
        scene.buckets.give_back(&first);
        assert_eq!(scene.wait(), 2_000);
        scene.buckets.give_back(&second);
        // What is left is the sixth failure: as long a wait as it has, and never a shorter one.
        assert_eq!(scene.wait(), 1_000);
    }

    #[test]
    fn what_is_given_back_late_is_not_taken_from_others() {
        let mut scene = Scene::new();
        let early = scene.charge();
        let good = scene.charge();
        scene.buckets.clear(&good);
        for _ in 0..6 {
            scene.charge();
        }
        scene.buckets.give_back(&early);
        assert_eq!(scene.wait(), 1_000);
    }

    #[test]
    fn a_bucket_without_failures_takes_no_room() {
        let mut scene = Scene::new();
        let charges = [scene.charge(), scene.charge()];
        for charge in &charges {
            scene.buckets.give_back(charge);
        }
        assert_eq!(scene.buckets.len(), 0);
    }
}
