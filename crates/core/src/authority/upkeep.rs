//! What a running server does besides answering: follow the change feed, write what was counted,
//! record what expired.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Authority, Caller};
use crate::audit::{Action, Actor, Origin, Refusal};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::{KeyId, Status};
use crate::keyring::Moment;
use crate::shared_limits::KeeperHealth;
use crate::store::{Change, Commit, FeedPosition, StoreError};

/// Rows of the change feed read at once.
const FEED_STEP: u32 = 1_000;
/// Counts moved to the log, and keys marked as expired, at once.
const UPKEEP_STEP: u32 = 1_000;
/// How long a request waits for news from the store when there were none for too long.
const SYNC_PATIENCE: Duration = Duration::from_secs(2);

/// How far the change feed was read, and what it told of that is to be read yet. That lasts if whoever
/// follows it hangs up meanwhile, or the store fails.
#[derive(Debug, Default)]
pub(super) struct Followed {
    position: FeedPosition,
    signing_keys: bool,
    session_keys: bool,
    revocations: bool,
}

/// How far all keys were read anew, after the change feed was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reload {
    begin: Moment,
    after: Option<KeyId>,
}

impl Authority {
    /// Takes up the change feed: from here on [`Authority::verify`] can be asked, and
    /// [`Authority::sync`] has to be called again and again.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn start(&self) -> Result<(), Error> {
        self.prepare_server_keys().await?;
        self.prepare_session_keys().await?;
        let asked_at = self.now();
        let mut followed = self.feed.lock().await;
        *followed = Followed {
            position: self.store.feed_position().await?,
            // After the position was read, so that no change falls between.
            signing_keys: true,
            session_keys: true,
            revocations: true,
        };
        self.read_what_is_due(&mut followed).await?;
        self.synced_at
            .store(asked_at.as_millis(), Ordering::Release);
        Ok(())
    }

    pub(super) fn is_started(&self) -> bool {
        self.synced_at.load(Ordering::Acquire) != i64::MIN
    }

    /// Reads the change feed to its end. Where that was lost, all keys are read anew, while requests
    /// are answered by asking the store.
    ///
    /// # Errors
    /// If the store cannot be read; keys are then honoured for as long as the settings say.
    pub async fn sync(&self) -> Result<(), Error> {
        self.follow(&mut *self.feed.lock().await).await?;
        while let Some(reload) = self.reload() {
            let next = self.load_page(reload.after).await?;
            self.loaded(reload, next);
            self.follow(&mut *self.feed.lock().await).await?;
        }
        Ok(())
    }

    async fn follow(&self, followed: &mut Followed) -> Result<(), Error> {
        loop {
            let (asked_at, as_of) = (self.now(), self.ring.moment());
            let feed = self.store.feed_since(followed.position, FEED_STEP).await?;
            // Nothing is waited for until all is taken note of: what the feed told once it tells no more.
            self.revocations.add(&feed.revocations);
            if feed.lost {
                self.start_over();
            } else {
                self.note_damaged(&feed.damaged, as_of);
                self.learn_all(&feed.keys, as_of);
            }
            followed.position = feed.position;
            followed.signing_keys |= feed.signing_keys || feed.lost;
            followed.session_keys |= feed.session_keys || feed.lost;
            followed.revocations |= feed.lost;
            self.read_what_is_due(followed).await?;
            if !feed.more && !feed.lost {
                self.synced_at
                    .store(asked_at.as_millis(), Ordering::Release);
                return Ok(());
            }
        }
    }

    async fn read_what_is_due(&self, followed: &mut Followed) -> Result<(), Error> {
        if followed.signing_keys {
            self.load_signing_keys().await?;
            followed.signing_keys = false;
        }
        if followed.session_keys {
            self.load_session_keys().await?;
            followed.session_keys = false;
        }
        if followed.revocations {
            self.load_revocations().await?;
            followed.revocations = false;
        }
        Ok(())
    }

    /// Forgets every key: the store was put back to an earlier state perhaps, where versions that
    /// are known here were never written.
    fn start_over(&self) {
        tracing::warn!("the change feed does not reach back to what was read: loading all keys");
        let mut reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        self.ring.forget_all();
        self.questions.forget_all();
        *reload = Some(Reload {
            begin: self.ring.moment(),
            after: None,
        });
    }

    fn reload(&self) -> Option<Reload> {
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of how far the keys were read, unless that was begun anew meanwhile.
    fn loaded(&self, done: Reload, next: Option<KeyId>) {
        let mut reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        if *reload != Some(done) {
            return;
        }
        *reload = next.map(|id| Reload {
            after: Some(id),
            ..done
        });
        if next.is_none() {
            self.ring.complete(done.begin);
        }
    }

    /// For how long there was no news from the store, in milliseconds; how late a revocation made
    /// elsewhere could be here.
    #[must_use]
    pub fn staleness_millis(&self, now: Timestamp) -> i64 {
        let synced_at = self.synced_at.load(Ordering::Acquire);
        now.as_millis().saturating_sub(synced_at).saturating_abs()
    }

    /// Whether the keyring is no older than the settings allow.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.staleness_millis(now) <= self.settings.max_staleness_millis
    }

    /// Makes sure the keyring is no older than the settings allow: a process that was paused, or
    /// whose store was away, honours nobody on what it knew before.
    pub(super) async fn ensure_fresh(&self, now: Timestamp) -> Result<(), Error> {
        if self.is_fresh(now) {
            return Ok(());
        }
        match tokio::time::timeout(SYNC_PATIENCE, self.catch_up()).await {
            Ok(synced) => synced,
            Err(_) => Err(Error::Unavailable(StoreError::Unavailable(
                "no news from it for too long".to_owned(),
            ))),
        }
    }

    /// Reads the feed unless somebody just did, while this waited for its turn.
    async fn catch_up(&self) -> Result<(), Error> {
        let mut followed = self.feed.lock().await;
        if self.is_fresh(self.now()) {
            return Ok(());
        }
        self.follow(&mut followed).await
    }

    /// Writes what was counted since the last time.
    ///
    /// # Errors
    /// If the store cannot be written; the counts are kept for the next time, unless they may be in it:
    /// each request is counted once at most.
    pub async fn write_uses(&self) -> Result<(), Error> {
        let counted = self.tally.drain();
        if counted.is_empty() {
            return Ok(());
        }
        let written = self.noted(self.store.add_uses(&counted).await);
        match written {
            Err(StoreError::Unconfirmed(_)) => {
                let requests: u64 = counted.iter().map(|counted| counted.count.requests).sum();
                tracing::warn!(requests, "it is not known whether uses were counted");
            }
            Err(_) => self.tally.restore(counted),
            Ok(()) => {}
        }
        Ok(written?)
    }

    /// Writes the refusals since the last time, but those like some that were written a moment ago.
    ///
    /// # Errors
    /// If the store cannot be written; the refusals are kept for the next time, also if they may be in
    /// it: the log has each once at least.
    pub async fn write_refusals(&self) -> Result<(), Error> {
        self.write_these(self.refusals.drain(self.now())).await
    }

    /// Writes all refusals that were not written yet.
    ///
    /// # Errors
    /// As [`Self::write_refusals`].
    pub async fn write_last_refusals(&self) -> Result<(), Error> {
        self.write_these(self.refusals.drain_all()).await
    }

    async fn write_these(&self, refusals: Vec<Refusal>) -> Result<(), Error> {
        if refusals.is_empty() {
            return Ok(());
        }
        let events = refusals.iter().cloned().map(Refusal::into_event);
        let commit = Commit {
            changes: Vec::new(),
            events: events.collect(),
        };
        let written = self.noted(self.store.commit(commit).await);
        if written.is_err() {
            self.refusals.restore(refusals);
        }
        Ok(written?)
    }

    /// Moves the counts of minutes that are over into the log.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn close_minutes(&self) -> Result<(), Error> {
        let now = self.now();
        // A few seconds late, so that what was counted at a minute's end is in its record.
        let minute = now.plus_seconds(-5).minute();
        loop {
            let closed = self.store.close_uses(minute, now, UPKEEP_STEP).await;
            if self.noted(closed)? < u64::from(UPKEEP_STEP) {
                return Ok(());
            }
        }
    }

    /// Gives back what was taken ahead of limits and is not needed, and looks whether who keeps them is
    /// back.
    pub async fn tend_limits(&self) {
        if let Some(leases) = self.rates.leases() {
            leases.tend().await;
        }
    }

    /// Gives back all that was taken ahead of limits.
    pub async fn give_back_limits(&self) {
        if let Some(leases) = self.rates.leases() {
            leases.end().await;
        }
    }

    /// Forgets what was used of limits that are whole again.
    pub async fn forget_unused_limits(&self) {
        match self.rates.leases() {
            Some(leases) => leases.forget_unused().await,
            None => self.rates.forget_unused(),
        }
    }

    /// How it stands with who keeps limits for several processes, if somebody does.
    #[must_use]
    pub fn limit_keeper_health(&self) -> Option<KeeperHealth> {
        self.rates.keeper_health()
    }

    /// Records that keys have expired, so that they are listed as such and the log tells when.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn record_expiries(&self) -> Result<(), Error> {
        let now = self.now();
        let system = Caller {
            actor: Actor::System,
            origin: Origin::default(),
            status: None,
        };
        loop {
            let as_of = self.ring.moment();
            let due = self.store.keys_to_expire(now, UPKEEP_STEP).await?;
            self.note_damaged(&due.damaged, as_of);
            let is_last = due.next.is_none();
            let due = due
                .records
                .into_iter()
                .filter(|key| key.status(now) == Status::Expired);
            let (mut changes, mut events) = (Vec::new(), Vec::new());
            for key in due {
                events.push(system.event(now, Action::KeyExpired, Some(key.id)));
                changes.push(Change::UpdateKey(Box::new(key.expire(now)?)));
            }
            if changes.is_empty() {
                return Ok(());
            }
            match self.commit(changes, events).await {
                // One of them was changed meanwhile: the next round reads them anew.
                Ok(()) | Err(Error::Conflict(_)) if is_last => return Ok(()),
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
