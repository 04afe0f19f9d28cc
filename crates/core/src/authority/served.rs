//! Served requests: counted, and recorded one by one where that is wanted.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Authority, Session};
use crate::audit::{Action, Actor, Event, Origin};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::KeyId;
use crate::store::Commit;

impl Authority {
    /// Counts a use of a key, where no record of its own is wanted.
    pub fn count_use(&self, key_id: KeyId, address: IpAddr, route: &Arc<str>, now: Timestamp) {
        self.tally.add(key_id, address, route, now);
    }

    /// Counts a served request; with `audit.requests = "all"` its record is durable on return.
    ///
    /// # Errors
    /// If every request is to be recorded and this one cannot be.
    pub async fn served(
        &self,
        key_id: KeyId,
        route: &Arc<str>,
        origin: &Origin,
        status: u16,
    ) -> Result<(), Error> {
        let record = self.count_served(key_id, route, origin, status);
        self.record(record.into_iter().collect()).await
    }

    /// Counts a served request; with `audit.requests = "all"` there is a record of it, which
    /// [`Self::record`] has to write before anybody hears of the answer.
    #[must_use]
    pub fn count_served(
        &self,
        key_id: KeyId,
        route: &Arc<str>,
        origin: &Origin,
        status: u16,
    ) -> Option<Event> {
        let now = self.now();
        let address = origin.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        self.tally.add(key_id, address, route, now);
        let record = || {
            let (action, actor) = (Action::RequestServed, Actor::Key(key_id));
            let event = Event::new(now, action, Some(key_id), &actor);
            event.from(origin).with_status(status)
        };
        self.settings.audit_all_requests.then(record)
    }

    /// Counts a request of a session's: as a use of the managed key it is sealed with, if it is one;
    /// with `audit.requests = "all"` its record is durable on return.
    ///
    /// # Errors
    /// If every request is to be recorded and this one cannot be.
    pub async fn served_session(
        &self,
        session: &Session,
        route: &Arc<str>,
        origin: &Origin,
        status: u16,
    ) -> Result<(), Error> {
        let record = self.count_served_session(session, route, origin, status);
        self.record(record.into_iter().collect()).await
    }

    /// As [`Self::count_served`], a request of a session's.
    #[must_use]
    pub fn count_served_session(
        &self,
        session: &Session,
        route: &Arc<str>,
        origin: &Origin,
        status: u16,
    ) -> Option<Event> {
        let now = self.now();
        let key_id = session.sealed_by().key_id();
        if let (Some(key_id), Some(address)) = (key_id, origin.address) {
            self.tally.add(key_id, address, route, now);
        }
        let record = || {
            let actor = Actor::User(session.username().to_owned());
            let event = Event::new(now, Action::RequestServed, key_id, &actor);
            event.from(origin).with_status(status)
        };
        self.settings.audit_all_requests.then(record)
    }

    /// Makes records durable.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn record(&self, events: Vec<Event>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let changes = Vec::new();
        self.noted(self.store.commit(Commit { changes, events }).await)?;
        Ok(())
    }
}
