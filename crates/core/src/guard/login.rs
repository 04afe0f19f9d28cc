//! The back-off of logins: [`LoginGuard`] counts failures by account and by address.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recent::{Fingerprint, Fingerprints, Recent};
use super::{Network, TooMany};
use crate::clock::{Clock, Timestamp};
use crate::random::Random;

/// Failures that are followed by no wait: who mistypes a few times does not notice the guard.
const FREE_FAILURES: u32 = 5;
/// The wait after the first failure that is not free; it doubles with each further one.
const FIRST_WAIT_MILLIS: i64 = 1_000;
/// The longest wait: four guesses an hour, for as long as they go on.
const LONGEST_WAIT_MILLIS: i64 = 15 * 60_000;
/// How long after the last failure all of them are forgotten.
const FORGOTTEN_AFTER_MILLIS: i64 = 60 * 60_000;
/// Buckets held, at most: some 6 MB.
const BUCKETS: usize = 100_000;

/// Admits logins, and makes whoever guesses wait.
///
/// Failures are counted in buckets. A login from an address that the account is not known from
/// counts in two, the account's and the network's, and waits for both. A login from a known address
/// counts in one of its own, for this account from this network, and waits for that alone: nobody
/// elsewhere can keep a user out, and neither can another account's user behind the same address.
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
/// each of them has to wait as well, while nobody tries that account. Those failures, spent on it
/// with patience, would have been worth more. Nobody is kept out by a flood.
pub struct LoginGuard(Arc<Shared>);

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
            buckets: Mutex::new(Buckets {
                recent: Recent::new(BUCKETS),
                charges: 0,
            }),
        }))
    }

    /// Admits an attempt to log in, and counts it as a failure until it turns out to be none, so that
    /// many at once are no more than many one after the other.
    ///
    /// `is_known` says that a login of this account has succeeded from the address's [`Network`]
    /// before. Account names differ by more than their case.
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
        let wait = prints.iter().map(|print| buckets.wait(*print, now)).max();
        if let Some(wait) = wait.filter(|wait| *wait > 0) {
            return Err(TooMany::wait_millis(wait));
        }
        let charges = prints.iter().map(|print| buckets.charge(*print, now));
        Ok(Admission {
            charges: charges.collect(),
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
    charges: Vec<Charge>,
}

impl Admission {
    /// The password was right. For a known address that clears its bucket. For another it takes
    /// back this attempt alone: who has a password of their own must not be able to wipe out the
    /// failures that the address has on other accounts, or that others have on this one.
    pub fn succeeded(self) {
        if self.is_known {
            let mut buckets = self.guard.lock();
            for charge in &self.charges {
                buckets.recent.remove(charge.print);
            }
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
    fn prints(&self, account: &str, address: IpAddr, is_known: bool) -> Vec<Fingerprint> {
        let account = account.to_lowercase();
        let network = Network::of(address).to_string();
        let (account, network) = (account.as_bytes(), network.as_bytes());
        if is_known {
            vec![self.fingerprints.of(&[b"pair", account, network])]
        } else {
            vec![
                self.fingerprints.of(&[b"account", account]),
                self.fingerprints.of(&[b"network", network]),
            ]
        }
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Buckets {
    recent: Recent<Bucket>,
    /// Charges made so far, in all buckets: each has a number.
    charges: u64,
}

/// The failures of one account, network or pair.
struct Bucket {
    failures: u32,
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
struct Charge {
    print: Fingerprint,
    number: u64,
    before: Option<Mark>,
}

impl Buckets {
    /// Milliseconds until the bucket admits another attempt.
    fn wait(&mut self, print: Fingerprint, now: Timestamp) -> i64 {
        let Some(bucket) = self.recent.find(print) else {
            return 0;
        };
        // A clock that was set back must not make a wait longer than it is.
        bucket.latest.at = bucket.latest.at.min(now);
        if bucket.latest.at.plus_millis(FORGOTTEN_AFTER_MILLIS) <= now {
            self.recent.remove(print);
            return 0;
        }
        let until = bucket.latest.at.plus_millis(back_off(bucket.failures));
        until.as_millis().saturating_sub(now.as_millis()).max(0)
    }

    fn charge(&mut self, print: Fingerprint, now: Timestamp) -> Charge {
        self.charges += 1;
        let number = self.charges;
        let latest = Mark { number, at: now };
        let before = if let Some(bucket) = self.recent.find(print) {
            bucket.failures = bucket.failures.saturating_add(1);
            Some(std::mem::replace(&mut bucket.latest, latest))
        } else {
            let bucket = Bucket {
                failures: 1,
                first: number,
                latest,
            };
            self.recent.insert(print, bucket);
            None
        };
        Charge {
            print,
            number,
            before,
        }
    }

    fn give_back(&mut self, charge: &Charge) {
        let Some(bucket) = self.recent.find(charge.print) else {
            return;
        };
        if charge.number < bucket.first {
            // The bucket was emptied meanwhile, and what is in it now is others'.
            return;
        }
        bucket.failures -= 1;
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

/// Milliseconds to wait after so many failures.
fn back_off(failures: u32) -> i64 {
    match failures.checked_sub(FREE_FAILURES + 1) {
        None => 0,
        Some(doublings) => (FIRST_WAIT_MILLIS << doublings.min(20)).min(LONGEST_WAIT_MILLIS),
    }
}

#[cfg(test)]
mod tests;
