//! What can go wrong in a use case. The HTTP side and the command line each map this to their own.

use std::time::Duration;

use thiserror::Error;

use crate::key::{IllegalTransition, KeyId, Status};
use crate::rate::RateLimit;
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
    /// Who counts requests for all processes does not answer.
    #[error("rate limits cannot be checked at the moment")]
    LimitsUnavailable,
    /// There is more to do than can be done now.
    #[error("too much is asked for at once")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The directory of users outside cannot be used; the text is for the log.
    #[error("the user directory cannot be used at the moment")]
    DirectoryUnavailable(String),
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

impl Denied {
    /// Of a key that is nobody's.
    #[must_use]
    pub const fn unknown_key() -> Self {
        Self {
            reason: Reason::UnknownKey,
            key_id: None,
        }
    }
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
    /// What it tells of itself contradicts itself, or can be read in several ways.
    AmbiguousRequest,
    /// The policy lets nobody pass there.
    RouteClosed,
    /// The policy takes credentials of other kinds there.
    CredentialKindNotAllowed,
    /// The policy lets somebody pass there on servers of another environment alone.
    RouteEnvironment,
    /// The policy hands on a value of the caller's that is missing, or that no header can hold: its
    /// name.
    MissingValue(String),
    /// A key may not do this to itself.
    OwnKey,
    /// Too many requests with this key.
    RateLimited {
        /// What it may do.
        limit: RateLimit,
        /// When to come back.
        retry_after: Duration,
    },
    /// Too many requests from an address, where no credential is needed.
    AddressLimited {
        /// Requests a minute.
        limit: u32,
        /// When to come back.
        retry_after: Duration,
    },
    /// What was sent as a seal key is none of any known form.
    MalformedSealKey,
    /// No seal key was sent, or the default one, and that is not enough here.
    SealKeyRequired,
    /// The session was sealed with another key.
    WrongSealKey {
        /// Whose session it is.
        username: String,
    },
    /// Nobody is logged in by this user name and password.
    LoginFailed {
        /// Why, for the audit log.
        why: LoginFailure,
        /// The name that was tried, if it could be one.
        username: Option<String>,
    },
    /// Too many failed logins of an account, or from an address.
    TooManyAttempts {
        /// The name that was tried, if it could be one.
        username: Option<String>,
        /// When to come back.
        retry_after: Duration,
    },
}

impl Reason {
    /// The user it is about, as far as known.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::WrongSealKey { username } => Some(username),
            Self::LoginFailed { username, .. } | Self::TooManyAttempts { username, .. } => {
                username.as_deref()
            }
            _ => None,
        }
    }
}

/// Why a login failed. The client is not told which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// There is no such user.
    UnknownUser,
    /// The password is another.
    WrongPassword,
    /// The user may not log in.
    UserDisabled,
    /// The user was changed while the password was checked.
    UserChanged,
    /// The directory outside says no.
    DirectoryRefused,
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
            Self::AmbiguousRequest => "ambiguous_request",
            Self::RouteClosed => "route_closed",
            Self::CredentialKindNotAllowed => "credential_kind_not_allowed",
            Self::RouteEnvironment => "route_environment",
            Self::MissingValue(_) => "session_value_missing",
            Self::OwnKey => "own_key",
            Self::RateLimited { .. } => "rate_limited",
            Self::AddressLimited { .. } => "address_limited",
            Self::MalformedSealKey => "malformed_seal_key",
            Self::SealKeyRequired => "seal_key_required",
            Self::WrongSealKey { .. } => "wrong_seal_key",
            Self::LoginFailed { why, .. } => match why {
                LoginFailure::UnknownUser => "unknown_user",
                LoginFailure::WrongPassword => "wrong_password",
                LoginFailure::UserDisabled => "user_disabled",
                LoginFailure::UserChanged => "user_changed",
                LoginFailure::DirectoryRefused => "directory_refused",
            },
            Self::TooManyAttempts { .. } => "too_many_attempts",
        }
    }
}
