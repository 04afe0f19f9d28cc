//! The signed list of what was revoked and has not yet expired, for services that verify tokens
//! without asking: what is in it, how it is signed, and the one place where it is read.
//!
//! A list's life goes through types, as a token's does:
//!
//! 1. [`RevocationClaims`] are signed into text by [`RevocationClaims::sign`].
//! 2. [`RevocationList::verify`] checks who signed the text, reads it, and only then makes a
//!    [`RevocationList`], which can be asked about a key, a token, a session or a user.
//!
//! The format is specified in `docs/revocations.md`, for whoever implements it in another language.
//!
//! ```
//! use sealgate_token::jwt::{Algorithm, KeySet, SigningKey, jwk_set};
//! use sealgate_token::revocations::{RevocationClaims, RevocationList, UserHash};
//! use uuid::Uuid;
//!
//! let (key, _) = SigningKey::generate(Algorithm::EdDsa)?;
//! let (revoked, logged_out, salt, now) = (Uuid::from_u128(1), Uuid::from_u128(2), [7; 16], 1_790_000_000);
//! let text = RevocationClaims {
//!     iss: "sealgate".to_owned(),
//!     iat: now,
//!     exp: now + 3600,
//!     ttl: 2,
//!     token_lifetime: 3600,
//!     session_lifetime: 604_800,
//!     signers: vec![key.kid().to_string()],
//!     keys: vec![(revoked, now - 10)],
//!     jtis: vec![logged_out],
//!     salt,
//!     users: vec![(UserHash::of(&salt, "Ada"), 1_789_999_000_000)],
//! }
//! .sign(&key)?;
//!
//! let keys = KeySet::parse(&jwk_set([&key]).to_string())?;
//! let list = RevocationList::verify(&text, &keys, "sealgate", now)?;
//! assert!(list.is_key_revoked(revoked, now));
//! assert!(list.is_token_revoked(logged_out));
//! assert!(list.is_user_revoked("ada", 1_789_999_000_000));
//! assert!(!list.is_user_revoked("ada", 1_789_999_000_001));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
mod list;

pub use claims::{RevocationClaims, UserHash, fold_username};
pub use list::{InvalidList, RevocationList};

/// The `typ` of a list, which keeps it apart from every token (RFC 8725 section 3.11).
pub const TYPE: &str = "sealgate-revocations+jwt";

/// The media type of a list.
pub const MEDIA_TYPE: &str = "application/sealgate-revocations+jwt";

/// The longest list that is issued or read, in bytes. A million sessions and a million keys take less
/// than this.
pub const MAX_LIST_BYTES: usize = 128 * 1024 * 1024;
