//! Sessions: user data sealed under the client's key, in a token that Sealgate signs. How a session
//! token is issued, opened and renewed.

use std::net::IpAddr;
use std::sync::Arc;

use sealgate_token::jwt::IssueError;
use sealgate_token::paseto::{
    SealError, SessionClaims, SessionPolicy, TrustedSession, UntrustedSession,
};
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::sealed_by::{Seal, denied};
use super::token_cache::Fingerprint;
use super::{Allowance, Authority, Caller, SealedBy};
use crate::audit::{Action, Actor, Event, Origin};
use crate::clock::Timestamp;
use crate::error::{Denied, Error, Reason};
use crate::random::uuid;
use crate::seal_key::SealKeyRules;
use crate::secret::SecretText;

/// The longest that `sessions.max_lifetime_seconds` can be: a year.
pub const LONGEST_SESSION_SECONDS: i64 = 31_536_000;

/// What an operator decides about sessions.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// `aud` of session tokens.
    pub audience: String,
    /// `iss` of session tokens.
    pub issuer: String,
    /// How long a session lasts that is not renewed, in seconds.
    pub idle_seconds: i64,
    /// How long a line of renewals can last, in seconds.
    pub max_seconds: i64,
    /// Whether the default key is no longer taken.
    pub require_key: bool,
    /// How seal keys are written.
    pub seal_keys: SealKeyRules,
    /// Most opened sessions that are remembered.
    pub cache: usize,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            audience: "gomaluum".to_owned(),
            issuer: "gomaluum".to_owned(),
            idle_seconds: 28_800,
            max_seconds: 604_800,
            require_key: false,
            seal_keys: SealKeyRules::default(),
            cache: 10_000,
        }
    }
}

/// A session token that was verified, and its data that was opened.
pub struct OpenSession {
    token: TrustedSession,
    data: Zeroizing<String>,
    sealed_by: SealedBy,
    /// Under which generation of signing keys it was verified.
    generation: u64,
}

impl std::fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenSession({:?}, …)", self.token.jti())
    }
}

/// A user whose session was verified and opened.
#[derive(Clone, Debug)]
pub struct Session {
    open: Arc<OpenSession>,
    allowance: Option<Allowance>,
}

impl Session {
    /// The name the user logged in with.
    #[must_use]
    pub fn username(&self) -> &str {
        self.open.token.subject()
    }

    /// What the directory told of the user at login: a JSON object.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.open.data
    }

    /// Whose key the session is sealed with.
    #[must_use]
    pub fn sealed_by(&self) -> SealedBy {
        self.open.sealed_by
    }

    /// What is left of a managed seal key's rate limit, if it has one.
    #[must_use]
    pub const fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// The claims of the token.
    #[must_use]
    pub fn token(&self) -> &TrustedSession {
        &self.open.token
    }
}

/// A session token that was just issued.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The token itself.
    pub token: SecretText,
    /// The user's name.
    pub username: String,
    /// Whose key the session is sealed with.
    pub sealed_by: SealedBy,
    /// What is left of a managed seal key's rate limit, if it has one.
    pub allowance: Option<Allowance>,
}

/// What a session token is to say, before its times are settled.
pub(super) struct SessionTerms<'a> {
    pub username: &'a str,
    /// When the user gave the password, in unix seconds.
    pub auth_time: i64,
    pub epoch: i64,
    /// A JSON object.
    pub data: &'a str,
    /// The session that is renewed, if one is.
    pub renewed: Option<Uuid>,
}

/// A session token before anybody hears of it: its record has to be durable first.
pub(super) struct Draft {
    pub logged_in: LoggedIn,
    pub event: Event,
    /// Of the keys that sign.
    generation: u64,
}

impl Authority {
    /// Verifies a session token and opens its data with the seal key that came along.
    ///
    /// # Errors
    /// [`Error::Denied`] with the reason, or [`Error::Unavailable`] if the store has been out of reach
    /// for too long.
    pub async fn open_session(
        &self,
        token: &str,
        seal_key: Option<&str>,
        address: IpAddr,
    ) -> Result<Session, Error> {
        let now = self.now();
        self.ensure_fresh(now).await?;
        let print = self.session_print(token, seal_key);
        if let Some(open) = self.sessions.find(print)
            && let Some(session) = self.remembered(open, address, now)?
        {
            return Ok(session);
        }
        let mut generation = self.session_keys.generation();
        let mut trusted = self.verify_session(token, now).await?;
        let seal = self.seal(seal_key, address).await?;
        // The store may have been asked for the seal key meanwhile, for however long that took.
        self.ensure_fresh(self.now()).await?;
        while generation != self.session_keys.generation() {
            generation = self.session_keys.generation();
            trusted = self.verify_session(token, self.now()).await?;
        }
        self.check_alive(&trusted, self.now())?;
        if let Some(key_id) = seal.sealed_by.key_id() {
            let held = self.ring.held(key_id).ok_or(Denied::unknown_key())?;
            self.check_held(&held, address, self.now())?;
        }
        let data = seal.data_key.open(trusted.jti(), trusted.data());
        let data = data.map_err(|_| Denied {
            reason: Reason::WrongSealKey {
                username: trusted.subject().to_owned(),
            },
            key_id: seal.sealed_by.key_id(),
        })?;
        let open = Arc::new(OpenSession {
            token: trusted,
            data,
            sealed_by: seal.sealed_by,
            generation,
        });
        self.sessions.insert(print, &open);
        Ok(Session {
            open,
            allowance: seal.allowance,
        })
    }

    /// Opens a session that was opened before; nothing if it was not, or something has changed since.
    /// Nothing was counted then.
    pub fn open_session_now(
        &self,
        token: &str,
        seal_key: Option<&str>,
        address: IpAddr,
        now: Timestamp,
    ) -> Option<Result<Session, Denied>> {
        if !self.is_fresh(now) {
            return None;
        }
        let open = self.sessions.find(self.session_print(token, seal_key))?;
        self.remembered(open, address, now).transpose()
    }

    fn session_print(&self, token: &str, seal_key: Option<&str>) -> Fingerprint {
        let default_key = self.settings.sessions.seal_keys.default_key.expose();
        self.sessions
            .fingerprint_of_both(token, seal_key.unwrap_or(default_key))
    }

    /// A session that was opened before, if nothing has changed that would need another look; refused
    /// if it is over by now.
    fn remembered(
        &self,
        open: Arc<OpenSession>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Option<Session>, Denied> {
        if open.generation != self.session_keys.generation() {
            return Ok(None);
        }
        self.check_alive(&open.token, now)?;
        let allowance = match open.sealed_by {
            SealedBy::Managed(key_id) => match self.check_managed_seal(key_id, address, now) {
                Some(checked) => checked?,
                None => return Ok(None),
            },
            _ => None,
        };
        Ok(Some(Session { open, allowance }))
    }

    /// Verifies a session token's signature and claims; its data stays sealed.
    pub(super) async fn verify_session(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<TrustedSession, Error> {
        let invalid = |invalid: sealgate_token::jwt::InvalidToken| {
            denied(Reason::InvalidToken(invalid.reason()))
        };
        let untrusted = UntrustedSession::parse(token).map_err(invalid)?;
        let key = self.session_key(untrusted.claimed_kid(), now).await?;
        let key = key.ok_or(denied(Reason::InvalidToken("unknown_signing_key")))?;
        // The store may have been asked for it.
        let now = self.now();
        self.ensure_fresh(now).await?;
        let SessionSettings {
            audience, issuer, ..
        } = &self.settings.sessions;
        let policy = SessionPolicy::new(audience, issuer);
        let trusted = untrusted
            .verify(key.signing.verifying_key(), &policy, now.as_seconds())
            .map_err(invalid)?;
        self.check_alive(&trusted, now)?;
        Ok(trusted)
    }

    fn check_alive(&self, token: &TrustedSession, now: Timestamp) -> Result<(), Denied> {
        let lifetime = now.as_seconds().saturating_sub(token.auth_time());
        let slug = if let Err(invalid) = token.check_time(now.as_seconds()) {
            invalid.reason()
        } else if lifetime >= self.settings.sessions.max_seconds {
            // The token is from a time when it was longer.
            "lifetime_over"
        } else if self.revocations.has_token(token.session_id()) {
            "session_ended"
        } else if self.revocations.has_user(token.subject(), token.epoch()) {
            "sessions_ended"
        } else {
            return Ok(());
        };
        Err(denied(Reason::InvalidToken(slug)))
    }

    /// Renews a session: the same user data under the same key, a later expiry, never past the longest
    /// lifetime counted from the login.
    ///
    /// # Errors
    /// As [`Self::open_session`], or if the lifetime is used up or the record cannot be written.
    pub async fn renew_session(
        &self,
        token: &str,
        seal_key: Option<&str>,
        address: IpAddr,
        origin: &Origin,
    ) -> Result<LoggedIn, Error> {
        loop {
            let session = self.open_session(token, seal_key, address).await?;
            let renewed = self.renew_open_session(&session, seal_key, origin).await?;
            if let Some(logged_in) = renewed {
                return Ok(logged_in);
            }
            // The keys that sign were changed meanwhile: the one that signed this may be gone.
        }
    }

    /// Renews a session; nothing if the keys that sign are others than those that it was verified by.
    async fn renew_open_session(
        &self,
        session: &Session,
        seal_key: Option<&str>,
        origin: &Origin,
    ) -> Result<Option<LoggedIn>, Error> {
        let claims = session.token();
        let seal = self.seal_again(seal_key, session)?;
        let terms = SessionTerms {
            username: claims.subject(),
            auth_time: claims.auth_time(),
            epoch: claims.epoch(),
            data: session.data(),
            renewed: Some(claims.session_id()),
        };
        let draft = self.draft_session(&terms, &seal, Action::SessionRenewed, origin)?;
        if draft.generation != session.open.generation {
            return Ok(None);
        }
        self.commit(Vec::new(), vec![draft.event]).await?;
        Ok(Some(draft.logged_in))
    }

    /// Writes a session token, and its record.
    pub(super) fn draft_session(
        &self,
        terms: &SessionTerms<'_>,
        seal: &Seal,
        action: Action,
        origin: &Origin,
    ) -> Result<Draft, Error> {
        let now = self.now();
        let claims = self.session_claims(terms, seal, now)?;
        let (key, generation) = self
            .session_keys
            .current(now)
            .ok_or_else(|| Error::Internal("there is no key to sign sessions with".to_owned()))?;
        let token = key.signing.issue(&claims).map_err(|error| match error {
            IssueError::TooLong => too_long(terms.data),
            other => Error::Internal(format!("a session could not be issued: {other}")),
        })?;
        let event = user_caller(terms.username, origin)
            .event(now, action, seal.sealed_by.key_id())
            .with_details([
                ("jti", Value::from(claims.jti.to_string())),
                ("sid", Value::from(claims.sid.to_string())),
                ("seal_key", Value::from(seal.sealed_by.kind())),
                ("expires_in", Value::from(claims.exp - claims.iat)),
            ]);
        Ok(Draft {
            logged_in: LoggedIn {
                token: SecretText::new(token),
                username: terms.username.to_owned(),
                sealed_by: seal.sealed_by,
                allowance: seal.allowance,
            },
            event,
            generation,
        })
    }

    fn session_claims(
        &self,
        terms: &SessionTerms<'_>,
        seal: &Seal,
        now: Timestamp,
    ) -> Result<SessionClaims, Error> {
        let settings = &self.settings.sessions;
        let iat = now.as_seconds();
        let exp = (iat + settings.idle_seconds)
            .min(terms.auth_time + settings.max_seconds)
            .min(seal.honoured_until.map_or(i64::MAX, Timestamp::as_seconds))
            .max(iat + 1);
        let jti = uuid(self.random.as_ref(), now);
        Ok(SessionClaims {
            aud: settings.audience.clone(),
            iss: settings.issuer.clone(),
            sub: terms.username.to_owned(),
            iat,
            nbf: iat,
            exp,
            jti,
            sid: terms.renewed.unwrap_or(jti),
            auth_time: terms.auth_time,
            epoch: terms.epoch,
            data: seal_data(seal, jti, terms.data)?,
        })
    }

    /// Forgets what is over: revocations whose tokens have expired, opened sessions that have, keys
    /// that verify no more.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn forget_sessions(&self) -> Result<(), Error> {
        const AT_ONCE: u32 = 1_000;
        let now = self.now();
        self.sessions
            .retain(|open| self.check_alive(&open.token, now).is_ok());
        self.revocations.forget_expired(now);
        loop {
            let forgotten = self.store.forget_revocations(now, AT_ONCE).await;
            if self.noted(forgotten)? < u64::from(AT_ONCE) {
                break;
            }
        }
        self.ring.forget_ended(now, self.settings.token_seconds);
        self.forget_server_keys().await?;
        self.forget_session_keys().await
    }

    /// How many tokens, sessions and users' epochs are known to be ended before they expire.
    #[must_use]
    pub fn revocation_count(&self) -> usize {
        self.revocations.len()
    }

    /// Reads every revocation that is still needed.
    pub(super) async fn load_revocations(&self) -> Result<(), Error> {
        const AT_ONCE: u32 = 5_000;
        let mut after: Option<String> = None;
        loop {
            let page = self
                .store
                .revocations_after(after.as_deref(), AT_ONCE)
                .await?;
            self.revocations.add(&page);
            match page.last() {
                Some(last) if page.len() == AT_ONCE as usize => after = Some(last.subject.name()),
                _ => return Ok(()),
            }
        }
    }
}

/// The user as the audit log wants it.
pub(super) fn user_caller(username: &str, origin: &Origin) -> Caller {
    Caller {
        actor: Actor::User(username.to_owned()),
        origin: origin.clone(),
        status: Some(200),
    }
}

fn seal_data(seal: &Seal, jti: Uuid, data: &str) -> Result<String, Error> {
    seal.data_key.seal(jti, data).map_err(|error| match error {
        SealError::TooLong => too_long(data),
        other => Error::Internal(format!("user data could not be sealed: {other}")),
    })
}

/// What the embedded directory holds fits, unless audience and issuer are very long; what another one
/// answers may not.
fn too_long(data: &str) -> Error {
    Error::DirectoryUnavailable(format!(
        "what it tells of the user has {} bytes, more than a session token can hold",
        data.len()
    ))
}
