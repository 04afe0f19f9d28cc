//! Uses of managed keys, counted before the caller hears of them. Where each has to be in the audit log
//! and one cannot be, the answer is withheld.

use std::sync::Arc;

use http::StatusCode;
use sealgate_core::audit::Origin;
use sealgate_core::authority::{Authority, Session};
use sealgate_core::key::KeyId;

use super::arrival::Arrival;
use crate::error::Problem;

/// A request that was served.
pub(crate) struct Use {
    route: Arc<str>,
    origin: Origin,
    status: StatusCode,
}

impl Use {
    /// What is to be counted of a request that is answered with this status.
    pub fn of(authority: &Authority, arrival: &Arrival, status: StatusCode) -> Self {
        // The address is all that a counter needs; the rest would cost allocations.
        let origin = if authority.settings().audit_all_requests {
            arrival.origin()
        } else {
            Origin {
                address: Some(arrival.address),
                ..Origin::default()
            }
        };
        let route = if status < StatusCode::BAD_REQUEST {
            Arc::clone(&arrival.route.name)
        } else {
            format!("{} {}", arrival.route.name, status.as_u16()).into()
        };
        Self {
            route,
            origin,
            status,
        }
    }

    /// Counts it as a key's.
    pub async fn of_key(&self, authority: &Authority, key_id: KeyId) -> Result<(), Problem> {
        let status = self.status.as_u16();
        let served = authority.served(key_id, &self.route, &self.origin, status);
        Ok(served.await?)
    }

    /// Counts it as a session's.
    pub async fn of_session(
        &self,
        authority: &Authority,
        session: &Session,
    ) -> Result<(), Problem> {
        let status = self.status.as_u16();
        let served = authority.served_session(session, &self.route, &self.origin, status);
        Ok(served.await?)
    }
}
