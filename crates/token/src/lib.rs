//! The tokens and sealed values of Sealgate: how they are written, and the one place where they are
//! judged.
//!
//! - [`jwt`]: access tokens, signed with a managed key's own secret or with a server key.
//! - [`revocations`]: the signed list of what was revoked, for verifiers that ask nobody.
//! - [`paseto`]: session tokens, in which a user's data is sealed with the caller's own key.
//! - [`seal`]: authenticated encryption, the `sg1.` envelope of `/api/encrypt`, key derivation.
//!
//! The crate is pure: bytes and `now` go in, a typed result comes out. It reads no clock and does no
//! I/O. Random bytes are parameters, with three exceptions, all inside the cryptographic
//! libraries: in [`jwt::SigningKey`], the making of a key pair and the nonce within an ES256 signature;
//! in [`paseto::SessionDataKey`], the nonce of the sealed user data.

mod base64url;
pub mod jwt;
pub mod paseto;
pub mod revocations;
pub mod seal;
