//! What clients of sessions send: a seal key, and a session token. Whether they are any good is for the
//! authority to say.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use sealgate_core::authority::{Credential, Identity};
use sealgate_core::error::{Denied, Error, Reason};
use sealgate_core::secret::SecretText;

use super::credential::only;
use super::{Authorized, Presented, TokenAlone, Unreadable};
use crate::app::Server;
use crate::error::{CredentialKind, Problem};
use crate::layer::arrival::Arrival;

/// The header of seal keys alone, for who looks at it and takes nothing else: its text, none if it is
/// not there, or what is wrong with it.
pub(crate) struct SealKeyHeader(pub Result<Option<SecretText>, Unreadable>);

impl SealKeyHeader {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Self {
        let text = only(headers, name);
        Self(text.map(|text| text.map(|text| SecretText::new(text.to_owned()))))
    }
}

impl FromRequestParts<Arc<Server>> for SealKeyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        Ok(Self::read(&parts.headers, &server.http.seal_key_header))
    }
}

/// The text of a seal key, as it was sent.
pub(crate) fn seal_key_of<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    only(headers, name)
        .map_err(|unreadable| Problem::refused(CredentialKind::SealKey, unreadable.of_seal_key()))
}

/// A client that sends a seal key, or leaves it to the default one. A managed key that it sends along
/// as `X-API-Key` has to be honoured.
pub(crate) struct SealingClient {
    seal_key: Option<SecretText>,
    /// The request.
    pub arrival: Arc<Arrival>,
}

impl SealingClient {
    /// The seal key's text, as it was sent.
    pub fn seal_key(&self) -> Option<&str> {
        self.seal_key.as_ref().map(SecretText::expose)
    }

    async fn read(
        presented: Presented<'_>,
        parts: &Parts,
        server: &Server,
    ) -> Result<Self, Problem> {
        let arrival: &Arc<Arrival> = parts.extensions.get().ok_or_else(unlayered)?;
        let seal_key = seal_key_of(&parts.headers, &server.http.seal_key_header)?;
        let seal_key = seal_key.map(|text| SecretText::new(text.to_owned()));
        if let Some(key) = presented.key {
            let credential = Credential::Key(key);
            let verified = server.authority.authenticate(credential, arrival.address);
            verified.await.map_err(|error| match error {
                Error::Denied(denied) => Problem::refused(CredentialKind::Key, denied),
                other => other.into(),
            })?;
        }
        Ok(Self {
            seal_key,
            arrival: Arc::clone(arrival),
        })
    }
}

impl FromRequestParts<Arc<Server>> for SealingClient {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let presented = Presented::read(&parts.headers)?;
        Self::read(presented, parts, server).await
    }
}

/// A client that sends a session token.
pub(crate) struct PresentedSession {
    token: SecretText,
    /// The client.
    pub client: SealingClient,
}

impl PresentedSession {
    /// The token's text, as it was sent.
    pub fn token(&self) -> &str {
        self.token.expose()
    }
}

impl FromRequestParts<Arc<Server>> for PresentedSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let presented = Presented::read(&parts.headers)?;
        let client = SealingClient::read(presented, parts, server).await?;
        let token = presented.token.ok_or_else(|| {
            let reason = Reason::NoCredential;
            let key_id = None;
            Problem::CredentialMissing(Some(CredentialKind::Session), Denied { reason, key_id })
        })?;
        Ok(Self {
            token: SecretText::new(token.to_owned()),
            client,
        })
    }
}

/// A token of either kind.
pub(crate) enum EitherToken {
    /// An access token, whose holder was verified.
    Access(Authorized<TokenAlone>),
    /// A session token, at which nobody has looked yet.
    Session(PresentedSession),
}

impl FromRequestParts<Arc<Server>> for EitherToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        if parts.extensions.get::<Identity>().is_some() {
            let holder = Authorized::from_request_parts(parts, server).await;
            return holder.map(Self::Access);
        }
        let session = PresentedSession::from_request_parts(parts, server).await;
        session.map(Self::Session)
    }
}

fn unlayered() -> Problem {
    Problem::Internal("a handler wants a seal key of a request that has not arrived".to_owned())
}
