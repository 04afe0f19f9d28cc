//! Access tokens: what a managed key is exchanged for, so that the key itself travels seldom. And what
//! services do with tokens that others hold.

pub(super) mod introspect;
pub(super) mod issue;
pub(super) mod renew;
pub(super) mod revoke;

use sealgate_core::authority::Grant;
use sealgate_core::secret::SecretText;
use sealgate_core::user::secret_text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An access token that was just issued.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// The token, to be sent as `Authorization: Bearer`.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")]
    token: String,
    /// For how many seconds it is good.
    #[schema(example = 3600)]
    expires_in: i64,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// The key it was issued for.
    #[schema(example = "550e8400-e29b-41d4-a716-446655440000")]
    key_id: Uuid,
    /// What it allows.
    #[schema(example = "api:read api:write")]
    permissions: String,
    /// Whether it is an administrator's.
    #[schema(example = false)]
    is_admin: bool,
}

impl From<Grant> for TokenAnswer {
    fn from(grant: Grant) -> Self {
        Self {
            token: grant.token.expose().to_owned(),
            expires_in: grant.expires_in,
            token_type: "Bearer",
            key_id: grant.key_id.0,
            permissions: grant.permissions,
            is_admin: grant.is_admin,
        }
    }
}

/// A token that somebody else holds, as a form (RFC 7662 section 2.1, RFC 7009 section 2.1).
#[derive(Deserialize, ToSchema)]
pub(super) struct TokenForm {
    /// The token.
    #[serde(deserialize_with = "secret_text")]
    #[schema(value_type = String, example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")]
    token: SecretText,
    /// Of which kind the token is. Its form tells, so that this is not looked at.
    #[serde(rename = "token_type_hint")]
    #[schema(example = "access_token")]
    _hint: Option<String>,
}
