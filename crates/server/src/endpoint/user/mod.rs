//! Administration of users of the embedded directory. Every endpoint here wants an administrator's
//! credential.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod logout;
pub(super) mod password;
pub(super) mod show;
pub(super) mod update;

use serde::Serialize;
use utoipa::ToSchema;

/// What was done to a user.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {
    /// That it is done.
    #[schema(example = "User deleted")]
    message: &'static str,
    /// The user's name.
    #[schema(example = "ada")]
    username: String,
}
