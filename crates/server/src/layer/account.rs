//! What a [`Problem`] leaves behind besides its answer: a refusal goes to the audit log and the metrics,
//! what is internal to the operator's log.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue};
use metrics::Counter;
use sealgate_core::audit::Origin;
use sealgate_core::authority::{Authority, Refused};

use crate::error::Problem;
use crate::request_id::RequestId;

/// A request that met a problem, as records and logs tell of it.
#[derive(Clone, Copy)]
pub(crate) struct Unanswered<'a> {
    /// Under which the operator finds it.
    pub request_id: RequestId,
    /// The client's address.
    pub address: IpAddr,
    /// What it is logged as.
    pub route: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The client's own name for itself.
    pub user_agent: Option<&'a HeaderValue>,
}

impl Unanswered<'_> {
    /// Takes note of a problem. Refusals that are alike are counted together, and the first of them has
    /// a line in the log.
    pub fn account(&self, authority: &Authority, problem: &Problem) {
        if let Some(denied) = problem.denied() {
            let reason = denied.reason.slug();
            let refused = Refused {
                address: Some(self.address),
                path: Some(self.path),
                user_agent: self.user_agent.map(HeaderValue::as_bytes),
                status: problem.status().as_u16(),
            };
            let is_first = authority.refused(denied, &refused, || self.origin());
            count(reason);
            if is_first {
                tracing::info!(
                    reason,
                    key_id = denied.key_id.map(tracing::field::display),
                    address = %self.address,
                    request_id = %self.request_id,
                    "refused"
                );
            }
        }
        if let Some(detail) = problem.detail() {
            tracing::error!(
                error = problem.slug(),
                detail,
                route = self.route,
                request_id = %self.request_id,
                "not answered as asked"
            );
        }
    }

    /// The request as the audit log wants it.
    pub fn origin(&self) -> Origin {
        let agent = self.user_agent;
        Origin {
            address: Some(self.address),
            user_agent: agent.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()),
            method: Some(self.method.to_owned()),
            path: Some(self.path.to_owned()),
            request_id: Some(self.request_id.to_string()),
        }
    }
}

/// Counts a refusal. The counters are kept, of which there are as many as reasons: to look one up takes
/// longer than to refuse.
fn count(reason: &'static str) {
    static COUNTERS: RwLock<BTreeMap<&'static str, Counter>> = RwLock::new(BTreeMap::new());
    let counters = COUNTERS.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(counter) = counters.get(reason) {
        return counter.increment(1);
    }
    drop(counters);
    let counter = metrics::counter!("sealgate_refusals_total", "reason" => reason);
    counter.increment(1);
    let mut counters = COUNTERS.write().unwrap_or_else(PoisonError::into_inner);
    counters.insert(reason, counter);
}

/// The client's own name for itself.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(USER_AGENT)
}
