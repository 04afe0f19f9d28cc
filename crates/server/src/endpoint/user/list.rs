//! `GET /api/users`: users, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use sealgate_core::authority::UserFilter;
use sealgate_core::view::UserView;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::Server;
use crate::error::Problem;
use crate::extract::{Admin, Authorized, StrictQuery};
use crate::openapi::{Guarded, Parameters, Scoped};

/// Which users to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// The beginning of a name.
    q: Option<String>,
    /// Those that may log in, or those that may not.
    is_active: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserPage {
    /// The users, by name.
    users: Vec<UserView>,
    /// What to send as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}

/// List users
///
/// In the order of their names.
#[utoipa::path(
    get,
    path = "/api/users",
    tag = "Users",
    params(Filter),
    security(("ApiKeyAuth" = []), ("BearerAuth" = [])),
    responses(
        (status = 200, description = "A page of users", body = UserPage),
        Guarded,
        Scoped,
        Parameters,
    ),
)]
pub(crate) async fn list_users(
    State(server): State<Arc<Server>>,
    _: Authorized<Admin>,
    StrictQuery(filter): StrictQuery<Filter>,
) -> Result<Json<UserPage>, Problem> {
    let (users, next_cursor) = server.authority.list_users(&filter.into()).await?;
    let users = users.into_iter().map(UserView::from).collect();
    Ok(Json(UserPage { users, next_cursor }))
}

impl From<Filter> for UserFilter {
    fn from(filter: Filter) -> Self {
        Self {
            search: filter.q,
            is_active: filter.is_active,
            cursor: filter.cursor,
            limit: filter.limit,
        }
    }
}
