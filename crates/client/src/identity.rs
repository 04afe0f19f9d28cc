//! Who calls: what a verified credential said, and how a handler gets it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde_json::Value;
use uuid::Uuid;

use crate::permission::allow;
use crate::refusal::Refusal;

/// Who sent a request, as its credential proved.
///
/// [`VerifyLayer`](crate::VerifyLayer) puts it into the extensions of the request, and a handler takes it
/// as an argument: `Identity` where there has to be one, `Option<Identity>` where the layer lets
/// requests without a credential through too.
///
/// Its `Debug` shows nothing of the user data.
#[derive(Clone, PartialEq)]
pub struct Identity {
    /// What was proved: a key, an access token, or a user's session.
    pub kind: Kind,
    /// The managed key: the caller's own, or the one that seals the session, as far as it is known.
    pub key_id: Option<Uuid>,
    /// The key's identifier, or the user's name. A user may have chosen a name that looks like a key's
    /// identifier, so look at [`kind`](Self::kind) first.
    pub subject: String,
    /// What the caller may do, separated by spaces; `*` of an administrator, empty of a session.
    pub permissions: String,
    /// The environment of the server that verified the credential; none if it was verified here.
    pub environment: Option<String>,
    /// The first second at which the credential is dead, in unix seconds; none if the server verified
    /// it.
    pub expires_at: Option<i64>,
    /// What the directory told of the user at the login; none of keys and access tokens, and none if the
    /// server verified the session.
    pub user_data: Option<Arc<Value>>,
}

/// The kinds of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A managed key.
    Key,
    /// An access token, which a managed key was exchanged for.
    Token,
    /// A session token, with the seal key of the login.
    Session,
}

impl Kind {
    /// The name, as it stands in `X-Auth-Kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

impl Identity {
    /// Somebody with a name, who may do nothing: to begin with in a test of a service.
    pub fn of(kind: Kind, subject: impl Into<String>) -> Self {
        Self {
            kind,
            key_id: None,
            subject: subject.into(),
            permissions: String::new(),
            environment: None,
            expires_at: None,
            user_data: None,
        }
    }

    /// Whether the caller has a permission, such as `orders:read`: by itself, by `orders:*` or by `*`.
    pub fn allows(&self, permission: &str) -> bool {
        allow(&self.permissions, permission)
    }

    /// For a handler that needs more than its route does.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], which is answered with 403, if the caller lacks the permission. A session
    /// has none.
    pub fn require(&self, permission: &str) -> Result<(), Refusal> {
        if self.allows(permission) {
            Ok(())
        } else {
            Err(Refusal::Forbidden)
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("kind", &self.kind)
            .field("key_id", &self.key_id)
            .field("subject", &self.subject)
            .field("permissions", &self.permissions)
            .field("environment", &self.environment)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = NoIdentity;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoIdentity> {
        let identity = parts.extensions.get().cloned();
        identity.ok_or_else(|| match parts.extensions.get::<Anonymous>() {
            Some(Anonymous) => NoIdentity::Anonymous,
            None => NoIdentity::Unverified,
        })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Identity {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// Marks a request that was let through without a credential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anonymous;

/// A handler wants an [`Identity`], and there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// The layer lets requests without a credential through, and this handler does not. Answered with 401.
    #[error("the request has no credential")]
    Anonymous,
    /// There is no [`VerifyLayer`](crate::VerifyLayer) around the handler. Answered with 500: it is a
    /// mistake of the service, and not of its caller.
    #[error("a handler wants an identity, and there is no layer around it that verifies one")]
    Unverified,
}

impl IntoResponse for NoIdentity {
    fn into_response(self) -> Response {
        match self {
            Self::Anonymous => Refusal::NoCredential.into_response(),
            Self::Unverified => {
                tracing::error!("{self}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_user_data() {
        let identity = Identity {
            user_data: Some(Arc::new(json!({"cookie": "hunter2"}))),
            ..Identity::of(Kind::Session, "ada")
        };
        let shown = format!("{identity:?}");
        assert!(
            shown.contains("ada") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn without_a_layer_a_handler_gets_no_identity() {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        let wanted = <Identity as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        let error = wanted.unwrap_err();
        assert_eq!(error.into_response().status(), 500);
        let optional =
            <Identity as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        assert_eq!(optional, Ok(None));
    }
}
