//! Passwords of users: hashed and checked with Argon2id (RFC 9106) by threads of their own, so that
//! no other work waits for a hash.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use thiserror::Error as ThisError;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::random::{Random, array};
use crate::secret::SecretText;

mod desk;
mod phc;
mod policy;
mod pool;

pub use phc::{HashingCost, PasswordHash};
pub use policy::check_new_password;
pub use pool::Lane;

use desk::{Desk, NoMemory};
use phc::{OUTPUT_LENGTH, SALT_LENGTH};
use pool::{Pool, Work};

/// Checks that wait for a thread, at most, in each lane and for each thread. One takes some 20 ms,
/// so that whoever waits at all is answered within about a second.
const WAITING_PER_THREAD: usize = 32;
/// Most threads that hash.
const MOST_THREADS: usize = 256;

/// Hashes and checks passwords, so many at once and no more. Dropping it ends its threads.
pub struct Passwords {
    cost: HashingCost,
    threads: usize,
    random: Arc<dyn Random>,
    pool: Pool<Job>,
}

/// What a check of a password found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is the user's password.
    pub matches: bool,
    /// Whether its hash was made at another cost than the setting's, and is to be made anew. Only a
    /// password that matches tells.
    pub needs_rehash: bool,
}

/// More passwords wait to be checked than can be in good time, or there is no memory to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("too many passwords are waiting to be checked")]
pub struct Busy {
    /// When to come back.
    pub retry_after: Duration,
}

const BUSY: Busy = Busy {
    retry_after: Duration::from_secs(1),
};

impl Passwords {
    /// Starts `max_concurrent` threads; none means half of the cores, and at least one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cost or a number out of bounds, [`Error::Internal`] if the operating
    /// system gives no threads.
    pub fn new(
        cost: HashingCost,
        max_concurrent: usize,
        random: Arc<dyn Random>,
    ) -> Result<Self, Error> {
        cost.check()?;
        let threads = match max_concurrent {
            0 => (available_parallelism().map_or(1, NonZeroUsize::get) / 2).max(1),
            1..=MOST_THREADS => max_concurrent,
            _ => return Err(Error::invalid("max_concurrent", "from 0 to 256")),
        };
        let nobodys = nobodys_hash(cost, &*random);
        let pool = Pool::start(threads, threads * WAITING_PER_THREAD, move || {
            Desk::new(cost, nobodys.clone())
        })
        .map_err(|error| Error::Internal(format!("no threads for passwords: {error}")))?;
        Ok(Self {
            cost,
            threads,
            random,
            pool,
        })
    }

    /// What a hash costs that is made now.
    #[must_use]
    pub const fn cost(&self) -> HashingCost {
        self.cost
    }

    /// How many passwords are hashed at once, at most.
    #[must_use]
    pub const fn max_concurrent(&self) -> usize {
        self.threads
    }

    /// Hashes a new password, under a salt of its own. It goes before strangers' logins: who may set
    /// a password is known.
    ///
    /// # Errors
    /// [`Busy`], at once, if too many wait already.
    pub async fn hash(&self, password: SecretText) -> Result<PasswordHash, Busy> {
        let (reply, answer) = oneshot::channel();
        let salt = array(&*self.random);
        let job = Job::Hash {
            password,
            salt,
            reply,
        };
        self.ask(Lane::Known, job, answer).await
    }

    /// Checks a password against a user's hash; against none, which is the case for a user who does
    /// not exist, the answer is no and takes as long.
    ///
    /// A no takes the time that a hash of the current cost takes, also where the user's was made at a
    /// lower one: the difference is spent, in blocks of memory filled, which is exact to within a
    /// tenth. What remains is a hash made at a higher cost than the current one: after the
    /// setting was lowered such a user's no comes later, until the password is set anew.
    ///
    /// # Errors
    /// [`Busy`], at once, if too many wait already.
    pub async fn verify(
        &self,
        password: SecretText,
        stored: Option<PasswordHash>,
        lane: Lane,
    ) -> Result<Verdict, Busy> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Verify {
            password,
            stored,
            reply,
        };
        self.ask(lane, job, answer).await
    }

    /// Whether a password to check would be turned away now: worth knowing before the user is looked up.
    ///
    /// # Errors
    /// [`Busy`] if it would.
    pub fn check_room(&self, lane: Lane) -> Result<(), Busy> {
        if self.pool.is_full(lane) {
            Err(BUSY)
        } else {
            Ok(())
        }
    }

    async fn ask<T>(
        &self,
        lane: Lane,
        job: Job,
        answer: oneshot::Receiver<Result<T, NoMemory>>,
    ) -> Result<T, Busy> {
        self.pool.submit(lane, job).map_err(|_| BUSY)?;
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(NoMemory)) | Err(_) => Err(BUSY),
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("cost", &self.cost)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The hash that stands for a user who does not exist: of no password anybody knows.
fn nobodys_hash(cost: HashingCost, random: &dyn Random) -> PasswordHash {
    let salt = array::<SALT_LENGTH>(random);
    let output = array::<OUTPUT_LENGTH>(random);
    PasswordHash::assemble(cost, &salt, &output)
}

/// What a thread is asked to do, and whom to tell.
enum Job {
    Hash {
        password: SecretText,
        salt: [u8; SALT_LENGTH],
        reply: oneshot::Sender<Result<PasswordHash, NoMemory>>,
    },
    Verify {
        password: SecretText,
        stored: Option<PasswordHash>,
        reply: oneshot::Sender<Result<Verdict, NoMemory>>,
    },
}

impl Work for Job {
    type Desk = Desk;

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
        }
    }

    fn carry_out(self, desk: &mut Desk) {
        // Whoever asked may have left meanwhile: then nobody is told.
        match self {
            Self::Hash {
                password,
                salt,
                reply,
            } => drop(reply.send(desk.hash(&password, &salt))),
            Self::Verify {
                password,
                stored,
                reply,
            } => drop(reply.send(desk.verify(&password, stored.as_ref()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use std::task::{Context, Poll, Waker};
    use tokio::task::JoinSet;

    const TINY: HashingCost = HashingCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn passwords(cost: HashingCost) -> Passwords {
        Passwords::new(cost, 1, Arc::new(SeededRandom::new(1))).unwrap()
    }

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    async fn verdict(passwords: &Passwords, password: &str, stored: &PasswordHash) -> Verdict {
        let stored = Some(stored.clone());
        passwords
            .verify(secret(password), stored, Lane::Stranger)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let passwords = passwords(TINY);
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        let yes = verdict(&passwords, "correct horse", &hash).await;
        assert!(yes.matches && !yes.needs_rehash);
        assert!(!verdict(&passwords, "correct Horse", &hash).await.matches);
        assert!(!verdict(&passwords, "", &hash).await.matches);
    }

    #[tokio::test]
    async fn the_same_password_is_hashed_under_another_salt_each_time() {
        let passwords = passwords(TINY);
        let first = passwords.hash(secret("correct horse")).await.unwrap();
        let second = passwords.hash(secret("correct horse")).await.unwrap();
        assert_ne!(first.as_str(), second.as_str());
    }

    #[tokio::test]
    async fn a_user_who_does_not_exist_has_no_password() {
        let passwords = passwords(TINY);
        for lane in [Lane::Known, Lane::Stranger] {
            let verdict = passwords.verify(secret("anything"), None, lane).await;
            let nothing = Verdict {
                matches: false,
                needs_rehash: false,
            };
            assert_eq!(verdict.unwrap(), nothing);
        }
    }

    #[tokio::test]
    async fn a_hash_of_a_lower_cost_is_to_be_made_anew_once_its_password_is_known() {
        let before = passwords(TINY);
        let hash = before.hash(secret("correct horse")).await.unwrap();
        let dearer = HashingCost { passes: 2, ..TINY };
        let after = passwords(dearer);
        let yes = verdict(&after, "correct horse", &hash).await;
        assert!(yes.matches && yes.needs_rehash);
        let no = verdict(&after, "wrong", &hash).await;
        assert!(!no.matches && !no.needs_rehash);
        let anew = after.hash(secret("correct horse")).await.unwrap();
        assert_eq!(anew.cost(), dearer);
        assert!(!verdict(&after, "correct horse", &anew).await.needs_rehash);
        // What was made for more is not made cheaper.
        let kept = verdict(&before, "correct horse", &anew).await;
        assert!(kept.matches && !kept.needs_rehash);
    }

    #[tokio::test]
    async fn many_at_once_are_all_answered() {
        let passwords = Arc::new(passwords(TINY));
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        let mut checks = JoinSet::new();
        for n in 0..WAITING_PER_THREAD {
            let (passwords, hash) = (Arc::clone(&passwords), hash.clone());
            let password = if n % 2 == 0 { "correct horse" } else { "wrong" };
            checks.spawn(async move { verdict(&passwords, password, &hash).await.matches });
        }
        let matches = checks.join_all().await;
        assert_eq!(matches.len(), WAITING_PER_THREAD);
        assert_eq!(
            matches.iter().filter(|yes| **yes).count(),
            WAITING_PER_THREAD / 2
        );
    }

    #[test]
    fn a_full_queue_is_told_at_once_and_who_leaves_makes_room() {
        let without_threads = Passwords {
            pool: Pool::start(0, 2, || unreachable!("there are no threads")).unwrap(),
            ..passwords(TINY)
        };
        let guess = |lane| Box::pin(without_threads.verify(secret("guess"), None, lane));
        let mut context = Context::from_waker(Waker::noop());
        let mut first = guess(Lane::Stranger);
        let mut second = guess(Lane::Stranger);
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        let third = guess(Lane::Stranger).as_mut().poll(&mut context);
        assert_eq!(third, Poll::Ready(Err(BUSY)));
        assert!(guess(Lane::Known).as_mut().poll(&mut context).is_pending());
        drop(first);
        let fourth = guess(Lane::Stranger).as_mut().poll(&mut context);
        assert!(fourth.is_pending());
    }

    #[test]
    fn what_is_out_of_bounds_starts_no_threads() {
        let random = || Arc::new(SeededRandom::new(1));
        let greedy = HashingCost {
            memory_kib: 100_000_000,
            ..TINY
        };
        assert!(Passwords::new(greedy, 1, random()).is_err());
        assert!(Passwords::new(TINY, 257, random()).is_err());
        assert!(Passwords::new(TINY, 0, random()).unwrap().max_concurrent() >= 1);
    }

    #[test]
    fn debug_shows_nothing_of_a_job() {
        let shown = format!("{:?}", passwords(TINY));
        assert!(!shown.contains("argon2id"), "{shown}");
    }
}
