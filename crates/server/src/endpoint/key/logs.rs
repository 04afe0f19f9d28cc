//! `GET /api/auth/keys/{id}/logs`: what a key did, and what was done to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::view::EventView;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, KeyReference, StrictQuery};
use crate::openapi::{Absent, Guarded, Parameters, Scoped};

/// Which part of the log to show.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many records.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    /// The records, newest first. On the first page, counts of minutes that are not over come
    /// before them.
    events: Vec<EventView>,
    /// What to send as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}

/// Show a key's audit log
///
/// Changes, refusals, tokens, and requests served, counted per minute, address and route.
#[utoipa::path(
    get,
    path = "/api/auth/keys/{id}/logs",
    tag = "Keys",
    params(("id" = String, Path, description = "The key's `key_id`, or its prefix"), Page),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "A page of the log", body = EventPage),
        Guarded,
        Scoped,
        Parameters,
        Absent,
    ),
)]
pub(crate) async fn key_logs(
    State(server): State<Arc<Server>>,
    _: Authorized<Admin>,
    KeyReference(id): KeyReference,
    StrictQuery(page): StrictQuery<Page>,
) -> Result<Json<EventPage>, Problem> {
    let authority = &server.authority;
    let key = authority.key(&id).await?;
    let log = authority
        .logs(Some(key.id), page.cursor.as_deref(), page.limit)
        .await?;
    Ok(Json(EventPage {
        events: log.events,
        next_cursor: log.next_cursor,
    }))
}
