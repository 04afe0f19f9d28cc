//! The metrics of this process, as Prometheus reads them.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

use crate::exit::{Failure, Outcome};
use crate::telemetry;

/// Bounds of the histograms of durations, in seconds: most requests never leave memory.
const DURATIONS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// How often what histograms have collected is summed up.
const UPKEEP: Duration = Duration::from_secs(5);

/// What writes the metrics.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Starts collecting.
///
/// # Errors
/// If something else in this process collects already.
pub fn install() -> Outcome<Render> {
    let complain = |error: metrics_exporter_prometheus::BuildError| {
        Failure::new(format!("the metrics cannot be collected: {error}"))
    };
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), DURATIONS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(complain)?;
    let summing = handle.clone();
    tokio::spawn(async move {
        // Without it the memory of a server that nobody scrapes would grow with each request.
        loop {
            tokio::time::sleep(UPKEEP).await;
            summing.run_upkeep();
        }
    });
    describe();
    Ok(Arc::new(move || {
        ::metrics::counter!("sealgate_log_lines_lost_total").absolute(telemetry::lost_lines());
        handle.render()
    }))
}

fn describe() {
    ::metrics::describe_counter!(
        "sealgate_requests_total",
        "Requests, by method, route and status"
    );
    ::metrics::describe_histogram!(
        "sealgate_request_duration_seconds",
        ::metrics::Unit::Seconds,
        "How long requests took, by method and route"
    );
    ::metrics::describe_counter!("sealgate_refusals_total", "Requests refused, by reason");
    ::metrics::describe_counter!(
        "sealgate_logins_total",
        "Users who logged in, by kind of seal key"
    );
    ::metrics::describe_counter!(
        "sealgate_bare_errors_total",
        "What clients sent that is no request, by fault"
    );
    ::metrics::describe_counter!(
        "sealgate_upstream_failures_total",
        "What went wrong with the service behind the gateway, by kind"
    );
    ::metrics::describe_gauge!("sealgate_open_connections", "Connections that are open");
    ::metrics::describe_gauge!(
        "sealgate_feed_lag_seconds",
        ::metrics::Unit::Seconds,
        "How late a change made by another process could be here"
    );
    ::metrics::describe_gauge!(
        "sealgate_revocations",
        "Tokens, sessions and users' logins that were ended and are not expired yet"
    );
    ::metrics::describe_counter!(
        "sealgate_policy_reloads_total",
        "Signals to read the policy again, by result"
    );
    ::metrics::describe_counter!(
        "sealgate_upkeep_failures_total",
        "What a server does besides answering and could not do, by chore"
    );
    ::metrics::describe_counter!(
        "sealgate_log_lines_lost_total",
        "Lines of the server's log that nobody took in time"
    );
    ::metrics::describe_gauge!(
        "sealgate_limits_shared",
        "Whether requests are counted for all processes together: 1, or 0 while that fails"
    );
    ::metrics::describe_counter!(
        "sealgate_limit_failures_total",
        "How often requests could not be counted for all processes together"
    );
}
