//! Owns the sealed text that users of `/api/encrypt` keep:
//! `sg1.` and the base64url of key version, nonce, ciphertext and tag.
//!
//! Associated data binds it to the lineage of the managed key that sealed it (a key and those it was
//! rotated from and to), so no other key opens it even under the same data key.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::cipher::{NONCE_BYTES, TAG_BYTES};
use super::{OpenError, SealingKey};
use crate::base64url;

/// The longest plaintext of an envelope. Chosen so that the envelope with its JSON around it fits
/// the body limit of 1 MiB: what was encrypted can always be sent back to be decrypted.
pub const MAX_PLAINTEXT_BYTES: usize = 767 * 1024;

const SCHEME: &str = "sg1";
const VERSION_BYTES: usize = size_of::<u32>();
const OVERHEAD_BYTES: usize = VERSION_BYTES + NONCE_BYTES + TAG_BYTES;
const MAX_BODY_CHARS: usize = base64url::encoded_len(OVERHEAD_BYTES + MAX_PLAINTEXT_BYTES);

/// Seals `plaintext` for a lineage, under the data key of this `version`.
///
/// # Errors
///
/// [`PlaintextTooLong`] beyond [`MAX_PLAINTEXT_BYTES`], since such an envelope would not be read back.
pub fn seal_envelope(
    key: &SealingKey,
    version: u32,
    nonce: [u8; NONCE_BYTES],
    lineage: Uuid,
    plaintext: &[u8],
) -> Result<String, PlaintextTooLong> {
    if plaintext.len() > MAX_PLAINTEXT_BYTES {
        return Err(PlaintextTooLong);
    }
    let mut body = Vec::with_capacity(OVERHEAD_BYTES + plaintext.len());
    body.extend_from_slice(&version.to_be_bytes());
    body.extend_from_slice(&nonce);
    key.seal_onto(
        &mut body,
        nonce,
        &associated_data(lineage, version),
        plaintext,
    );
    let mut text = String::with_capacity(SCHEME.len() + 1 + base64url::encoded_len(body.len()));
    text.push_str(SCHEME);
    text.push('.');
    base64url::encode_onto(&mut text, body);
    Ok(text)
}

/// The plaintext is longer than [`MAX_PLAINTEXT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plaintext is longer than {MAX_PLAINTEXT_BYTES} bytes")]
pub struct PlaintextTooLong;

/// An envelope whose form is right. Whether it is genuine shows when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    version: u32,
    /// Version, nonce, ciphertext and tag, of which no part is missing.
    body: Vec<u8>,
}

impl Envelope {
    /// Reads an envelope's text.
    ///
    /// # Errors
    ///
    /// When [`seal_envelope`] cannot have made the text; see [`OpenError`].
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let body = text
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.strip_prefix('.'))
            .ok_or(OpenError::Malformed)?;
        if body.len() > MAX_BODY_CHARS {
            return Err(OpenError::TooLong);
        }
        let body = base64url::decode(body).map_err(|_| OpenError::NonCanonicalEncoding)?;
        let version = *body.first_chunk().ok_or(OpenError::Truncated)?;
        if body.len() < OVERHEAD_BYTES {
            return Err(OpenError::Truncated);
        }
        Ok(Self {
            version: u32::from_be_bytes(version),
            body,
        })
    }

    /// Which version of the lineage's data key it says it was sealed under.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Opens it with the data key of its [`version`](Self::version).
    ///
    /// # Errors
    ///
    /// [`OpenError::Rejected`] if it was sealed under another key or for another lineage, or if a byte
    /// of it has changed.
    pub fn open(&self, key: &SealingKey, lineage: Uuid) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        key.open(
            &associated_data(lineage, self.version),
            &self.body[VERSION_BYTES..],
        )
    }
}

/// Every field has a fixed length, so no two triples give the same bytes.
fn associated_data(lineage: Uuid, version: u32) -> [u8; SCHEME.len() + 16 + VERSION_BYTES] {
    let mut data = [0; SCHEME.len() + 16 + VERSION_BYTES];
    let (scheme, rest) = data.split_at_mut(SCHEME.len());
    let (id, number) = rest.split_at_mut(16);
    scheme.copy_from_slice(SCHEME.as_bytes());
    id.copy_from_slice(lineage.as_bytes());
    number.copy_from_slice(&version.to_be_bytes());
    data
}
