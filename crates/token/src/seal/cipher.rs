//! Owns the use of AES-256-GCM-SIV: the layout of a sealed value, and why one does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// The length of a nonce.
pub const NONCE_BYTES: usize = 12;

/// The length of an authentication tag.
pub(super) const TAG_BYTES: usize = 16;

/// A key that seals and opens.
///
/// Its `Debug` shows nothing, and the key schedule is overwritten when it is dropped (AWS-LC cleanses
/// all memory that it frees).
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// Takes a key of 32 uniformly random bytes.
    ///
    /// # Panics
    ///
    /// Never: every 32 bytes are a key.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).expect("the key has the cipher's length");
        Self(LessSafeKey::new(key))
    }

    /// Seals `plaintext` and binds it to `aad`, which is not part of the result. The result is
    /// nonce, ciphertext and tag, one after the other.
    ///
    /// The nonce is to be random. One that is used twice under a key tells whether the two plaintexts
    /// are the same, and nothing else.
    ///
    /// # Panics
    ///
    /// When `plaintext` or `aad` is longer than 64 GiB, the cipher's limit.
    pub fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(NONCE_BYTES + plaintext.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        self.seal_onto(&mut sealed, nonce, aad, plaintext);
        sealed
    }

    /// Appends ciphertext and tag, the nonce being there already.
    ///
    /// `sealed` should have the room, or growing it leaves a copy of the plaintext behind.
    pub(super) fn seal_onto(
        &self,
        sealed: &mut Vec<u8>,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
    ) {
        let start = sealed.len();
        sealed.extend_from_slice(plaintext);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed[start..],
            )
            .expect("a plaintext in memory is shorter than the cipher's limit");
        sealed.extend_from_slice(tag.as_ref());
    }

    /// Opens what [`seal`](Self::seal) made with the same `aad`.
    ///
    /// # Errors
    ///
    /// [`OpenError::Truncated`] if it is too short to be such a value, and [`OpenError::Rejected`] if
    /// key, `aad`, or any byte is not what it was.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(OpenError::Truncated)?;
        let (ciphertext, tag) = sealed
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(OpenError::Truncated)?;
        let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut plaintext)
            .map_err(|_| OpenError::Rejected)?;
        Ok(plaintext)
    }
}

impl From<[u8; 32]> for SealingKey {
    fn from(key: [u8; 32]) -> Self {
        Self::new(&Zeroizing::new(key))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

/// Why a sealed value does not open.
///
/// They all read the same, so that a caller who passes one on tells an attacker nothing;
/// [`reason`](Self::reason) is for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value could not be opened")]
pub enum OpenError {
    /// Not an envelope of this version.
    Malformed,
    /// Longer than any envelope that is made.
    TooLong,
    /// Base64url with padding, white space, stray bits or foreign characters.
    NonCanonicalEncoding,
    /// Too short to hold version, nonce and tag.
    Truncated,
    /// Another key, another associated value, or a changed byte. The cipher cannot tell which.
    Rejected,
}

impl OpenError {
    /// A stable slug for audit records and metric labels.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::NonCanonicalEncoding => "non_canonical_encoding",
            Self::Truncated => "truncated",
            Self::Rejected => "rejected",
        }
    }
}
