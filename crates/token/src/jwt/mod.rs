//! Access tokens: JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, after the advice of
//! RFC 8725.
//!
//! A token's life goes through types, and each step can only be taken from the one before:
//!
//! 1. [`Claims`] are signed into text by [`issue_hs256`] or [`SigningKey::issue`].
//! 2. [`Untrusted::parse`] reads text that anyone may have written. It says who claims to have signed
//!    it and for which key, so that the right secret can be looked up, and nothing more.
//! 3. [`Untrusted::verify_hs256`] or [`Untrusted::verify_server`] checks the signature, then judges
//!    the claims by a [`Policy`], and only then makes [`TrustedClaims`].
//!
//! Only this crate's own tokens are read, so the reader is as narrow as the writer: no claim, header
//! member, algorithm or spelling is accepted that is never issued.
//!
//! ```
//! use sealgate_token::jwt::{Claims, InvalidToken, Policy, Untrusted, issue_hs256};
//! use uuid::Uuid;
//!
//! let (secret, now) = ([7; 32], 1_790_000_000);
//! let claims = Claims {
//!     iss: "sealgate".to_owned(),
//!     sub: Uuid::from_u128(1),
//!     prefix: "aB3dE5fG".to_owned(),
//!     permissions: "api:read".to_owned(),
//!     is_admin: false,
//!     iat: now,
//!     exp: now + 3600,
//!     auth_time: now,
//!     jti: Uuid::from_u128(2),
//! };
//! let token = issue_hs256(&claims, &secret)?;
//!
//! let untrusted = Untrusted::parse(&token)?;
//! assert_eq!(untrusted.claimed_key_id(), claims.sub);
//! let policy = Policy::new("sealgate");
//! let trusted = untrusted.verify_hs256(&secret, &policy, now)?;
//! assert_eq!(trusted.permissions(), "api:read");
//!
//! let an_hour_later = Untrusted::parse(&token)?.verify_hs256(&secret, &policy, now + 3600);
//! assert_eq!(an_hour_later, Err(InvalidToken::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod claims;
mod error;
mod header;
mod issue;
mod key_set;
pub(crate) mod object;
pub(crate) mod scan;
mod server_key;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithmName};
pub use claims::Claims;
pub(crate) use claims::{CanonicalUuid, UnixSeconds};
pub use error::{InvalidToken, IssueError, KeyError};
pub use header::Signer;
pub(crate) use header::read_server_header;
pub use issue::issue_hs256;
pub use key_set::{InvalidKeySet, KeySet, MAX_KEY_SET_BYTES};
pub use server_key::{KeyIdError, SigningKey, Thumbprint, VerifyingKey, jwk_set};
pub use verify::{Policy, TrustedClaims, Untrusted};

/// The longest token that is looked at, in bytes. A typical one has 430; a header section may have
/// 16 KiB in all.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far, in seconds, another server's clock may run ahead of this one's.
///
/// It forgives an issue time (`iat`) that lies in the future by no more than this. An expiry gets no
/// such grace: a token is dead at `exp` to the second, or a revoked lifetime would quietly be longer
/// than the one that was promised.
pub const CLOCK_LEEWAY_SECONDS: i64 = 30;

/// The latest time a claim may name: 9999-12-31T23:59:59Z, the last that RFC 3339 can write.
pub(crate) const MAX_UNIX_SECONDS: i64 = 253_402_300_799;
