//! Making many keys at once, all or none.

use std::collections::HashSet;

use thiserror::Error;

use super::keys::describe;
use super::{Authority, Caller, Created};
use crate::audit::{Action, Event};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::PresentedKey;
use crate::request::KeyRequest;
use crate::secret::SecretText;
use crate::store::Change;

/// Why none of several keys was made.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Rejected {
    /// Which request is at fault, from 0; nothing if it is none of them.
    pub place: Option<usize>,
    /// What is wrong.
    #[source]
    pub error: Error,
}

impl Authority {
    /// Makes many keys at once, all or none.
    ///
    /// # Errors
    /// If a field of a request is not well-formed, a key to be taken over is there already, or the
    /// store cannot be written.
    pub async fn create_many(
        &self,
        requests: Vec<KeyRequest>,
        caller: &Caller,
    ) -> Result<Vec<Created>, Rejected> {
        let now = self.now();
        let mut created = Vec::with_capacity(requests.len());
        let mut changes = Vec::with_capacity(requests.len());
        let mut events = Vec::with_capacity(requests.len());
        let mut imported = HashSet::new();
        for (place, request) in requests.into_iter().enumerate() {
            let (key, event) = self
                .prepare(request, &mut imported, caller, now)
                .await
                .map_err(|error| Rejected {
                    place: Some(place),
                    error,
                })?;
            changes.push(Change::InsertKey(Box::new(key.record.clone())));
            events.push(event);
            created.push(key);
        }
        match self.commit(changes, events).await {
            Ok(()) => Ok(created),
            Err(error) => Err(Rejected { place: None, error }),
        }
    }

    async fn prepare(
        &self,
        request: KeyRequest,
        imported: &mut HashSet<[u8; 32]>,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(Created, Event), Error> {
        let new = request.check(now, self.settings.environment)?;
        let mut action = Action::KeyCreated;
        if let Some(text) = &new.imported {
            action = Action::KeyImported;
            self.refuse_known(text, imported).await?;
        }
        let key = self.make(new, None, now)?;
        let event = caller
            .event(now, action, Some(key.record.id))
            .with_detail_map(describe(&key.record));
        Ok((key, event))
    }

    /// A key taken over must not be there yet, nor come twice: two rows for one key could not be
    /// told apart.
    async fn refuse_known(
        &self,
        text: &SecretText,
        imported: &mut HashSet<[u8; 32]>,
    ) -> Result<(), Error> {
        let key = PresentedKey::parse(text.expose())
            .map_err(|error| Error::invalid("api_key", error.to_string()))?;
        let fingerprint = self.hasher.hash(&key, &crate::key::Salt([0; 16]));
        if !imported.insert(*fingerprint.as_bytes()) {
            return Err(Error::Conflict("this key was there before".to_owned()));
        }
        let known = self.keys_with_prefix(key.prefix()).await?;
        if known
            .iter()
            .any(|known| self.hasher.hash(&key, &known.salt) == known.hash)
        {
            return Err(Error::Conflict(
                "this key is in the store already".to_owned(),
            ));
        }
        Ok(())
    }
}
