//! Session tokens: a user's log-in as a PASETO, version 4 of the specification.
//!
//! A session token is two tokens, one in the other. The outer is a `v4.public` one: anyone can read
//! its claims and, with the published key, check them. Its claim `data` is the inner one, `v4.local`:
//! what the log-in said about the user, under a key that is derived from the seal key and that the
//! server does not keep.
//!
//! A token's life goes through types, and each step can only be taken from the one before:
//!
//! 1. [`SessionDataKey::seal`] makes the inner token, and [`SessionSigningKey::issue`] signs
//!    [`SessionClaims`] that hold it.
//! 2. [`UntrustedSession::parse`] reads text that anyone may have written. It says which key claims
//!    to have signed it, and nothing more: no claim is read yet.
//! 3. [`UntrustedSession::verify`] checks the signature, then reads the claims and judges them by a
//!    [`SessionPolicy`], and only then makes a [`TrustedSession`].
//! 4. [`SessionDataKey::open`] gives the user data back to whoever sends the seal key again.
//!
//! The inner token is bound to the outer one's `jti`, so it cannot be moved into another token.
//!
//! ```
//! use sealgate_token::jwt::InvalidToken;
//! use sealgate_token::paseto::{
//!     SessionClaims, SessionDataKey, SessionPolicy, SessionSigningKey, UntrustedSession,
//! };
//! use uuid::Uuid;
//!
//! let (key, jti, now) = (SessionSigningKey::from_seed(&[7; 32])?, Uuid::from_u128(1), 1_800_000_000);
//! let data_key = SessionDataKey::derive(b"gomaluum-default-key-2024");
//! let claims = SessionClaims {
//!     aud: "gomaluum".to_owned(),
//!     iss: "gomaluum".to_owned(),
//!     sub: "aisyah".to_owned(),
//!     iat: now,
//!     nbf: now,
//!     exp: now + 28_800,
//!     jti,
//!     sid: jti,
//!     auth_time: now,
//!     epoch: 1_790_000_000_000,
//!     data: data_key.seal(jti, r#"{"username":"aisyah"}"#)?,
//! };
//! let token = key.issue(&claims)?;
//!
//! let untrusted = UntrustedSession::parse(&token)?;
//! assert_eq!(untrusted.claimed_kid(), key.kid());
//! let policy = SessionPolicy::new("gomaluum", "gomaluum");
//! let session = untrusted.verify(key.verifying_key(), &policy, now)?;
//! assert_eq!(session.subject(), "aisyah");
//! assert_eq!(*data_key.open(session.jti(), session.data())?, r#"{"username":"aisyah"}"#);
//! assert_eq!(session.check_time(now + 28_800), Err(InvalidToken::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
mod data_key;
mod error;
mod key_set;
mod pae;
mod rfc3339;
mod signing_key;
#[cfg(test)]
mod vectors;
mod verify;
mod verifying_key;

pub use claims::SessionClaims;
pub use data_key::SessionDataKey;
pub use error::{SealError, SessionKeyError, WrongSealKey};
pub use key_set::{InvalidSessionKeySet, SessionKeySet};
pub use signing_key::SessionSigningKey;
pub use verify::{SessionPolicy, TrustedSession, UntrustedSession};
pub use verifying_key::SessionVerifyingKey;
pub(crate) use verifying_key::is_weak;

/// The longest session token that is issued or looked at, in bytes: as long as an access token may
/// be.
pub const MAX_TOKEN_BYTES: usize = crate::jwt::MAX_TOKEN_BYTES;

/// The most user data that a session token carries, in bytes.
///
/// Base64 is applied to it twice, so it takes 7,408 of the token's 8,192 bytes. The rest is for the
/// claims and the signature, and leaves room for a user name of 150 bytes and an audience and an
/// issuer of eight each. Where these are longer, the user data has to be shorter by as much.
pub const MAX_USER_DATA_BYTES: usize = 4096;

/// What every outer token starts with.
const HEADER: &str = "v4.public.";
