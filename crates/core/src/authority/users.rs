//! Making, listing, changing and removing users of the embedded directory, and ending their sessions.

use serde_json::{Map, Value};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::sessions::{LONGEST_SESSION_SECONDS, SessionSettings};
use super::{Authority, Caller};
use crate::audit::{Action, Event};
use crate::clock::{CLOCK_MARGIN_SECONDS, Timestamp};
use crate::error::Error;
use crate::password::{PasswordHash, check_new_password};
use crate::random::uuid;
use crate::revocation::{Revocation, Subject};
use crate::secret::SecretText;
use crate::store::{Change, StoreError, UserQuery};
use crate::user::{UserId, UserPatch, UserRecord, UserRequest, Username, fold_username};
use sealgate_token::paseto::MAX_USER_DATA_BYTES;

/// How often a change is tried again when another one came first.
const TRIES: usize = 5;
/// Bytes of audience and issuer together that leave room for a name of 100 bytes beside
/// [`MAX_USER_DATA_BYTES`] of data.
const NAMES_WITHIN: usize = 60;
/// Most users on a page.
const MAX_PAGE: u32 = 1_000;

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// The beginning of a name.
    pub search: Option<String>,
    /// Those that may log in, or may not.
    pub is_active: Option<bool>,
    /// Where the page before ended, as it was told.
    pub cursor: Option<String>,
    /// At most so many; 100 if absent, 1,000 at most.
    pub limit: Option<u32>,
}

/// What becomes of a user in one change.
struct Changed {
    record: UserRecord,
    event: Event,
    /// The epoch that is over, if one is.
    ended: Option<i64>,
}

impl Authority {
    /// Makes a user.
    ///
    /// # Errors
    /// If a field is not well-formed, the name is taken, users come from another directory, or the
    /// store cannot be written.
    pub async fn create_user(
        &self,
        request: UserRequest,
        caller: &Caller,
    ) -> Result<UserRecord, Error> {
        if let Some(directory) = &self.directory {
            return Err(Error::Conflict(format!(
                "users come from {}: make them there",
                directory.describe()
            )));
        }
        let (username, profile) = request.check()?;
        let password = self.hash_new_password(request.password, &username).await?;
        if !self.is_started() {
            // A process that follows the feed knows them.
            self.load_revocations().await?;
        }
        let now = self.now();
        let record = UserRecord {
            id: UserId(uuid(self.random.as_ref(), now)),
            epoch: self.new_epoch(&username.folded(), now),
            username,
            profile,
            password,
            is_active: true,
            created_at: now,
            password_changed_at: now,
            last_login_at: None,
            version: 1,
        };
        check_size(&record, &self.settings.sessions)?;
        let event = user_event(caller, now, Action::UserCreated, &record, []);
        let change = Change::InsertUser(Box::new(record.clone()));
        match self.commit(vec![change], vec![event]).await {
            Ok(()) => Ok(record),
            Err(Error::Conflict(_)) => Err(Error::Conflict(format!(
                "there is a user {} already",
                record.username
            ))),
            Err(error) => Err(error),
        }
    }

    /// One user, by name.
    ///
    /// # Errors
    /// If there is none.
    pub async fn user(&self, name: &str) -> Result<UserRecord, Error> {
        let found = self.store.user(&fold_username(name)).await?;
        found.ok_or(Error::NotFound("user"))
    }

    /// A page of users in the order of their names, and where the next one starts.
    ///
    /// # Errors
    /// If the limit is out of bounds, or the store cannot be read.
    pub async fn list_users(
        &self,
        filter: &UserFilter,
    ) -> Result<(Vec<UserRecord>, Option<String>), Error> {
        let limit = filter.limit.unwrap_or(100);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", "a page has 1 to 1000 users"));
        }
        let users = self
            .store
            .users(&UserQuery {
                name: filter.search.as_deref().map(fold_username),
                is_active: filter.is_active,
                after: filter.cursor.as_deref().map(fold_username),
                limit,
            })
            .await?;
        for name in &users.damaged {
            tracing::error!(username = name, "the row of a user is damaged");
        }
        Ok((users.records, users.next))
    }

    /// Changes what the patch names. Switching a user off ends all sessions; what else is changed shows
    /// in sessions that begin after it.
    ///
    /// # Errors
    /// If a field is not well-formed, there is no such user, or nothing is named.
    pub async fn update_user(
        &self,
        name: &str,
        patch: UserPatch,
        caller: &Caller,
    ) -> Result<UserRecord, Error> {
        if patch.is_empty() {
            return Err(Error::invalid("body", "name at least one field to change"));
        }
        let now = self.now();
        let last = now.as_millis();
        self.change_user(name, |mut record| {
            let patch = patch.clone();
            let was_active = record.is_active;
            record.is_active = patch.is_active.unwrap_or(was_active);
            let fields = patch.apply(&mut record.profile)?;
            check_size(&record, &self.settings.sessions)?;
            let (action, ended) = match (was_active, record.is_active) {
                (true, false) => (Action::UserDisabled, Some(record.end_sessions(last))),
                (false, true) => (Action::UserEnabled, None),
                _ => (Action::UserUpdated, None),
            };
            let details = [("fields", Value::from(fields))];
            Ok(Changed {
                event: user_event(caller, now, action, &record, details),
                record,
                ended,
            })
        })
        .await
    }

    /// Sets a user's password, and ends all sessions.
    ///
    /// # Errors
    /// If the password is not a good one, or there is no such user.
    pub async fn set_password(
        &self,
        name: &str,
        password: SecretText,
        caller: &Caller,
    ) -> Result<UserRecord, Error> {
        let username = self.user(name).await?.username;
        let hash = self.hash_new_password(password, &username).await?;
        let now = self.now();
        let last = now.as_millis();
        self.change_user(name, |mut record| {
            record.password = hash.clone();
            record.password_changed_at = now;
            let ended = Some(record.end_sessions(last));
            Ok(Changed {
                event: user_event(caller, now, Action::UserPasswordChanged, &record, []),
                record,
                ended,
            })
        })
        .await
    }

    /// Ends all sessions of a user, of whatever directory, and forgets from where they were begun: it
    /// may have been somebody else.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn log_out_user(&self, name: &str, caller: &Caller) -> Result<(), Error> {
        let now = self.now();
        let last = self.last_epoch_to_end(name, now).await?;
        match self.store.user(&fold_username(name)).await {
            Ok(Some(_)) => {
                let changed = self.change_user(name, |mut record| {
                    let ended = Some(record.end_sessions(last));
                    Ok(Changed {
                        event: user_event(caller, now, Action::UserLoggedOut, &record, []),
                        record,
                        ended,
                    })
                });
                return changed.await.map(drop);
            }
            Ok(None) if self.directory.is_none() => return Err(Error::NotFound("user")),
            // A damaged row must not keep anybody in.
            Ok(None) | Err(StoreError::Unreadable(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let account = fold_username(name);
        let details = [("username", Value::from(name))];
        let event = caller
            .event(now, Action::UserLoggedOut, None)
            .with_details(details);
        let changes = vec![
            Self::revoke_user(account.clone(), last, now),
            Change::ForgetAddresses {
                account: account.clone(),
            },
        ];
        self.commit(changes, vec![event]).await?;
        self.known_addresses.forget(&account);
        Ok(())
    }

    /// The last epoch of a user's that has to be over for all tokens to be dead. Those of a directory
    /// outside have the time of their login for an epoch, by the clock of whichever server it was.
    async fn last_epoch_to_end(&self, name: &str, now: Timestamp) -> Result<i64, Error> {
        if !self.is_started() {
            // A process that follows the feed knows them.
            self.load_revocations().await?;
        }
        let now = now.plus_seconds(CLOCK_MARGIN_SECONDS).as_millis();
        let ended = self.revocations.last_epoch(&fold_username(name));
        Ok(ended.map_or(now, |ended| now.max(ended + 1)))
    }

    /// Removes a user, and ends all sessions.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn delete_user(&self, name: &str, caller: &Caller) -> Result<UserRecord, Error> {
        let mut tries = TRIES;
        loop {
            let record = self.user(name).await?;
            let now = self.now();
            let changes = vec![
                Change::RemoveUser {
                    id: record.id,
                    version: record.version,
                },
                Self::revoke_user(
                    record.username.folded(),
                    record.epoch.max(now.as_millis()),
                    now,
                ),
            ];
            let event = user_event(caller, now, Action::UserDeleted, &record, []);
            tries -= 1;
            match self.commit(changes, vec![event]).await {
                Ok(()) => {
                    self.known_addresses.forget(&record.username.folded());
                    return Ok(record);
                }
                Err(Error::Conflict(_)) if tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a user, changes and writes it, again if another change came between.
    async fn change_user(
        &self,
        name: &str,
        change: impl Fn(UserRecord) -> Result<Changed, Error>,
    ) -> Result<UserRecord, Error> {
        let mut tries = TRIES;
        loop {
            let Changed {
                record,
                event,
                ended,
            } = change(self.user(name).await?)?;
            let account = record.username.folded();
            let mut changes = vec![Change::UpdateUser(Box::new(record.clone()))];
            if let Some(epoch) = ended {
                changes.push(Self::revoke_user(account.clone(), epoch, self.now()));
                // Whoever began those sessions may not have been the user.
                changes.push(Change::ForgetAddresses {
                    account: account.clone(),
                });
            }
            tries -= 1;
            match self.commit(changes, vec![event]).await {
                Ok(()) => {
                    if ended.is_some() {
                        self.known_addresses.forget(&account);
                    }
                    return Ok(record);
                }
                Err(Error::Conflict(_)) if tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The epoch of a user who was not there before, or whose directory knows none: now, or later if
    /// the clock was set back since the last one ended.
    pub(super) fn new_epoch(&self, folded: &str, now: Timestamp) -> i64 {
        let ended = self.revocations.last_epoch(folded);
        ended.map_or(now.as_millis(), |ended| now.as_millis().max(ended + 1))
    }

    /// The tokens of a user's epochs up to one are dead, until the last of them has expired, whatever
    /// the settings were under which it was issued.
    fn revoke_user(name: String, epoch: i64, now: Timestamp) -> Change {
        let last_expiry = now.plus_seconds(LONGEST_SESSION_SECONDS);
        Change::Revoke(Revocation::new(Subject::User { name, epoch }, last_expiry))
    }

    async fn hash_new_password(
        &self,
        password: SecretText,
        username: &Username,
    ) -> Result<PasswordHash, Error> {
        let least = self.settings.passwords.min_length;
        check_new_password(password.expose(), least, username.as_str())?;
        Ok(self.passwords().await?.hash(password).await?)
    }
}

/// An event about a user.
fn user_event<const N: usize>(
    caller: &Caller,
    now: Timestamp,
    action: Action,
    record: &UserRecord,
    details: [(&str, Value); N],
) -> Event {
    let id: Uuid = record.id.0;
    let mut map = Map::new();
    map.insert("user_id".to_owned(), id.to_string().into());
    map.insert("username".to_owned(), record.username.as_str().into());
    map.extend(details.map(|(name, value)| (name.to_owned(), value)));
    caller.event(now, action, None).with_detail_map(map)
}

/// Whatever an administrator writes down has to fit into a token.
fn check_size(record: &UserRecord, sessions: &SessionSettings) -> Result<(), Error> {
    // What a name of the longest, an audience and an issuer leave.
    let names = sessions.audience.len() + sessions.issuer.len();
    let most = MAX_USER_DATA_BYTES - names.saturating_sub(NAMES_WITHIN);
    let data = Zeroizing::new(Value::Object(record.data().0).to_string());
    if data.len() > most {
        return Err(Error::invalid(
            "attributes",
            format!(
                "all that is known of the user has {} bytes as JSON, more than the {most} that a \
                 session token holds",
                data.len()
            ),
        ));
    }
    Ok(())
}
