//! Tokens that are dead before they expire: what a revocation is about ([`Subject`]), and the list of
//! them that every process keeps in memory ([`Revocations`]).
//!
//! The list is small: an entry is forgotten when the last token that it is about has expired.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use sealgate_token::revocations::UserHash;
use uuid::Uuid;

use crate::clock::{CLOCK_MARGIN_SECONDS, Timestamp};

/// What is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One access token by its `jti`, or all tokens of one session by its `sid`.
    Token(Uuid),
    /// The tokens of a user, up to an epoch.
    User {
        /// The user's name, folded.
        name: String,
        /// The last epoch that is over.
        epoch: i64,
    },
}

impl Subject {
    /// The name under which the store keeps it: there is one entry for each token and each user.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Token(jti) => format!("token:{jti}"),
            Self::User { name, .. } => format!("user:{name}"),
        }
    }

    /// The epoch, of a user's.
    #[must_use]
    pub const fn epoch(&self) -> Option<i64> {
        match self {
            Self::Token(_) => None,
            Self::User { epoch, .. } => Some(*epoch),
        }
    }

    /// Reads back what [`Self::name`] and [`Self::epoch`] gave.
    #[must_use]
    pub fn parse(name: &str, epoch: Option<i64>) -> Option<Self> {
        match (name.split_once(':')?, epoch) {
            (("token", jti), None) => Uuid::from_str(jti).ok().map(Self::Token),
            (("user", name), Some(epoch)) => {
                let name = name.to_owned();
                Some(Self::User { name, epoch })
            }
            _ => None,
        }
    }
}

/// A subject that is dead until its last token would have expired anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What is dead.
    pub subject: Subject,
    /// From when on the entry is needed no more.
    pub expires_at: Timestamp,
}

impl Revocation {
    /// A subject that is dead, the last of whose tokens expires at a moment.
    #[must_use]
    pub const fn new(subject: Subject, last_expiry: Timestamp) -> Self {
        Self {
            subject,
            expires_at: last_expiry.plus_seconds(CLOCK_MARGIN_SECONDS),
        }
    }
}

/// Every revocation that is still needed.
#[derive(Default)]
pub struct Revocations {
    /// So that nobody takes a lock for an empty list.
    count: AtomicUsize,
    lists: RwLock<Lists>,
    /// Grows with each change.
    generation: AtomicU64,
    /// What users' names are hashed with where they are published.
    salt: [u8; 16],
}

#[derive(Default)]
struct Lists {
    tokens: HashMap<Uuid, Timestamp>,
    users: HashMap<String, Ended>,
}

#[derive(Clone, Copy)]
struct Ended {
    epoch: i64,
    expires_at: Timestamp,
    /// Of the name; made once, since a list has a hundred thousand perhaps.
    hash: UserHash,
}

/// What is revoked, to be published.
pub(crate) struct Published {
    /// Tokens and sessions.
    pub tokens: Vec<Uuid>,
    /// Users, with the last epoch that is over.
    pub users: Vec<(UserHash, i64)>,
}

impl Revocations {
    /// None yet.
    #[must_use]
    pub fn new(salt: [u8; 16]) -> Self {
        Self {
            salt,
            ..Self::default()
        }
    }

    /// What users' names are hashed with where they are published.
    #[must_use]
    pub const fn salt(&self) -> [u8; 16] {
        self.salt
    }

    /// Grows with each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Everything but users that were ended so long ago that their entry is for other settings than
    /// those of now: whose entry expires before then.
    pub(crate) fn published(&self, users_from: Timestamp) -> Published {
        self.read(|lists| Published {
            tokens: lists.tokens.keys().copied().collect(),
            users: lists
                .users
                .values()
                .filter(|ended| users_from <= ended.expires_at)
                .map(|ended| (ended.hash, ended.epoch))
                .collect(),
        })
    }

    /// Whether a token, or a session, was revoked.
    #[must_use]
    pub fn has_token(&self, jti: Uuid) -> bool {
        !self.is_empty() && self.read(|lists| lists.tokens.contains_key(&jti))
    }

    /// Whether an epoch of a user's is over; the name as it stands in the token.
    #[must_use]
    pub fn has_user(&self, name: &str, epoch: i64) -> bool {
        !self.is_empty()
            && self.read(|lists| {
                !lists.users.is_empty()
                    && lists
                        .users
                        .get(&crate::user::fold_username(name))
                        .is_some_and(|ended| epoch <= ended.epoch)
            })
    }

    /// The last epoch of a user's that is over, as far as known; the folded name.
    #[must_use]
    pub fn last_epoch(&self, name: &str) -> Option<i64> {
        self.read(|lists| lists.users.get(name).map(|ended| ended.epoch))
    }

    /// Takes revocations in. Of two of one user the later epoch stays.
    pub fn add(&self, revocations: &[Revocation]) {
        if revocations.is_empty() {
            return;
        }
        let mut is_news = false;
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        for Revocation {
            subject,
            expires_at,
        } in revocations
        {
            match subject {
                Subject::Token(jti) => {
                    is_news |= lists.tokens.insert(*jti, *expires_at).is_none();
                }
                Subject::User { name, epoch } => {
                    let ended = lists.users.entry(name.clone()).or_insert_with(|| Ended {
                        epoch: i64::MIN,
                        expires_at: *expires_at,
                        hash: UserHash::of(&self.salt, name),
                    });
                    is_news |= *epoch > ended.epoch;
                    ended.epoch = ended.epoch.max(*epoch);
                    ended.expires_at = ended.expires_at.max(*expires_at);
                }
            }
        }
        self.count
            .store(lists.tokens.len() + lists.users.len(), Ordering::Release);
        if is_news {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Forgets what has expired.
    pub fn forget_expired(&self, now: Timestamp) {
        if self.is_empty() {
            return;
        }
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        lists.tokens.retain(|_, expires_at| *expires_at > now);
        lists.users.retain(|_, ended| ended.expires_at > now);
        let count = lists.tokens.len() + lists.users.len();
        if self.count.swap(count, Ordering::AcqRel) != count {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read<T>(&self, look: impl FnOnce(&Lists) -> T) -> T {
        look(&self.lists.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocations({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Timestamp = Timestamp::from_seconds(10);
    const LATER: Timestamp = Timestamp::from_seconds(20);

    fn user(name: &str, epoch: i64, expires_at: Timestamp) -> Revocation {
        let name = name.to_owned();
        Revocation {
            subject: Subject::User { name, epoch },
            expires_at,
        }
    }

    #[test]
    fn a_revoked_token_is_known_until_it_would_have_expired() {
        let list = Revocations::default();
        let jti = Uuid::from_u128(7);
        assert!(!list.has_token(jti));
        list.add(&[Revocation {
            subject: Subject::Token(jti),
            expires_at: SOON,
        }]);
        assert!(list.has_token(jti) && !list.has_token(Uuid::from_u128(8)));
        list.forget_expired(Timestamp::from_seconds(9));
        assert!(list.has_token(jti));
        list.forget_expired(SOON);
        assert!(!list.has_token(jti) && list.is_empty());
    }

    #[test]
    fn of_a_user_all_epochs_up_to_the_last_that_ended_are_dead() {
        let list = Revocations::default();
        list.add(&[user("ada", 5, LATER), user("ada", 3, SOON)]);
        for (name, epoch, is_dead) in [
            ("ada", 5, true),
            ("Ada", 4, true),
            ("ada", 6, false),
            ("bob", 1, false),
        ] {
            assert_eq!(list.has_user(name, epoch), is_dead, "{name} {epoch}");
        }
        list.forget_expired(SOON);
        assert!(list.has_user("ada", 5));
        list.forget_expired(LATER);
        assert_eq!(list.len(), 0);
    }

    #[test]
    fn a_subject_reads_back_from_its_name() {
        for subject in [
            Subject::Token(Uuid::from_u128(1)),
            Subject::User {
                name: "a:b@c".to_owned(),
                epoch: 4,
            },
        ] {
            assert_eq!(
                Subject::parse(&subject.name(), subject.epoch()),
                Some(subject)
            );
        }
        for (name, epoch) in [
            ("token:x", None),
            ("user:ada", None),
            ("ada", Some(1)),
            ("key:1", None),
        ] {
            assert_eq!(Subject::parse(name, epoch), None);
        }
    }
}
