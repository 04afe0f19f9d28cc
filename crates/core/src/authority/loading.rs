//! Reading every key into the keyring after a start, from both ends of the store at once: two of its
//! connections are at work then, and two threads with what they bring.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::Authority;
use crate::error::Error;
use crate::key::KeyId;
use crate::store::{Cursor, KeyQuery};

/// Keys loaded at once.
const LOAD_STEP: u32 = 5_000;

/// What was not read yet, in the order of identifiers, both ends excluded. A key that is made meanwhile may
/// be missed: the change feed brings it.
#[derive(Debug)]
struct Unread {
    after: KeyId,
    before: KeyId,
}

impl Unread {
    /// Neither is anybody's identifier (RFC 9562, sections 5.9 and 5.10).
    const ALL: Self = Self {
        after: KeyId(Uuid::nil()),
        before: KeyId(Uuid::max()),
    };

    fn is_empty(&self) -> bool {
        self.after >= self.before
    }
}

impl Authority {
    /// Whether every key of the store is in the keyring.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.ring.is_complete()
    }

    /// Reads every key into the keyring; requests are answered meanwhile, by asking the store.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn load_keys(&self) -> Result<(), Error> {
        let begin = self.ring.moment();
        let unread = Mutex::new(Unread::ALL);
        // Most stores have no second page.
        self.load_upwards(&unread).await?;
        let upwards = async {
            while !lock(&unread).is_empty() {
                self.load_upwards(&unread).await?;
            }
            Ok::<(), Error>(())
        };
        let downwards = async {
            while !lock(&unread).is_empty() {
                self.load_downwards(&unread).await?;
            }
            Ok(())
        };
        tokio::try_join!(upwards, downwards)?;
        self.ring.complete(begin);
        Ok(())
    }

    /// Reads some keys into the keyring; tells where to go on if there are more.
    pub(super) async fn load_page(&self, after: Option<KeyId>) -> Result<Option<KeyId>, Error> {
        let as_of = self.ring.moment();
        let keys = self.store.keys_after(after, LOAD_STEP).await?;
        self.learn(&keys, as_of);
        Ok(keys.next.map(|next| next.id))
    }

    async fn load_upwards(&self, unread: &Mutex<Unread>) -> Result<(), Error> {
        let after = lock(unread).after;
        let next = self.load_page(Some(after)).await?;
        lock(unread).after = next.unwrap_or(Unread::ALL.before);
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn load_downwards(&self, unread: &Mutex<Unread>) -> Result<(), Error> {
        let before = lock(unread).before;
        let as_of = self.ring.moment();
        let query = KeyQuery {
            after: Some(Cursor {
                name: None,
                id: before,
            }),
            limit: LOAD_STEP,
            ..KeyQuery::default()
        };
        let keys = self.store.keys(&query).await?;
        self.learn(&keys, as_of);
        let next = keys.next.map(|next| next.id);
        lock(unread).before = next.unwrap_or(Unread::ALL.after);
        tokio::task::yield_now().await;
        Ok(())
    }
}

fn lock(unread: &Mutex<Unread>) -> MutexGuard<'_, Unread> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}
