//! Authenticated encryption, and the keys for it.
//!
//! [`SealingKey`] is the bare cipher, for encrypted columns and wrapped keys. [`Envelope`] and
//! [`seal_envelope`] are the `sg1.` text that `/api/encrypt` gives to users. [`derive()`] makes a key for
//! one purpose out of the master key.
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452). With plain GCM a nonce used twice gives away the key of
//! the authentication; here it shows no more than that two plaintexts are the same. Nonces are random
//! and a data key seals without a counter, so that difference is worth its second pass.

mod cipher;
mod derive;
mod envelope;

pub use cipher::{NONCE_BYTES, OpenError, SealingKey};
pub use derive::derive;
pub(crate) use derive::hkdf_sha256;
pub use envelope::{Envelope, MAX_PLAINTEXT_BYTES, PlaintextTooLong, seal_envelope};
