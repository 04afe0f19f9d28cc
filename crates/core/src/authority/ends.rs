//! Ends of sessions and access tokens before they expire: in every process, within a second.

use std::time::Duration;

use sealgate_token::jwt::TrustedClaims;
use sealgate_token::paseto::TrustedSession;
use serde_json::Value;
use uuid::Uuid;

use super::sessions::user_caller;
use super::{Authority, Caller, Identity};
use crate::audit::{Action, Event, Origin};
use crate::clock::Timestamp;
use crate::error::{Error, Reason};
use crate::key::KeyId;
use crate::revocation::{Revocation, Subject};
use crate::store::Change;

/// Most tokens and sessions that are ended and not expired, some 100 MB in memory: more than anybody
/// logs out in the time that a session can last, and a bound for who does nothing else.
const MAX_REVOCATIONS: usize = 1_000_000;
/// How many of them access tokens may take up, which cost their holders no password.
const MAX_REVOKED_TOKENS: usize = MAX_REVOCATIONS / 2;

impl Authority {
    /// Ends a session: its tokens, all since the user gave the password, are dead in every process. The
    /// data stays sealed, so that no seal key is needed.
    ///
    /// # Errors
    /// If the token is not good any more, or the end cannot be written.
    pub async fn end_session(&self, token: &str, origin: &Origin) -> Result<(), Error> {
        let now = self.now();
        self.ensure_fresh(now).await?;
        let session = self.verify_session(token, now).await?;
        let event = user_caller(session.subject(), origin).event(now, Action::SessionEnded, None);
        let details = details_of(&session);
        self.end_whole(&session, event.with_details(details)).await
    }

    /// Ends an access token: it is dead in every process, and its key is not.
    ///
    /// # Errors
    /// If the identity is that of a key, or the end cannot be written.
    pub async fn end_token(&self, identity: &Identity, caller: &Caller) -> Result<(), Error> {
        let Some(claims) = identity.token() else {
            return Err(identity.denied(Reason::NoCredential).into());
        };
        self.end_verified_token(claims, caller).await
    }

    /// Ends an access token on behalf of whoever may.
    pub(super) async fn end_verified_token(
        &self,
        claims: &TrustedClaims,
        caller: &Caller,
    ) -> Result<(), Error> {
        let (jti, key_id) = (claims.jti(), KeyId(claims.key_id()));
        let event = caller
            .event(self.now(), Action::TokenRevoked, Some(key_id))
            .with_details([("jti", Value::from(jti.to_string()))]);
        let last_expiry = Timestamp::from_seconds(claims.expires_at());
        self.end_one(jti, last_expiry, event, MAX_REVOKED_TOKENS)
            .await
    }

    /// Ends a session on behalf of somebody else than its user.
    pub(super) async fn end_verified_session(
        &self,
        session: &TrustedSession,
        caller: &Caller,
    ) -> Result<(), Error> {
        let [jti, sid] = details_of(session);
        let username = ("username", Value::from(session.subject()));
        let event = caller
            .event(self.now(), Action::SessionEnded, None)
            .with_details([jti, sid, username]);
        self.end_whole(session, event).await
    }

    async fn end_whole(&self, session: &TrustedSession, event: Event) -> Result<(), Error> {
        let longest = session.auth_time() + self.settings.sessions.max_seconds;
        let last_expiry = Timestamp::from_seconds(longest.max(session.expires_at()));
        self.end_one(session.session_id(), last_expiry, event, MAX_REVOCATIONS)
            .await
    }

    /// Ends a token or a session. What its own holder can ask for again and again is bounded.
    async fn end_one(
        &self,
        id: Uuid,
        last_expiry: Timestamp,
        event: Event,
        most: usize,
    ) -> Result<(), Error> {
        if self.revocations.len() >= most {
            return Err(Error::Busy {
                retry_after: Duration::from_mins(1),
            });
        }
        let revocation = Revocation::new(Subject::Token(id), last_expiry);
        self.commit(vec![Change::Revoke(revocation)], vec![event])
            .await
    }
}

/// What the log says of a session that ended.
fn details_of(session: &TrustedSession) -> [(&'static str, Value); 2] {
    [
        ("jti", Value::from(session.jti().to_string())),
        ("sid", Value::from(session.session_id().to_string())),
    ]
}
