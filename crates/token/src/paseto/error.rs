//! Owns the reasons for which user data is not sealed or opened, or a signing key is not taken.
//!
//! Why a session token is refused is an [`InvalidToken`](crate::jwt::InvalidToken), why it is not
//! issued an [`IssueError`](crate::jwt::IssueError), as with access tokens.

/// Why user data was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No data at all, which a PASETO cannot carry.
    #[error("there is no user data to seal")]
    Empty,
    /// More than [`MAX_USER_DATA_BYTES`](super::MAX_USER_DATA_BYTES).
    #[error("the user data is longer than {} bytes", super::MAX_USER_DATA_BYTES)]
    TooLong,
    /// The cryptographic library had no randomness for the nonce.
    #[error("the user data could not be sealed")]
    Sealing,
}

/// User data that does not open: sealed with another seal key, for another token, or not at all.
///
/// The cipher cannot tell these apart. In a token whose signature was right, only the first can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user data was sealed with another seal key")]
pub struct WrongSealKey;

/// Why key material cannot be used as a session key. Shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionKeyError {
    /// Not a PASERK of the kind that is asked for.
    #[error("not a PASERK that starts with `{0}`")]
    NotPaserk(&'static str),
    /// Not the hexadecimal digits of a secret key.
    #[error("the secret key is not 128 hexadecimal digits, or the 64 of its seed")]
    SecretHex,
    /// Not the hexadecimal digits of a public key.
    #[error("the public key is not 64 hexadecimal digits")]
    PublicHex,
    /// A public key next to a secret key that is not its own.
    #[error("the secret key and the public key do not belong together")]
    Mismatch,
    /// A public key that fits signatures which nobody's secret key has made.
    #[error("the public key is not one that a secret key can have")]
    WeakPublicKey,
    /// The cryptographic library refused the key.
    #[error("the key is not an Ed25519 key")]
    Rejected,
}
