//! From where an account's logins have succeeded: what the store said, remembered for a minute, so
//! that a flood of logins is not one of questions to the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Network;
use super::recent::{Fingerprint, Fingerprints, Recent};
use crate::clock::{Clock, Timestamp};
use crate::random::Random;
use crate::user::fold_username;

/// Networks of one account that count as known, at most: the newest.
pub const MOST_NETWORKS: usize = 20;

/// Accounts remembered, at most.
const ACCOUNTS: usize = 10_000;
/// How long what the store said is good for. Another process may have learnt of a network since.
const FRESH_FOR_MILLIS: i64 = 60_000;

/// The known networks of the accounts that were asked for last.
pub struct KnownAddresses {
    clock: Arc<dyn Clock>,
    fingerprints: Fingerprints,
    accounts: Mutex<Recent<Learnt>>,
}

struct Learnt {
    networks: Arc<[Network]>,
    at: Timestamp,
}

impl KnownAddresses {
    /// Knows nothing yet.
    pub fn new(clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        Self {
            clock,
            fingerprints: Fingerprints::new(random),
            accounts: Mutex::new(Recent::new(ACCOUNTS)),
        }
    }

    /// The networks of an account, newest first; nothing if the store has to be asked.
    #[must_use]
    pub fn known(&self, account: &str) -> Option<Arc<[Network]>> {
        let print = self.print(account);
        let now = self.clock.now();
        let mut accounts = self.lock();
        let learnt = accounts.find(print).filter(|learnt| learnt.is_fresh(now))?;
        Some(Arc::clone(&learnt.networks))
    }

    /// Takes what the store says of an account, newest first; for an account that does not exist,
    /// that is nothing.
    pub fn learn(&self, account: &str, mut networks: Vec<Network>) {
        networks.truncate(MOST_NETWORKS);
        let learnt = Learnt {
            networks: networks.into(),
            at: self.clock.now(),
        };
        self.lock().insert(self.print(account), learnt);
    }

    /// Adds a network from which a login has just succeeded. Where nothing is remembered of the
    /// account, the store will say it.
    pub fn add(&self, account: &str, network: Network) {
        let print = self.print(account);
        let mut accounts = self.lock();
        if let Some(learnt) = accounts.find(print) {
            let others = learnt.networks.iter().filter(|known| **known != network);
            learnt.networks = std::iter::once(&network)
                .chain(others)
                .copied()
                .take(MOST_NETWORKS)
                .collect();
        }
    }

    /// Forgets an account, whose networks were removed from the store.
    pub fn forget(&self, account: &str) {
        self.lock().remove(self.print(account));
    }

    fn print(&self, account: &str) -> Fingerprint {
        self.fingerprints.of(&[fold_username(account).as_bytes()])
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Learnt>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Learnt {
    /// Also not if the clock was set back since.
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.at <= now && now < self.at.plus_millis(FRESH_FOR_MILLIS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::random::SeededRandom;

    fn addresses() -> (KnownAddresses, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_700_000_000)));
        let known = KnownAddresses::new(clock.clone(), &SeededRandom::new(1));
        (known, clock)
    }

    fn network(last: u8) -> Network {
        Network::of([203, 0, 113, last].into())
    }

    #[test]
    fn what_the_store_said_is_good_for_a_minute() {
        let (addresses, clock) = addresses();
        assert_eq!(addresses.known("amina"), None);
        addresses.learn("amina", vec![network(1)]);
        addresses.learn("nobody", Vec::new());
        clock.advance_millis(59_999);
        assert_eq!(addresses.known("Amina").as_deref(), Some(&[network(1)][..]));
        assert_eq!(addresses.known("nobody").as_deref(), Some(&[][..]));
        clock.advance_millis(1);
        assert_eq!(addresses.known("amina"), None);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_the_store_be_asked() {
        let (addresses, clock) = addresses();
        addresses.learn("amina", vec![network(1)]);
        clock.advance_millis(-1);
        assert_eq!(addresses.known("amina"), None);
    }

    #[test]
    fn a_new_network_is_known_at_once_and_the_oldest_of_too_many_no_more() {
        let (addresses, _clock) = addresses();
        addresses.add("amina", network(1));
        assert_eq!(addresses.known("amina"), None);
        addresses.learn("amina", (0..30).map(network).collect());
        addresses.add("amina", network(99));
        addresses.add("amina", network(5));
        let known = addresses.known("amina").unwrap();
        assert_eq!(known.len(), MOST_NETWORKS);
        assert_eq!(known[..3], [network(5), network(99), network(0)]);
        assert_eq!(
            known.iter().filter(|known| **known == network(5)).count(),
            1
        );
        assert_eq!(known.last(), Some(&network(18)));
    }

    #[test]
    fn an_account_that_is_forgotten_is_asked_for_again() {
        let (addresses, _clock) = addresses();
        addresses.learn("amina", vec![network(1)]);
        addresses.forget("AMINA");
        assert_eq!(addresses.known("amina"), None);
    }

    #[test]
    fn a_flood_of_accounts_fills_no_memory() {
        let (addresses, _clock) = addresses();
        for n in 0..3 * ACCOUNTS {
            addresses.learn(&n.to_string(), Vec::new());
        }
        assert!(addresses.lock().len() <= ACCOUNTS);
    }
}
