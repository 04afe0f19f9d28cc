//! The signed list of what was revoked and has not yet expired, for services that verify tokens without
//! asking. It is made when somebody asks and something has changed, and then kept: to answer costs
//! nothing until the next change.

use std::sync::{Arc, PoisonError, RwLock};

use sealgate_token::jwt::{IssueError, Thumbprint};
use sealgate_token::revocations::{MEDIA_TYPE, RevocationClaims};

use super::Authority;
use super::server_keys::ServerKey;
use super::sessions::LONGEST_SESSION_SECONDS;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::keyring::Moment;
use crate::store::StoreError;

/// For how long a list can be gone by; it is signed anew when half of that is over.
pub const LIFETIME_SECONDS: i64 = 3_600;
/// A list with so many entries is made anew after a millisecond at the soonest, one with twice as many
/// after two: that bounds what whoever logs out again and again makes the server work, to an eighth of
/// a core. A list of a million entries is two seconds late at most, and one of a thousand never.
const ENTRIES_A_MILLISECOND: usize = 500;
/// A list of more entries is signed where it keeps no request waiting.
const SMALL: usize = 1_000;

/// A list as it is sent.
#[derive(Debug)]
pub struct SignedList {
    text: String,
    made_of: Sources,
    entries: usize,
    signed_at: Timestamp,
}

impl SignedList {
    /// What it is.
    pub const MEDIA_TYPE: &str = MEDIA_TYPE;
    /// After how many seconds a verifier should ask again.
    pub const TTL_SECONDS: u32 = 2;

    /// The list, a JSON Web Signature in the compact form.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What tells this list from every other: its signature. It changes when the content does, and when
    /// the list was signed anew, so that nobody keeps one until it expires because nothing has changed.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.text.rsplit('.').next().unwrap_or_default()
    }

    fn is_half_over(&self, now: Timestamp) -> bool {
        let until = self.signed_at.plus_seconds(LIFETIME_SECONDS / 2);
        now < self.signed_at || until <= now
    }

    /// Whether it was made so short a time ago that it is not made anew yet.
    fn is_too_new(&self, now: Timestamp) -> bool {
        let pause = i64::try_from(self.entries / ENTRIES_A_MILLISECOND).unwrap_or(i64::MAX);
        (0..pause).contains(&(now.as_millis() - self.signed_at.as_millis()))
    }
}

/// What a list was made of: how often each of it had changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sources {
    signing: (Thumbprint, u64, u64),
    content: (u64, u64),
}

/// The list of now, and whoever makes the next.
#[derive(Default)]
pub(super) struct Lists {
    current: RwLock<Option<Arc<SignedList>>>,
    making: tokio::sync::Mutex<()>,
}

impl Lists {
    fn current(&self) -> Option<Arc<SignedList>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl Authority {
    /// What was revoked and has not yet expired, signed.
    ///
    /// # Errors
    /// If this process does not know: it has not loaded all keys yet, or had no news from the store for
    /// longer than keys may be honoured without it.
    pub async fn revocation_list(&self) -> Result<Arc<SignedList>, Error> {
        self.ensure_informed().await?;
        if let Some(list) = self.good_list() {
            return Ok(list);
        }
        let _making = self.lists.making.lock().await;
        // Meanwhile the keys were lost, or somebody else made it, perhaps.
        let as_of = self.ensure_informed().await?;
        if let Some(list) = self.good_list() {
            return Ok(list);
        }
        let list = Arc::new(self.make_list(as_of).await?);
        let mut current = self
            .lists
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Some(Arc::clone(&list));
        Ok(list)
    }

    /// Makes sure that every key is known, and as it is now; tells when it was.
    async fn ensure_informed(&self) -> Result<Moment, Error> {
        self.ensure_fresh(self.now()).await?;
        let as_of = self.ring.moment();
        if self.is_loaded() {
            Ok(as_of)
        } else {
            Err(not_loaded())
        }
    }

    /// The list that there is, if it will do.
    fn good_list(&self) -> Option<Arc<SignedList>> {
        let (list, now) = (self.lists.current()?, self.now());
        let signer = self.list_signer(now)?;
        let sources = self.sources(&signer);
        let is_good = !list.is_half_over(now)
            && list.made_of.signing == sources.signing
            && (list.made_of.content == sources.content || list.is_too_new(now));
        is_good.then_some(list)
    }

    fn sources(&self, signer: &ServerKey) -> Sources {
        let generations = (
            self.server_keys.generation(),
            self.session_keys.generation(),
        );
        Sources {
            signing: (signer.signing.kid(), generations.0, generations.1),
            content: (self.revocations.generation(), self.ring.ended_generation()),
        }
    }

    async fn make_list(&self, as_of: Moment) -> Result<SignedList, Error> {
        let now = self.now();
        let signer = self
            .list_signer(now)
            .ok_or_else(|| Error::Internal("there is no key to sign lists with".to_owned()))?;
        // What is over is no change that somebody has to be told of.
        self.ring.forget_ended(now, self.settings.token_seconds);
        // Before the content: what comes in between is in the next list too.
        let made_of = self.sources(&signer);
        let claims = self.claims(now);
        // A list made of a keyring that was emptied would revoke nothing.
        if !self.ring.remembers(as_of) {
            return Err(not_loaded());
        }
        let entries = claims.keys.len() + claims.jtis.len() + claims.users.len();
        let sign = move || claims.sign(&signer.signing);
        let text = if entries <= SMALL {
            sign()
        } else {
            tokio::task::spawn_blocking(sign)
                .await
                .map_err(|_| Error::Internal("the signing of a list panicked".to_owned()))?
        };
        Ok(SignedList {
            text: text.map_err(|error| not_signed(&error))?,
            made_of,
            entries,
            signed_at: now,
        })
    }

    fn claims(&self, now: Timestamp) -> RevocationClaims {
        // An entry is kept for the longest that any setting lets a session last; those of now will do,
        // as no verifier takes the list for an answer about one that lasts longer.
        let longest = LONGEST_SESSION_SECONDS - self.settings.sessions.max_seconds;
        let published = self.revocations.published(now.plus_seconds(longest));
        let mut signers = self.token_kids(now);
        signers.extend(self.session_kids(now));
        let iat = now.as_seconds();
        RevocationClaims {
            iss: self.settings.issuer.clone(),
            iat,
            exp: iat + LIFETIME_SECONDS,
            ttl: SignedList::TTL_SECONDS,
            token_lifetime: self.settings.token_seconds,
            session_lifetime: self.settings.sessions.max_seconds,
            signers,
            keys: self.ring.ended(),
            jtis: published.tokens,
            salt: self.revocations.salt(),
            users: published.users,
        }
    }
}

fn not_loaded() -> Error {
    let why = "not all keys are loaded yet".to_owned();
    Error::Unavailable(StoreError::Unavailable(why))
}

fn not_signed(error: &IssueError) -> Error {
    Error::Internal(format!(
        "the list of revocations could not be signed: {error}"
    ))
}
