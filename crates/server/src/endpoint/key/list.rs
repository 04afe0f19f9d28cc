//! `GET /api/auth/keys`: managed keys, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::authority::KeyFilter;
use sealgate_core::key::{Environment, Status};
use sealgate_core::view::KeyView;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, StrictQuery};
use crate::openapi::{Guarded, Parameters, Scoped};

/// Which keys to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// The beginning of a name, a whole prefix, or a `key_id`.
    q: Option<String>,
    /// Those in one state: `active`, `disabled`, `expired`, `rotated` or `revoked`.
    #[param(value_type = Option<String>, example = "active")]
    status: Option<Status>,
    /// Those of one environment: `development`, `testing` or `production`.
    #[param(value_type = Option<String>, example = "production")]
    environment: Option<Environment>,
    /// Those due for rotation alone.
    #[serde(default)]
    due: bool,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyPage {
    /// The keys, newest first; by name where names are searched.
    keys: Vec<KeyView>,
    /// What to send as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}

/// List keys
///
/// Newest first, or by name where `q` is the beginning of one.
#[utoipa::path(
    get,
    path = "/api/auth/keys",
    tag = "Keys",
    params(Filter),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "A page of keys", body = KeyPage),
        Guarded,
        Scoped,
        Parameters,
    ),
)]
pub(crate) async fn list_keys(
    State(server): State<Arc<Server>>,
    _: Authorized<Admin>,
    StrictQuery(filter): StrictQuery<Filter>,
) -> Result<Json<KeyPage>, Problem> {
    let (keys, next_cursor) = server.authority.list(&filter.into()).await?;
    let keys = keys.iter().map(|key| server.authority.view(key)).collect();
    Ok(Json(KeyPage { keys, next_cursor }))
}

impl From<Filter> for KeyFilter {
    fn from(filter: Filter) -> Self {
        Self {
            search: filter.q,
            status: filter.status,
            environment: filter.environment,
            due: filter.due,
            cursor: filter.cursor,
            limit: filter.limit,
        }
    }
}
