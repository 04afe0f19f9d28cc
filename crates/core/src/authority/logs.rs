//! Reading the audit log: what a key did, what just happened, and whether the log is whole.

use super::Authority;
use crate::audit::{BadChain, ChainHash, Query, Record, Walk};
use crate::error::Error;
use crate::key::KeyId;
use crate::store::StoreError;
use crate::view::EventView;

/// Most records on a page.
const MAX_PAGE: u32 = 1_000;
/// Records read at once while the chain is walked.
const STEP: u32 = 10_000;

/// A page of the audit log, newest first.
#[derive(Debug)]
pub struct LogPage {
    /// The records; on the first page of a key, requests of minutes that are not over come first.
    pub events: Vec<EventView>,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}

/// A log that was found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The last one's hash: kept elsewhere, it proves later that nothing up to here was cut.
    pub hash: ChainHash,
}

impl Authority {
    /// A page of the log, of one key or of all.
    ///
    /// # Errors
    /// If the cursor or limit is not well-formed, or the store cannot be read.
    pub async fn logs(
        &self,
        key_id: Option<KeyId>,
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> Result<LogPage, Error> {
        let limit = limit.unwrap_or(100);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", "a page has 1 to 1000 records"));
        }
        let before = cursor.map(str::parse).transpose().map_err(|_| {
            Error::invalid("cursor", "use next_cursor of the page before, unchanged")
        })?;
        let mut records = self
            .store
            .audit(&Query {
                key_id,
                before,
                limit: limit + 1,
            })
            .await?;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        let next_cursor = records
            .last()
            .filter(|_| more)
            .map(|last| last.sequence.to_string());
        let mut events = Vec::new();
        if let (Some(id), None) = (key_id, before) {
            events.extend(
                self.store
                    .open_uses(id)
                    .await?
                    .into_iter()
                    .map(EventView::from),
            );
        }
        events.extend(records.into_iter().map(EventView::from));
        Ok(LogPage {
            events,
            next_cursor,
        })
    }

    /// Records after a place, oldest first: to follow the log.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn logs_after(&self, sequence: u64) -> Result<Vec<Record>, Error> {
        Ok(self.store.audit_after(sequence, STEP).await?)
    }

    /// The place of the last record; 0 for an empty log.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn last_record(&self) -> Result<u64, Error> {
        Ok(self
            .store
            .audit_head()
            .await?
            .map_or(0, |head| head.sequence))
    }

    /// Walks the whole log and names the first bad record. `progress` hears the place reached.
    ///
    /// # Errors
    /// If the store cannot be read; a log found bad is the inner error.
    pub async fn verify_logs(
        &self,
        mut progress: impl FnMut(u64),
    ) -> Result<Result<Verified, BadChain>, Error> {
        let head = match self.store.audit_head().await {
            Err(StoreError::Unreadable(_)) => None,
            head => head?,
        };
        let mut walk = Walk::new(&self.chain);
        loop {
            let records = match self.store.audit_after(walk.sequence(), STEP).await {
                Err(StoreError::DamagedRecord(sequence)) => {
                    let expected = walk.sequence() + 1;
                    return Ok(Err(if sequence == expected {
                        BadChain::Altered(sequence)
                    } else {
                        BadChain::Missing(expected)
                    }));
                }
                records => records?,
            };
            if records.is_empty() {
                break;
            }
            for record in &records {
                if let Err(bad) = walk.step(record) {
                    return Ok(Err(bad));
                }
            }
            progress(walk.sequence());
        }
        // A store has a head from its first record on: none at all, or none that can be read, means
        // that it was taken away or damaged.
        let Some(head) = head else {
            return Ok(Err(BadChain::Head(walk.sequence())));
        };
        Ok(walk.finish(&head).map(|()| Verified {
            records: walk.sequence(),
            hash: walk.hash(),
        }))
    }
}
