//! Access tokens: exchanging a key for one, and renewing one.

use sealgate_token::jwt::{Algorithm, Claims, issue_hs256};
use serde_json::Value;

use super::{Authority, Caller, Identity};
use crate::audit::Action;
use crate::clock::Timestamp;
use crate::error::{Error, Reason};
use crate::key::{KeyId, KeyRecord};
use crate::random::uuid;
use crate::secret::{Secret, SecretText};

/// An access token that was just issued.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The token itself.
    pub token: SecretText,
    /// For how many seconds it is good.
    pub expires_in: i64,
    /// The key it was issued for.
    pub key_id: KeyId,
    /// What it allows.
    pub permissions: String,
    /// Whether it is an administrator's.
    pub is_admin: bool,
}

/// What a token is to say, before its times are settled.
struct Terms<'a> {
    key_id: KeyId,
    prefix: &'a str,
    permissions: &'a str,
    is_admin: bool,
    /// When the key stops.
    honoured_until: Timestamp,
    /// When the first token of this line of renewals was issued, in unix seconds.
    auth_time: i64,
}

impl Authority {
    /// Exchanges a key that was presented for an access token.
    ///
    /// # Errors
    /// If the identity is that of a token, or the record of the exchange cannot be written.
    pub async fn exchange(&self, identity: &Identity, caller: &Caller) -> Result<Grant, Error> {
        if identity.token().is_some() {
            return Err(identity.denied(Reason::NoCredential).into());
        }
        let now = self.now();
        let held = identity.held();
        let terms = Terms {
            key_id: held.key_id,
            prefix: held.prefix.as_str(),
            permissions: held.profile.permissions.as_str(),
            is_admin: held.profile.is_admin,
            honoured_until: held.honoured_until,
            auth_time: now.as_seconds(),
        };
        self.grant_recorded(&terms, Action::TokenIssued, identity, caller, now)
            .await
    }

    /// Renews an access token: the same rights, a later expiry, never past the longest lifetime
    /// counted from the first token of the line.
    ///
    /// # Errors
    /// If the identity is that of a key, the lifetime is used up, or the record cannot be written.
    pub async fn renew(&self, identity: &Identity, caller: &Caller) -> Result<Grant, Error> {
        let Some(claims) = identity.token() else {
            return Err(identity.denied(Reason::NoCredential).into());
        };
        let now = self.now();
        let terms = Terms {
            key_id: identity.key_id(),
            prefix: claims.prefix(),
            permissions: claims.permissions(),
            is_admin: claims.is_admin(),
            honoured_until: identity.held().honoured_until,
            auth_time: claims.auth_time(),
        };
        self.grant_recorded(&terms, Action::TokenRenewed, identity, caller, now)
            .await
    }

    /// The token that comes with a new key; the record of the key's making speaks for it.
    pub(super) fn grant_first(&self, record: &KeyRecord, now: Timestamp) -> Result<Grant, Error> {
        let terms = Terms {
            key_id: record.id,
            prefix: record.prefix.as_str(),
            permissions: record.permissions.as_str(),
            is_admin: record.is_admin,
            honoured_until: record.honoured_until(),
            auth_time: now.as_seconds(),
        };
        self.grant(&terms, &record.token_secret, now)
            .map(|(grant, _)| grant)
    }

    async fn grant_recorded(
        &self,
        terms: &Terms<'_>,
        action: Action,
        identity: &Identity,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Grant, Error> {
        let held = self.ring.held_with_token_secret(terms.key_id);
        let (_, secret) = held.ok_or(Error::NotFound("key"))?;
        if terms.auth_time + self.settings.token_max_seconds <= now.as_seconds() {
            return Err(identity
                .denied(Reason::InvalidToken("lifetime_over"))
                .into());
        }
        let (grant, jti) = self.grant(terms, &secret, now)?;
        let event = caller.event(now, action, Some(terms.key_id)).with_details([
            ("jti", Value::from(jti.to_string())),
            ("expires_in", Value::from(grant.expires_in)),
        ]);
        self.commit(Vec::new(), vec![event]).await?;
        Ok(grant)
    }

    fn grant(
        &self,
        terms: &Terms<'_>,
        secret: &Secret<32>,
        now: Timestamp,
    ) -> Result<(Grant, uuid::Uuid), Error> {
        let iat = now.as_seconds();
        let exp = (iat + self.settings.token_seconds)
            .min(terms.auth_time + self.settings.token_max_seconds)
            .min(terms.honoured_until.as_seconds())
            .max(iat + 1);
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            sub: terms.key_id.0,
            prefix: terms.prefix.to_owned(),
            permissions: terms.permissions.to_owned(),
            is_admin: terms.is_admin,
            iat,
            exp,
            auth_time: terms.auth_time.min(iat),
            jti: uuid(self.random.as_ref(), now),
        };
        let token = match self.settings.algorithm {
            Algorithm::Hs256 => issue_hs256(&claims, secret.expose()),
            wanted => match self.token_signer(now) {
                Some(key) => key.signing.issue(&claims),
                None => return Err(Error::Internal(format!("there is no {wanted} signing key"))),
            },
        }
        .map_err(|error| Error::Internal(format!("a token could not be issued: {error}")))?;
        let grant = Grant {
            token: SecretText::new(token),
            expires_in: exp - iat,
            key_id: terms.key_id,
            permissions: claims.permissions,
            is_admin: claims.is_admin,
        };
        Ok((grant, claims.jti))
    }
}
