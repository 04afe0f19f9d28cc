//! Logging users in: a password is checked by the directory that the operator chose, under a guard
//! against guessing, and a session token is issued.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::sealed_by::{Seal, denied};
use super::sessions::{SessionTerms, user_caller};
use super::{Authority, LoggedIn};
use crate::audit::{Action, Actor, Event, Origin, Sighting};
use crate::error::{Error, LoginFailure, Reason};
use crate::guard::{Network, TooMany};
use crate::identity::{IdentityProvider, MAX_LOGIN_FIELD, NotIdentified};
use crate::password::{Busy, HashingCost, Lane, Passwords, Verdict};
use crate::redact::holds_secret;
use crate::secret::SecretText;
use crate::store::Change;
use crate::user::{UserRecord, fold_username};

/// Logins at a directory outside that are under way at once: strangers cannot take all places.
pub(super) struct Places {
    strangers: Semaphore,
    known: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            strangers: Semaphore::new(48),
            known: Semaphore::new(16),
        }
    }
}

impl Places {
    /// A place, if there is one.
    fn take(&self, is_known: bool) -> Option<SemaphorePermit<'_>> {
        match self.strangers.try_acquire() {
            Ok(place) => Some(place),
            Err(_) if is_known => self.known.try_acquire().ok(),
            Err(_) => None,
        }
    }
}

/// What an operator decides about passwords.
#[derive(Clone, Debug)]
pub struct PasswordSettings {
    /// What hashing one costs.
    pub cost: HashingCost,
    /// Most passwords hashed at once; half of the processor's cores if 0.
    pub max_concurrent: usize,
    /// Fewest characters of a new one.
    pub min_length: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self {
            cost: HashingCost::default(),
            max_concurrent: 0,
            min_length: 8,
        }
    }
}

/// A login as a client asks for it.
#[derive(Debug)]
pub struct Login<'a> {
    /// The user's name, as it was typed.
    pub username: &'a str,
    /// The password.
    pub password: SecretText,
    /// The seal key that came along.
    pub seal_key: Option<&'a str>,
    /// From where.
    pub address: IpAddr,
    /// The request, for the log.
    pub origin: &'a Origin,
}

/// A user whose password was right.
struct Identified {
    username: String,
    epoch: i64,
    /// A JSON object.
    data: Zeroizing<String>,
    /// The row, of a user of the embedded directory.
    record: Option<UserRecord>,
}

/// Where an attempt comes from.
struct Attempt<'a> {
    account: String,
    network: Network,
    is_known: bool,
    /// The name, for the log; not that of an account that nobody was ever logged in to: people type
    /// passwords there.
    shown: Option<&'a str>,
}

impl Authority {
    /// Checks a user's password and issues a session token.
    ///
    /// # Errors
    /// [`Error::Denied`] if the password or the seal key is not good, or there were too many attempts;
    /// [`Error::Busy`] if too many passwords are being checked; [`Error::DirectoryUnavailable`].
    pub async fn login(&self, login: Login<'_>) -> Result<LoggedIn, Error> {
        self.ensure_fresh(self.now()).await?;
        check_username(login.username)?;
        check_field("password", login.password.expose())?;
        let seal = self.seal(login.seal_key, login.address).await?;
        let attempt = self.attempt(&login).await?;
        let admitted = self
            .guard
            .admit(&attempt.account, login.address, attempt.is_known);
        let admission = admitted.map_err(|TooMany { retry_after }| {
            denied(Reason::TooManyAttempts {
                username: attempt.shown.map(str::to_owned),
                retry_after,
            })
        })?;
        let issued = match self.identify(&login, &attempt).await {
            Ok(user) => self.admit_user(&login, &attempt, user, &seal).await,
            Err(error) => Err(error),
        };
        match &issued {
            Ok(_) => admission.succeeded(),
            Err(Error::Denied(_)) => admission.failed(),
            Err(error) => {
                admission.abandoned();
                self.note_unanswered(error, &attempt, login.origin);
            }
        }
        issued
    }

    /// Puts an attempt that could not be judged on its way to the log.
    fn note_unanswered(&self, error: &Error, attempt: &Attempt<'_>, origin: &Origin) {
        let reason = match error {
            Error::Busy { .. } => "busy",
            Error::DirectoryUnavailable(_) => "directory_unavailable",
            _ => return,
        };
        let mut details = Map::new();
        details.insert("reason".to_owned(), reason.into());
        details.extend(
            attempt
                .shown
                .map(|name| ("username".to_owned(), name.into())),
        );
        let time = self.now();
        let sighting = Sighting {
            reason,
            key_id: None,
            address: origin.address,
            path: origin.path.as_deref(),
            user_agent: origin.user_agent.as_deref().map(str::as_bytes),
            about: attempt.shown,
            time,
        };
        self.refusals.add(&sighting, || {
            Event::new(time, Action::LoginFailed, None, &Actor::Anonymous)
                .from(origin)
                .with_status(503)
                .with_detail_map(details)
        });
    }

    /// Finds out whether somebody was ever logged in to the account from there.
    async fn attempt<'a>(&self, login: &Login<'a>) -> Result<Attempt<'a>, Error> {
        let account = fold_username(login.username);
        let network = Network::of(login.address);
        let known = self.known_networks(&account).await?;
        let is_fit = !known.is_empty() && !holds_secret(login.username);
        Ok(Attempt {
            is_known: known.contains(&network),
            shown: is_fit.then_some(login.username),
            account,
            network,
        })
    }

    async fn known_networks(&self, account: &str) -> Result<Arc<[Network]>, Error> {
        if let Some(known) = self.known_addresses.known(account) {
            return Ok(known);
        }
        let stored = self.store.known_addresses(account).await?;
        let read = stored.iter().filter_map(|text| text.parse().ok());
        let read: Vec<Network> = read.collect();
        self.known_addresses.learn(account, read.clone());
        Ok(read.into())
    }

    async fn identify(
        &self,
        login: &Login<'_>,
        attempt: &Attempt<'_>,
    ) -> Result<Identified, Error> {
        match &self.directory {
            Some(directory) => {
                self.identify_outside(directory.as_ref(), login, attempt)
                    .await
            }
            None => self.identify_here(login, attempt).await,
        }
    }

    /// Whatever is wrong, a password is hashed: the time tells nothing.
    async fn identify_here(
        &self,
        login: &Login<'_>,
        attempt: &Attempt<'_>,
    ) -> Result<Identified, Error> {
        let lane = if attempt.is_known {
            Lane::Known
        } else {
            Lane::Stranger
        };
        let passwords = self.passwords().await?;
        passwords.check_room(lane)?;
        let record = self.store.user(&attempt.account).await?;
        // Who may not log in is checked like who does not exist: at the same cost, always in vain.
        let stored = record.as_ref().filter(|record| record.is_active);
        let stored = stored.map(|record| record.password.clone());
        let verdict = passwords
            .verify(login.password.clone(), stored, lane)
            .await?;
        let refused = |why, username: Option<&str>| {
            let username = username.map(str::to_owned);
            denied(Reason::LoginFailed { why, username })
        };
        let Some(record) = record else {
            return Err(refused(LoginFailure::UnknownUser, attempt.shown).into());
        };
        let username = record.username.as_str();
        if !record.is_active {
            return Err(refused(LoginFailure::UserDisabled, Some(username)).into());
        }
        if !verdict.matches {
            return Err(refused(LoginFailure::WrongPassword, Some(username)).into());
        }
        let data = Value::Object(record.data().0).to_string();
        let record = self.rehashed(record, verdict, login).await;
        Ok(Identified {
            username: record.username.to_string(),
            epoch: record.epoch,
            data: Zeroizing::new(data),
            record: Some(record),
        })
    }

    async fn identify_outside(
        &self,
        directory: &dyn IdentityProvider,
        login: &Login<'_>,
        attempt: &Attempt<'_>,
    ) -> Result<Identified, Error> {
        let busy = Error::Busy {
            retry_after: Duration::from_secs(1),
        };
        let _place = self.directory_places.take(attempt.is_known).ok_or(busy)?;
        // Before the directory is asked: what ends the user's sessions meanwhile ends this one too.
        let epoch = self.new_epoch(&attempt.account, self.now());
        match directory.identify(login.username, &login.password).await {
            Ok(data) => Ok(Identified {
                username: login.username.to_owned(),
                epoch,
                data: Zeroizing::new(Value::Object(data.0).to_string()),
                record: None,
            }),
            Err(NotIdentified::Refused) => Err(denied(Reason::LoginFailed {
                why: LoginFailure::DirectoryRefused,
                username: attempt.shown.map(str::to_owned),
            })
            .into()),
            Err(NotIdentified::Unavailable(why)) => Err(Error::DirectoryUnavailable(why)),
        }
    }

    /// Issues the token, and remembers from where.
    async fn admit_user(
        &self,
        login: &Login<'_>,
        attempt: &Attempt<'_>,
        user: Identified,
        seal: &Seal,
    ) -> Result<LoggedIn, Error> {
        let now = self.now();
        let terms = SessionTerms {
            username: &user.username,
            auth_time: now.as_seconds(),
            epoch: user.epoch,
            data: &user.data,
            renewed: None,
        };
        let outdated = || {
            let why = LoginFailure::UserChanged;
            let username = Some(user.username.clone());
            denied(Reason::LoginFailed { why, username })
        };
        if self.revocations.has_user(&user.username, user.epoch) {
            return Err(outdated().into());
        }
        let draft = self.draft_session(&terms, seal, Action::SessionStarted, login.origin)?;
        let mut changes = vec![Change::KnowAddress {
            account: attempt.account.clone(),
            network: attempt.network.to_string(),
            at: now,
        }];
        if let Some(record) = &user.record {
            changes.push(Change::NoteLogin {
                id: record.id,
                epoch: record.epoch,
                at: now,
            });
        }
        match self.commit(changes, vec![draft.event]).await {
            Ok(()) => {}
            Err(Error::Conflict(_)) => return Err(outdated().into()),
            Err(error) => return Err(error),
        }
        self.known_addresses.add(&attempt.account, attempt.network);
        Ok(draft.logged_in)
    }

    /// Hashes a password anew whose hash was made for less than the settings want now. If that does
    /// not work out, the next login does it.
    async fn rehashed(
        &self,
        mut record: UserRecord,
        verdict: Verdict,
        login: &Login<'_>,
    ) -> UserRecord {
        if !verdict.needs_rehash {
            return record;
        }
        let Ok(passwords) = self.passwords().await else {
            return record;
        };
        let Ok(hash) = passwords.hash(login.password.clone()).await else {
            return record;
        };
        let mut changed = record.clone();
        changed.password = hash;
        let event = user_caller(record.username.as_str(), login.origin)
            .event(self.now(), Action::UserUpdated, None)
            .with_details([("rehashed", Value::from(true))]);
        let update = Change::UpdateUser(Box::new(changed.clone()));
        match self.commit(vec![update], vec![event]).await {
            Ok(()) => record = changed,
            Err(error) => tracing::warn!(%error, "a password could not be hashed anew"),
        }
        record
    }

    /// The threads that hash; started when they are needed first.
    pub(super) async fn passwords(&self) -> Result<&Passwords, Error> {
        let PasswordSettings {
            cost,
            max_concurrent,
            ..
        } = self.settings.passwords;
        let start = async || Passwords::new(cost, max_concurrent, self.random.clone());
        self.passwords.get_or_try_init(start).await
    }
}

impl From<Busy> for Error {
    fn from(Busy { retry_after }: Busy) -> Self {
        Self::Busy { retry_after }
    }
}

/// A directory outside may take several spellings for one name, and attempts are counted by the name.
fn check_username(text: &str) -> Result<(), Error> {
    check_field("username", text)?;
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(Error::invalid(
            "username",
            "it must have no control characters, and no space at its ends",
        ));
    }
    Ok(())
}

fn check_field(field: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.len() > MAX_LOGIN_FIELD {
        return Err(Error::invalid(field, "it must have 1 to 256 bytes"));
    }
    Ok(())
}
