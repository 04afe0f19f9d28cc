//! The metrics of what goes through a gate, under the names of all requests' metrics. The handles are
//! made once: to look one up costs more than to use it.

use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram};

use crate::route::{METHODS, method_name};

/// Counts and measures the requests of one gate.
pub(crate) struct Meter {
    route: &'static str,
    passed: [Counter; METHODS.len()],
    durations: [Histogram; METHODS.len()],
}

impl Meter {
    /// For a gate; the recorder has to be there already.
    pub fn new(route: &'static str) -> Self {
        Self {
            route,
            passed: METHODS.map(|method| counter(method, route, StatusCode::OK)),
            durations: METHODS.map(|method| {
                metrics::histogram!(
                    "sealgate_request_duration_seconds",
                    "method" => method,
                    "route" => route,
                )
            }),
        }
    }

    /// Takes note of a request that was answered.
    pub fn record(&self, method: &Method, status: StatusCode, elapsed: Duration) {
        let name = method_name(method);
        let place = METHODS.iter().position(|known| *known == name);
        let place = place.unwrap_or(METHODS.len() - 1);
        if status == StatusCode::OK {
            self.passed[place].increment(1);
        } else {
            counter(METHODS[place], self.route, status).increment(1);
        }
        self.durations[place].record(elapsed);
    }
}

fn counter(method: &'static str, route: &'static str, status: StatusCode) -> Counter {
    metrics::counter!(
        "sealgate_requests_total",
        "method" => method,
        "route" => route,
        "status" => status.as_str().to_owned(),
    )
}
