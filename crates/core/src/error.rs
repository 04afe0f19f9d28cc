//! What can go wrong in a use case. The HTTP side and the command line each map this to their own.

use std::time::Duration;

use thiserror::Error;

use crate::key::{IllegalTransition, KeyId, Status};
use crate::store::StoreError;

/// Why a use case was not carried out.
#[derive(Debug, Error)]
pub enum Error {
    /// The caller may not; the reason is for the log, not for the caller.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// What was asked for is not well-formed.
    #[error("{field}: {message}")]
    Invalid {
        /// The field at fault, as the caller named it.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// There is no such thing.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It cannot be done in the state that things are in.
    #[error("{0}")]
    Conflict(String),
    /// The store cannot be used now.
    #[error("the key store cannot be used at the moment")]
    Unavailable(#[source] StoreError),
    /// Something is broken; the text is for the log.
    #[error("internal error")]
    Internal(String),
}

impl Error {
    /// An [`Error::Invalid`] from whatever describes itself.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            message: message.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => {
                Self::Conflict("changed by somebody else at the same time".to_owned())
            }
            other => Self::Unavailable(other),
        }
    }
}

impl From<IllegalTransition> for Error {
    fn from(illegal: IllegalTransition) -> Self {
        Self::Conflict(illegal.to_string())
    }
}

/// A refused request: why, and whose it was as far as known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("refused: {}", .reason.slug())]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The key it was about, as far as known.
    pub key_id: Option<KeyId>,
}

/// Why a request was refused, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It carried no credential.
    NoCredential,
    /// A header that may be there once was there twice.
    DuplicateCredential,
    /// What it carried is no credential of any known form.
    MalformedCredential,
    /// A key with a mistyped character.
    MistypedKey,
    /// Nobody's key.
    UnknownKey,
    /// The key is in a state in which it is not honoured.
    KeyIs(Status),
    /// The key belongs to another environment than this server.
    OtherEnvironment,
    /// The key may not be used from the client's address.
    AddressNotAllowed,
    /// The token is not valid, for the reason given.
    InvalidToken(&'static str),
    /// The key or token lacks a permission.
    MissingPermission(String),
    /// Only an administrator's key may.
    NotAdmin,
    /// A key may not do this to itself.
    OwnKey,
    /// Too many requests with this key.
    RateLimited {
        /// Requests an hour.
        limit: u32,
        /// When to come back.
        retry_after: Duration,
    },
}

impl Reason {
    /// A stable name for logs, records and metrics.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::DuplicateCredential => "duplicate_credential",
            Self::MalformedCredential => "malformed_credential",
            Self::MistypedKey => "mistyped_key",
            Self::UnknownKey => "unknown_key",
            Self::KeyIs(Status::Active) => "key_not_honoured",
            Self::KeyIs(Status::Disabled) => "key_disabled",
            Self::KeyIs(Status::Expired) => "key_expired",
            Self::KeyIs(Status::Rotated) => "key_rotated",
            Self::KeyIs(Status::Revoked) => "key_revoked",
            Self::OtherEnvironment => "other_environment",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::InvalidToken(slug) => slug,
            Self::MissingPermission(_) => "missing_permission",
            Self::NotAdmin => "not_admin",
            Self::OwnKey => "own_key",
            Self::RateLimited { .. } => "rate_limited",
        }
    }
}
