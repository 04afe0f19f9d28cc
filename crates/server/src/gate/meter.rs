//! The metrics of what goes through a gate, under the names of all requests' metrics. The handles are
//! made once: to look one up costs more than to use it.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use crate::route::{METHODS, method_name};

/// The answers whose counters are kept at hand.
const STATUSES: [StatusCode; 5] = [
    StatusCode::OK,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Counts and measures the requests of one gate.
pub(crate) struct Meter {
    route: &'static str,
    counters: [[OnceLock<Counter>; STATUSES.len()]; METHODS.len()],
    durations: [OnceLock<Histogram>; METHODS.len()],
}

impl Meter {
    /// For a gate.
    pub fn new(route: &'static str) -> Self {
        Self {
            route,
            counters: METHODS.map(|_| STATUSES.map(|_| OnceLock::new())),
            durations: METHODS.map(|_| OnceLock::new()),
        }
    }

    /// Takes note of a request that was answered.
    pub fn record(&self, method: &Method, status: StatusCode, elapsed: Duration) {
        let method = method_name(method);
        let of_method = METHODS.iter().position(|known| *known == method);
        let of_method = of_method.unwrap_or(METHODS.len() - 1);
        match STATUSES.iter().position(|known| *known == status) {
            Some(of_status) => self.counters[of_method][of_status]
                .get_or_init(|| self.counter(method, status))
                .increment(1),
            None => self.counter(method, status).increment(1),
        }
        self.durations[of_method]
            .get_or_init(|| self.histogram(method))
            .record(elapsed);
    }

    fn counter(&self, method: &'static str, status: StatusCode) -> Counter {
        metrics::counter!(
            "sealgate_requests_total",
            "method" => method,
            "route" => self.route,
            "status" => status.as_str().to_owned(),
        )
    }

    fn histogram(&self, method: &'static str) -> Histogram {
        metrics::histogram!(
            "sealgate_request_duration_seconds",
            "method" => method,
            "route" => self.route,
        )
    }
}
