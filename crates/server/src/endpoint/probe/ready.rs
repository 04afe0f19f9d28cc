//! `GET /readyz`: requests can be answered.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use sealgate_core::authority::Authority;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Server;
use crate::error::Problem;
use crate::openapi::Always;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// That requests can be answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// What was looked at.
    checks: Checks,
}

/// What was looked at; each is `ok`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Checks {
    /// Every key is in memory.
    #[schema(example = "ok")]
    keys: &'static str,
    /// The store answers, and the last write reached it.
    #[schema(example = "ok")]
    store: &'static str,
}

/// Tell whether requests can be answered
///
/// 503 while keys are loaded after a start, and while the store is away or cannot be written; the
/// message says which.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operation",
    responses((status = 200, description = "They can", body = Readiness), Always),
)]
pub(crate) async fn ready(State(server): State<Arc<Server>>) -> Result<Json<Readiness>, Problem> {
    if !server.authority.is_loaded() {
        return Err(unready("keys: they are still being loaded", "keys"));
    }
    check_store(&server.authority).await?;
    if !server.authority.can_write() {
        return Err(unready(
            "store: it cannot be written",
            "the last write failed",
        ));
    }
    Ok(Json(Readiness {
        status: "ready",
        checks: Checks {
            keys: "ok",
            store: "ok",
        },
    }))
}

/// The follower of the change feed asks the store many times a second: only when it has had no
/// answer for too long is the store asked here, so that probes cost nothing.
async fn check_store(authority: &Authority) -> Result<(), Problem> {
    let staleness = authority.staleness_millis(authority.now());
    if staleness <= authority.settings().max_staleness_millis {
        return Ok(());
    }
    match tokio::time::timeout(PATIENCE, authority.sync()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(unready("store: it cannot be used", &error.to_string())),
        Err(_) => Err(unready("store: it does not answer", "no answer in time")),
    }
}

fn unready(check: &'static str, detail: &str) -> Problem {
    Problem::Unavailable(format!("not ready: {check}").into(), detail.to_owned())
}
