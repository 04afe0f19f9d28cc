//! What a [`Problem`] leaves behind besides its answer: a refusal goes to the audit log and the metrics,
//! what is internal to the operator's log.

use sealgate_core::audit::Origin;
use sealgate_core::authority::Authority;

use crate::error::Problem;
use crate::request_id::RequestId;

/// Takes note of a problem, met by a request from somewhere on a route.
pub(crate) fn account(
    authority: &Authority,
    problem: &Problem,
    route: &str,
    origin: &Origin,
    request_id: RequestId,
) {
    if let Some(denied) = problem.denied() {
        let reason = denied.reason.slug();
        authority.refused(denied, origin, problem.status().as_u16());
        metrics::counter!("sealgate_refusals_total", "reason" => reason).increment(1);
        tracing::info!(
            reason,
            key_id = denied.key_id.map(tracing::field::display),
            address = origin.address.map(tracing::field::display),
            %request_id,
            "refused"
        );
    }
    if let Some(detail) = problem.detail() {
        tracing::error!(
            error = problem.slug(),
            detail,
            route,
            %request_id,
            "not answered as asked"
        );
    }
}
