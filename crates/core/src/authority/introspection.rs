//! What a service that was handed a token may ask: whether it is good now and for what (RFC 7662), and
//! that it be good no longer (RFC 7009). Nothing of this is a use of the token by its holder: it counts
//! as none, takes nothing off a limit, and does not look at the address that asks.

use std::sync::Arc;

use sealgate_token::jwt::TrustedClaims;
use sealgate_token::paseto::TrustedSession;
use uuid::Uuid;

use super::verify::AccessToken;
use super::{Authority, Caller, Unsettled};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::{InvalidKey, KeyId, PresentedKey};
use crate::keyring::Held;
use crate::permission::granted_by_both;

/// The permission set that grants everything.
const EVERYTHING: &str = "*";

/// Until when a key is honoured that does not expire.
const FOREVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// What can be told of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// It is not good now. Why not is not told: the answer is the same as for what is no token at all.
    Inactive,
    /// It is good now.
    Active(Box<ActiveToken>),
}

/// A token that is good now. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveToken {
    /// Of which kind it is.
    pub kind: TokenKind,
    /// What it allows now; sessions have no permissions.
    pub scope: Option<String>,
    /// The managed key that it is, or was issued for.
    pub client_id: Option<KeyId>,
    /// The user's name, of a session.
    pub username: Option<String>,
    /// Whom it stands for: the key's identifier, or the user's name.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Whom it is for, of a session.
    pub audience: Option<String>,
    /// When it was issued.
    pub issued_at: Option<i64>,
    /// The first second at which it is good, where it says so.
    pub not_before: Option<i64>,
    /// The first second at which it is dead, if that is known beforehand.
    pub expires_at: Option<i64>,
    /// The token's own identifier; a key has none besides its own.
    pub jti: Option<Uuid>,
}

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A session token.
    Session,
    /// A managed key.
    Key,
}

impl TokenKind {
    /// The kind in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Session => "session_token",
            Self::Key => "api_key",
        }
    }

    /// Of which kind a text would be, by its form alone. What looks like nothing at all is taken for an
    /// access token, and found to be none.
    fn of(token: &str) -> Self {
        if token.starts_with("v4.public.") {
            Self::Session
        } else if matches!(PresentedKey::parse(token), Err(InvalidKey::Form)) {
            Self::Access
        } else {
            Self::Key
        }
    }
}

/// What came of a token that was to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The access token is dead.
    Token,
    /// The session is over, with all its tokens.
    Session,
    /// There was nothing to do: the token was not good anyway.
    Nothing,
    /// It is written as a managed key. Keys are revoked by their identifier, with a reason.
    ManagedKey,
}

impl Authority {
    /// Tells whether a token, or a managed key, is good now, and for what. The user data of a session
    /// stays sealed; whether its seal key is still honoured cannot be told without that key.
    ///
    /// # Errors
    /// If the store has been out of reach for too long, or cannot be asked; never because of the token.
    pub async fn introspect(&self, token: &str) -> Result<Introspection, Error> {
        let now = self.now();
        self.ensure_fresh(now).await?;
        let described = match TokenKind::of(token) {
            TokenKind::Access => {
                let look = |now| self.honoured_token(token, now);
                let found = self.settle(now, look).await;
                found.map(|(held, token)| describe_access(&held, &token.claims))
            }
            TokenKind::Session => {
                let session = self.verify_session(token, now).await;
                session.map(|session| describe_session(&session))
            }
            TokenKind::Key => {
                let look = |now| self.honoured_key(token, now);
                let held = self.settle(now, look).await;
                held.map(|held| describe_key(&held, &self.settings.issuer))
            }
        };
        match described {
            Ok(active) => Ok(Introspection::Active(Box::new(active))),
            Err(Error::Denied(_)) => Ok(Introspection::Inactive),
            Err(error) => Err(error),
        }
    }

    /// Revokes a token that somebody presents who is not its holder: an access token itself, or the
    /// whole session of a session token. An access token is revoked though its key is not honoured now,
    /// since that may change again.
    ///
    /// # Errors
    /// If the store cannot be asked or written, or too much is revoked already.
    pub async fn revoke_presented(&self, token: &str, caller: &Caller) -> Result<Revoked, Error> {
        let now = self.now();
        self.ensure_fresh(now).await?;
        let revoked = match TokenKind::of(token) {
            TokenKind::Access => self.revoke_access(token, caller, now).await,
            TokenKind::Session => self.revoke_session(token, caller, now).await,
            TokenKind::Key => Ok(Revoked::ManagedKey),
        };
        match revoked {
            Err(Error::Denied(_)) => Ok(Revoked::Nothing),
            other => other,
        }
    }

    async fn revoke_access(
        &self,
        token: &str,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Revoked, Error> {
        let look = |now| self.verify_token(token, now);
        let (_, token) = self.settle(now, look).await?;
        self.end_verified_token(&token.claims, caller).await?;
        Ok(Revoked::Token)
    }

    async fn revoke_session(
        &self,
        token: &str,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Revoked, Error> {
        let session = self.verify_session(token, now).await?;
        self.end_verified_session(&session, caller).await?;
        Ok(Revoked::Session)
    }

    fn honoured_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(Held, Arc<AccessToken>), Unsettled> {
        let (held, token) = self.verify_token(token, now)?;
        self.check_honoured(&held, now)?;
        Ok((held, token))
    }

    fn honoured_key(&self, text: &str, now: Timestamp) -> Result<Held, Unsettled> {
        let held = self.verify_key(text)?;
        self.check_honoured(&held, now)?;
        Ok(held)
    }
}

/// Its rights are the fewer of two: those that it was issued with, and those that its key has now.
fn describe_access(held: &Held, claims: &TrustedClaims) -> ActiveToken {
    let issued_with = if claims.is_admin() {
        EVERYTHING
    } else {
        claims.permissions()
    };
    let expires_at = claims.expires_at().min(end_of(held).unwrap_or(i64::MAX));
    ActiveToken {
        scope: Some(granted_by_both(issued_with, scope_of(held))),
        issuer: claims.issuer().to_owned(),
        issued_at: Some(claims.issued_at()),
        expires_at: Some(expires_at),
        jti: Some(claims.jti()),
        ..of_key(TokenKind::Access, held.key_id)
    }
}

fn describe_key(held: &Held, issuer: &str) -> ActiveToken {
    ActiveToken {
        scope: Some(scope_of(held).to_owned()),
        issuer: issuer.to_owned(),
        issued_at: made_at(held.key_id),
        expires_at: end_of(held),
        ..of_key(TokenKind::Key, held.key_id)
    }
}

fn of_key(kind: TokenKind, key_id: KeyId) -> ActiveToken {
    ActiveToken {
        kind,
        scope: None,
        client_id: Some(key_id),
        username: None,
        subject: key_id.to_string(),
        issuer: String::new(),
        audience: None,
        issued_at: None,
        not_before: None,
        expires_at: None,
        jti: None,
    }
}

fn describe_session(session: &TrustedSession) -> ActiveToken {
    let name = || session.subject().to_owned();
    ActiveToken {
        kind: TokenKind::Session,
        scope: None,
        client_id: None,
        username: Some(name()),
        subject: name(),
        issuer: session.issuer().to_owned(),
        audience: Some(session.audience().to_owned()),
        issued_at: Some(session.issued_at()),
        not_before: Some(session.not_before()),
        expires_at: Some(session.expires_at()),
        jti: Some(session.jti()),
    }
}

/// What a key may do. An administrator's may do everything, whatever its permissions.
fn scope_of(held: &Held) -> &str {
    if held.profile.is_admin {
        EVERYTHING
    } else {
        held.profile.permissions.as_str()
    }
}

/// The first second at which a key is honoured no longer; none if that is not known.
fn end_of(held: &Held) -> Option<i64> {
    let end = held.honoured_until;
    (end < FOREVER).then(|| end.plus_millis(999).as_seconds())
}

/// When a key was made: its identifier tells (RFC 9562 section 5.7).
fn made_at(KeyId(id): KeyId) -> Option<i64> {
    let (seconds, _) = id.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()
}
