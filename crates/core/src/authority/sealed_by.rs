//! Which key seals a session: the default, one that a client generated, or a managed one, which must
//! be honoured and have the permission `session:seal`.

use std::net::IpAddr;

use sealgate_token::paseto::SessionDataKey;

use super::rate::Spent;
use super::{Allowance, Authority, Credential, Identity, Session};
use crate::clock::Timestamp;
use crate::error::{Denied, Error, Reason};
use crate::key::KeyId;
use crate::permission::Permission;
use crate::seal_key::{PresentedSealKey, SealKeyFormat, generate_seal_key};
use crate::secret::SecretText;

/// A seal key that may be used now.
pub(super) struct Seal {
    pub data_key: SessionDataKey,
    pub sealed_by: SealedBy,
    /// What is left of a managed key's rate limit, if it has one.
    pub allowance: Option<Allowance>,
    /// Until when a managed key is honoured.
    pub honoured_until: Option<Timestamp>,
}

/// Whose key a session is sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedBy {
    /// The default key.
    Default,
    /// A key that the client generated.
    Generated,
    /// A managed key.
    Managed(KeyId),
}

impl SealedBy {
    /// The name of the kind: `default`, `generated`, `managed`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Generated => "generated",
            Self::Managed(_) => "managed",
        }
    }

    /// The managed key, if it is one.
    #[must_use]
    pub const fn key_id(self) -> Option<KeyId> {
        match self {
            Self::Managed(id) => Some(id),
            _ => None,
        }
    }
}

impl Authority {
    /// Makes a seal key. Nothing of it is kept.
    #[must_use]
    pub fn generate_seal_key(&self) -> SecretText {
        let rules = &self.settings.sessions.seal_keys;
        generate_seal_key(rules, self.random.as_ref(), self.now())
    }

    /// Of which kind a seal key is, by its form alone; whether a managed key exists is not told.
    ///
    /// # Errors
    /// Says what is wrong with the form.
    pub fn examine_seal_key(&self, text: &str) -> Result<SealKeyFormat, String> {
        let rules = &self.settings.sessions.seal_keys;
        PresentedSealKey::parse(Some(text), rules)
            .map(|key| key.format())
            .map_err(|invalid| invalid.message(rules))
    }

    /// Checks the form of a seal key that is not needed, so that a bad one is refused all the same.
    ///
    /// # Errors
    /// If it is none.
    pub fn check_seal_key_form(&self, text: Option<&str>) -> Result<(), Denied> {
        self.parse_seal_key(text).map(drop)
    }

    /// Finds out whether a client may seal with the key it sent, and what that key is.
    pub(super) async fn seal(&self, text: Option<&str>, address: IpAddr) -> Result<Seal, Error> {
        let presented = self.parse_seal_key(text)?;
        let mut seal = Seal {
            data_key: SessionDataKey::derive(presented.expose().as_bytes()),
            sealed_by: SealedBy::Generated,
            allowance: None,
            honoured_until: None,
        };
        match presented.format() {
            SealKeyFormat::Default if self.settings.sessions.require_key => {
                return Err(denied(Reason::SealKeyRequired).into());
            }
            SealKeyFormat::Default => seal.sealed_by = SealedBy::Default,
            SealKeyFormat::Timestamped | SealKeyFormat::Hex => {}
            SealKeyFormat::Managed => {
                let credential = Credential::Key(presented.expose());
                let identity: Identity = self.authenticate(credential, address).await?;
                identity.require(Permission::SEAL)?;
                seal.sealed_by = SealedBy::Managed(identity.key_id());
                seal.allowance = identity.allowance();
                seal.honoured_until = Some(identity.held().honoured_until);
            }
        }
        Ok(seal)
    }

    /// The key that a session was just opened with, to seal it again; a managed key's limit was charged
    /// then.
    pub(super) fn seal_again(&self, text: Option<&str>, session: &Session) -> Result<Seal, Denied> {
        let presented = self.parse_seal_key(text)?;
        let sealed_by = session.sealed_by();
        let held = sealed_by.key_id().and_then(|id| self.ring.held(id));
        Ok(Seal {
            data_key: SessionDataKey::derive(presented.expose().as_bytes()),
            sealed_by,
            allowance: session.allowance(),
            honoured_until: held.map(|held| held.honoured_until),
        })
    }

    /// Whether a managed key that sealed a session may still be used; nothing if the keyring does not
    /// know it, or who keeps its limit has to be asked.
    pub(super) fn check_managed_seal(
        &self,
        key_id: KeyId,
        address: IpAddr,
        now: Timestamp,
    ) -> Option<Result<Option<Allowance>, Denied>> {
        let held = self.ring.held(key_id)?;
        let spent = self.check_held(&held, address, now).and_then(|()| {
            let profile = &held.profile;
            if !profile.is_admin && !profile.permissions.allow(Permission::SEAL) {
                return Err(Denied {
                    reason: Reason::MissingPermission(Permission::SEAL.0.to_owned()),
                    key_id: Some(key_id),
                });
            }
            self.rates.spend(&held)
        });
        match spent {
            Ok(Spent::Settled(allowance)) => Some(Ok(allowance)),
            Ok(Spent::MustAsk) => None,
            Err(denied) => Some(Err(denied)),
        }
    }

    fn parse_seal_key(&self, text: Option<&str>) -> Result<PresentedSealKey, Denied> {
        let rules = &self.settings.sessions.seal_keys;
        PresentedSealKey::parse(text, rules).map_err(|_| denied(Reason::MalformedSealKey))
    }
}

/// A refusal that is about no managed key.
pub(super) const fn denied(reason: Reason) -> Denied {
    Denied {
        reason,
        key_id: None,
    }
}
