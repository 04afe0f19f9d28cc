//! Encryption for callers: sealed under a data key of the calling key's lineage, so that a rotated
//! key opens what its predecessor sealed, and no other key does.

use sealgate_token::seal::{Envelope, MAX_PLAINTEXT_BYTES, SealingKey, seal_envelope};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Authority, Caller, Identity};
use crate::audit::Action;
use crate::error::Error;
use crate::key::KeyId;
use crate::random::array;
use crate::secret::{Secret, SecretText};
use crate::store::{Change, DataKey};

/// What the encryption service offers a caller.
#[derive(Clone, Debug)]
pub struct SealingOffer {
    /// How texts are sealed.
    pub algorithm: &'static str,
    /// The version of the data key that would seal now; 0 before the first.
    pub key_version: u32,
    /// The longest text that is sealed, in bytes.
    pub max_plaintext_bytes: usize,
}

/// A sealed text, and the key that asked for it.
#[derive(Clone, Debug)]
pub struct TextSealed {
    /// `sg1.…`
    pub ciphertext: String,
    /// The calling key.
    pub key_id: KeyId,
}

impl Authority {
    /// What the encryption service would use for a caller.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn sealing_offer(&self, identity: &Identity) -> Result<SealingOffer, Error> {
        let lineage = self.lineage(identity).await?;
        let newest = self
            .store
            .data_keys(lineage)
            .await?
            .first()
            .map_or(0, |key| key.version);
        Ok(SealingOffer {
            algorithm: "AES-256-GCM-SIV",
            key_version: newest,
            max_plaintext_bytes: MAX_PLAINTEXT_BYTES,
        })
    }

    /// Seals a text; the first time of a lineage makes its data key.
    ///
    /// # Errors
    /// If the text is too long, or the store cannot be used.
    pub async fn encrypt(
        &self,
        identity: &Identity,
        plaintext: &str,
        caller: &Caller,
    ) -> Result<TextSealed, Error> {
        let lineage = self.lineage(identity).await?;
        let data_key = self.data_key(lineage, caller).await?;
        let key = SealingKey::from(*data_key.key.expose());
        let nonce = array(self.random.as_ref());
        let ciphertext = seal_envelope(
            &key,
            data_key.version,
            nonce,
            lineage.0,
            plaintext.as_bytes(),
        )
        .map_err(|error| Error::invalid("plaintext", error.to_string()))?;
        Ok(TextSealed {
            ciphertext,
            key_id: identity.key_id(),
        })
    }

    /// Opens what a key of the caller's lineage sealed.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it was altered, cut off, or sealed for somebody else.
    pub async fn decrypt(
        &self,
        identity: &Identity,
        ciphertext: &str,
    ) -> Result<SecretText, Error> {
        let envelope = Envelope::parse(ciphertext)
            .map_err(|error| Error::invalid("ciphertext", error.to_string()))?;
        let lineage = self.lineage(identity).await?;
        let keys = self.store.data_keys(lineage).await?;
        // No key of this version gets the answer of a wrong key: both mean "not sealed for you".
        let key = keys.iter().find(|key| key.version == envelope.version());
        let key = key.map_or_else(
            || Secret::random(self.random.as_ref()),
            |key| key.key.clone(),
        );
        let opened = envelope
            .open(&SealingKey::from(*key.expose()), lineage.0)
            .map_err(|error| Error::invalid("ciphertext", error.to_string()))?;
        into_text(&opened)
    }

    async fn lineage(&self, identity: &Identity) -> Result<KeyId, Error> {
        let record = self.store.key(identity.key_id()).await?;
        record
            .map(|record| record.lineage)
            .ok_or(Error::NotFound("key"))
    }

    async fn data_key(&self, lineage: KeyId, caller: &Caller) -> Result<DataKey, Error> {
        if let Some(newest) = self.newest_data_key(lineage).await? {
            return Ok(newest);
        }
        let now = self.now();
        let first = DataKey {
            lineage,
            version: 1,
            key: Secret::random(self.random.as_ref()),
            created_at: now,
        };
        let event = caller
            .event(now, Action::DataKeyCreated, Some(lineage))
            .with_details([("version", Value::from(1))]);
        match self
            .commit(vec![Change::InsertDataKey(first.clone())], vec![event])
            .await
        {
            Ok(()) => Ok(first),
            // Somebody else's first request came first: theirs is the one.
            Err(Error::Conflict(_)) => self
                .newest_data_key(lineage)
                .await?
                .ok_or(Error::NotFound("data key")),
            Err(error) => Err(error),
        }
    }

    async fn newest_data_key(&self, lineage: KeyId) -> Result<Option<DataKey>, Error> {
        Ok(self.store.data_keys(lineage).await?.into_iter().next())
    }
}

fn into_text(opened: &Zeroizing<Vec<u8>>) -> Result<SecretText, Error> {
    let text = std::str::from_utf8(opened)
        .map_err(|_| Error::Internal("what was sealed as text is none".to_owned()))?;
    Ok(SecretText::new(text.to_owned()))
}
