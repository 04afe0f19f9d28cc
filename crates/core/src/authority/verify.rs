//! Who is calling, and may they: the hot path. No step of it waits for I/O unless the keyring has
//! never heard of the key.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use sealgate_token::jwt::{Policy, Signer, TrustedClaims, Untrusted};

use super::questions::Question;
use super::rate::Spent;
use super::{Allowance, Authority};
use crate::clock::Timestamp;
use crate::error::{Denied, Error, Reason};
use crate::key::{InvalidKey, KeyId, PresentedKey};
use crate::keyring::{Held, Lookup, Profile};
use crate::permission::{Permission, allow, granted_by_both};

/// A credential as a client presented it, told apart by how it was sent.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A managed key, of the `X-API-Key` header.
    Key(&'a str),
    /// A token, of the `Authorization: Bearer` header.
    Bearer(&'a str),
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Credential::Key(…)",
            Self::Bearer(_) => "Credential::Bearer(…)",
        })
    }
}

/// A caller that was verified.
#[derive(Clone, Debug)]
pub struct Identity {
    held: Held,
    token: Option<Arc<AccessToken>>,
    allowance: Option<Allowance>,
}

/// An access token that was verified.
#[derive(Debug)]
pub(super) struct AccessToken {
    pub claims: TrustedClaims,
    /// A profile that a key of exactly the token's rights has.
    equal: Option<Arc<Profile>>,
}

impl AccessToken {
    fn new(claims: TrustedClaims, held: &Held) -> Self {
        let profile = &held.profile;
        let is_equal = claims.is_admin() == profile.is_admin
            && claims.permissions() == profile.permissions.as_str();
        Self {
            claims,
            equal: is_equal.then(|| Arc::clone(profile)),
        }
    }
}

impl Identity {
    /// The key that was used, itself or through a token.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.held.key_id
    }

    /// The key as the keyring holds it.
    #[must_use]
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// The token's claims, if it was a token.
    #[must_use]
    pub fn token(&self) -> Option<&TrustedClaims> {
        self.token.as_deref().map(|token| &token.claims)
    }

    /// The token's claims, if they have other rights than the key has now. Most have the same, which is
    /// seen without a look at any of them.
    fn other_rights(&self) -> Option<&TrustedClaims> {
        let token = self.token.as_deref()?;
        let is_equal = |profile| Arc::ptr_eq(profile, &self.held.profile);
        (!token.equal.as_ref().is_some_and(is_equal)).then_some(&token.claims)
    }

    /// What is left of the key's rate limit, if it has one.
    #[must_use]
    pub const fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// Whether key and token both belong to an administrator.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.held.profile.is_admin && self.other_rights().is_none_or(TrustedClaims::is_admin)
    }

    /// Checks a permission: the key has it now, and the token had it when it was issued.
    ///
    /// # Errors
    /// If either has not.
    pub fn require(&self, needed: Permission<'_>) -> Result<(), Denied> {
        let profile = &self.held.profile;
        let key_allows = profile.is_admin || profile.permissions.allow(needed);
        let token_allows =
            |claims: &TrustedClaims| claims.is_admin() || allow(claims.permissions(), needed);
        if key_allows && self.other_rights().is_none_or(token_allows) {
            Ok(())
        } else {
            Err(self.denied(Reason::MissingPermission(needed.0.to_owned())))
        }
    }

    /// What the caller may do: what the key may now, and the token could when it was issued; `*` of an
    /// administrator.
    #[must_use]
    pub fn permissions(&self) -> Cow<'_, str> {
        const ALL: &str = "*";
        let profile = &self.held.profile;
        let of_key = if profile.is_admin {
            ALL
        } else {
            profile.permissions.as_str()
        };
        let of_token = match self.other_rights() {
            None => of_key,
            Some(claims) if claims.is_admin() => ALL,
            Some(claims) => claims.permissions(),
        };
        if of_token == of_key {
            of_key.into()
        } else {
            granted_by_both(of_key, of_token).into()
        }
    }

    /// Checks that the caller is an administrator.
    ///
    /// # Errors
    /// If not.
    pub fn require_admin(&self) -> Result<(), Denied> {
        if self.is_admin() {
            Ok(())
        } else {
            Err(self.denied(Reason::NotAdmin))
        }
    }

    /// A refusal of this caller.
    #[must_use]
    pub const fn denied(&self, reason: Reason) -> Denied {
        denied_key(&self.held, reason)
    }
}

/// Why a verification did not end in an identity.
#[derive(Debug)]
pub enum Unsettled {
    /// The request is refused.
    Denied(Denied),
    /// The keyring has never heard of the key; the store may have.
    Ask(Question),
    /// Who keeps the key's limit has to be asked.
    MustCharge,
}

/// A credential in order, before its key's limit was charged.
struct Vetted {
    held: Held,
    token: Option<Arc<AccessToken>>,
}

impl Vetted {
    fn into_identity(self, allowance: Option<Allowance>) -> Identity {
        let Self { held, token } = self;
        Identity {
            held,
            token,
            allowance,
        }
    }
}

impl From<Denied> for Unsettled {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl Authority {
    /// Verifies a credential, with the store's help where the keyring has never heard of the key.
    ///
    /// # Errors
    /// [`Error::Denied`] with the reason, or [`Error::Unavailable`] if the store has been out of
    /// reach for longer than keys may be honoured without it.
    pub async fn authenticate(
        &self,
        credential: Credential<'_>,
        address: IpAddr,
    ) -> Result<Identity, Error> {
        self.admit(None, |now| self.vet(credential, address, now))
            .await
    }

    /// As [`Self::authenticate`], a managed key beside another credential of the same request. `paid`:
    /// the key of that one, whose limit has been charged; that of this one is charged too unless they
    /// share it.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_beside(
        &self,
        key: &str,
        address: IpAddr,
        paid: Option<KeyId>,
    ) -> Result<Identity, Error> {
        let paid = paid.and_then(|key_id| self.ring.held(key_id));
        let vet = |now| self.vet(Credential::Key(key), address, now);
        self.admit(paid, vet).await
    }

    /// Charges the limit of who is found good by `vet`, unless it is the one that was `paid` for.
    async fn admit(
        &self,
        paid: Option<Held>,
        vet: impl Fn(Timestamp) -> Result<Vetted, Unsettled> + Send + Sync,
    ) -> Result<Identity, Error> {
        let now = self.now();
        self.ensure_fresh(now).await?;
        let vetted = self.settle(now, &vet).await?;
        if paid.is_some_and(|paid| paid.limited_as() == vetted.held.limited_as()) {
            return Ok(vetted.into_identity(None));
        }
        let charged = match self.rates.spend(&vetted.held)? {
            Spent::Settled(allowance) => return Ok(vetted.into_identity(allowance)),
            // In a box: it is seldom needed, and larger than all else of the future.
            Spent::MustAsk => Box::pin(self.rates.charge(&vetted.held)).await?,
        };
        // That took a while.
        let now = self.now();
        self.ensure_fresh(now).await?;
        let vetted = self.settle(now, &vet).await?;
        Ok(vetted.into_identity(charged))
    }

    /// Verifies a credential from memory; nothing if the store has to be asked first, or who keeps the
    /// key's limit. Nothing was counted then.
    pub fn authenticate_now(
        &self,
        credential: Credential<'_>,
        address: IpAddr,
        now: Timestamp,
    ) -> Option<Result<Identity, Denied>> {
        if !self.is_fresh(now) {
            return None;
        }
        match self.verify(credential, address, now) {
            Ok(identity) => Some(Ok(identity)),
            Err(Unsettled::Denied(denied)) => Some(Err(denied)),
            Err(Unsettled::Ask(question)) => self
                .is_absent(question, now)
                .then_some(Err(Denied::unknown_key())),
            Err(Unsettled::MustCharge) => None,
        }
    }

    /// Decides from memory, with the store's help where the keyring has never heard of the key.
    pub(super) async fn settle<T: Send>(
        &self,
        mut now: Timestamp,
        decide: impl Fn(Timestamp) -> Result<T, Unsettled> + Send + Sync,
    ) -> Result<T, Error> {
        let mut is_answered = false;
        loop {
            let ended = self.questions.ended();
            match decide(now) {
                Ok(decided) => return Ok(decided),
                Err(Unsettled::Denied(denied)) => return Err(denied.into()),
                Err(Unsettled::MustCharge) => return Err(Error::LimitsUnavailable),
                Err(Unsettled::Ask(_)) if is_answered => return Err(Denied::unknown_key().into()),
                Err(Unsettled::Ask(question)) => {
                    is_answered = self.ask(question, now, ended).await?;
                    // That may have taken long, and the answer be as old.
                    now = self.now();
                    self.ensure_fresh(now).await?;
                }
            }
        }
    }

    /// Verifies a credential from memory alone.
    ///
    /// # Errors
    /// The refusal, or the question to ask before trying again.
    pub fn verify(
        &self,
        credential: Credential<'_>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Identity, Unsettled> {
        let vetted = self.vet(credential, address, now)?;
        match self.rates.spend(&vetted.held)? {
            Spent::Settled(allowance) => Ok(vetted.into_identity(allowance)),
            Spent::MustAsk => Err(Unsettled::MustCharge),
        }
    }

    /// Checks everything of a credential but the limit of its key.
    fn vet(
        &self,
        credential: Credential<'_>,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Vetted, Unsettled> {
        let (held, token) = match credential {
            Credential::Key(text) => (self.verify_key(text)?, None),
            Credential::Bearer(text) => {
                let (held, token) = self.verify_token(text, now)?;
                (held, Some(token))
            }
        };
        self.check_held(&held, address, now)?;
        Ok(Vetted { held, token })
    }

    pub(super) fn verify_key(&self, text: &str) -> Result<Held, Unsettled> {
        let key = PresentedKey::parse(text).map_err(|invalid| Denied {
            reason: match invalid {
                InvalidKey::Form => Reason::MalformedCredential,
                InvalidKey::Checksum => Reason::MistypedKey,
            },
            key_id: None,
        })?;
        match self.ring.look_up(&key, &self.hasher) {
            Lookup::Found(held) => Ok(held),
            // Another key with the same prefix may not be loaded yet.
            Lookup::Wrong(_) if !self.is_loaded() => {
                Err(Unsettled::Ask(Question::Prefix(key.prefix())))
            }
            Lookup::Wrong(id) => Err(Denied {
                reason: Reason::UnknownKey,
                key_id: Some(id),
            }
            .into()),
            Lookup::Unknown => Err(Unsettled::Ask(Question::Prefix(key.prefix()))),
        }
    }

    pub(super) fn verify_token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<(Held, Arc<AccessToken>), Unsettled> {
        let seconds = now.as_seconds();
        let print = self.tokens.fingerprint(text);
        if let Some(token) = self.tokens.find(print) {
            let claims = &token.claims;
            let key_id = KeyId(claims.key_id());
            claims.check_time(seconds).map_err(|invalid| Denied {
                reason: Reason::InvalidToken(invalid.reason()),
                key_id: Some(key_id),
            })?;
            self.check_not_ended(claims)?;
            if let Some(held) = self.ring.held(key_id) {
                return Ok((held, token));
            }
        }
        let generation = self.server_keys.generation();
        let (held, claims) = self.verify_new_token(text, now)?;
        self.check_not_ended(&claims)?;
        let token = Arc::new(AccessToken::new(claims, &held));
        self.tokens.insert(print, &token);
        if generation != self.server_keys.generation() {
            // The key that signed it may be gone, and the cache was emptied before this came in.
            self.tokens.retain(|_| false);
        }
        Ok((held, token))
    }

    fn verify_new_token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<(Held, TrustedClaims), Unsettled> {
        let untrusted = Untrusted::parse(text).map_err(|invalid| Denied {
            reason: Reason::InvalidToken(invalid.reason()),
            key_id: None,
        })?;
        let key_id = KeyId(untrusted.claimed_key_id());
        let policy = Policy::new(&self.settings.issuer);
        let (held, result) = match untrusted.signer() {
            Signer::KeySecret => self
                .ring
                .held_with_token_secret(key_id)
                .map(|(held, secret)| {
                    let result = untrusted.verify_hs256(secret.expose(), &policy, now.as_seconds());
                    (held, result)
                }),
            Signer::Server { kid, .. } => {
                let signer = self.token_verifier(kid, now).ok_or(Denied {
                    reason: Reason::InvalidToken("unknown_signing_key"),
                    key_id: None,
                })?;
                // The signature first: whoever makes tokens up is not told which keys exist.
                let key = signer.signing.verifying_key();
                let result = untrusted.verify_server(key, &policy, now.as_seconds());
                self.ring.held(key_id).map(|held| (held, result))
            }
        }
        .ok_or(Unsettled::Ask(Question::Id(key_id)))?;
        let claims = result.map_err(|invalid| Denied {
            reason: Reason::InvalidToken(invalid.reason()),
            key_id: Some(key_id),
        })?;
        Ok((held, claims))
    }

    /// A token that its holder logged out is dead, though its key is not.
    fn check_not_ended(&self, claims: &TrustedClaims) -> Result<(), Denied> {
        if self.revocations.has_token(claims.jti()) {
            return Err(Denied {
                reason: Reason::InvalidToken("token_revoked"),
                key_id: Some(KeyId(claims.key_id())),
            });
        }
        Ok(())
    }

    pub(super) fn check_held(
        &self,
        held: &Held,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Denied> {
        self.check_honoured(held, now)?;
        if held.allows_address(address) {
            Ok(())
        } else {
            Err(denied_key(held, Reason::AddressNotAllowed))
        }
    }

    /// Checks what of a key does not depend on who sends it.
    pub(super) fn check_honoured(&self, held: &Held, now: Timestamp) -> Result<(), Denied> {
        let reason = if !held.is_honoured(now) {
            Reason::KeyIs(held.status_at(now))
        } else if held.profile.environment != self.settings.environment {
            Reason::OtherEnvironment
        } else {
            return Ok(());
        };
        Err(denied_key(held, reason))
    }
}

const fn denied_key(held: &Held, reason: Reason) -> Denied {
    Denied {
        reason,
        key_id: Some(held.key_id),
    }
}
