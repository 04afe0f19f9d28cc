//! Owns the signing of claims into a token's text.

use jsonwebtoken::EncodingKey;

use super::header::HS256_HEADER;
use super::{Algorithm, Claims, IssueError, MAX_TOKEN_BYTES};
use crate::base64url;

/// Issues a token under a managed key's own secret.
///
/// # Errors
///
/// When the claims are such that the token would be refused on its return; see [`IssueError`].
pub fn issue_hs256(claims: &Claims, secret: &[u8; 32]) -> Result<String, IssueError> {
    sign(
        HS256_HEADER,
        claims,
        Algorithm::Hs256,
        &EncodingKey::from_secret(secret),
    )
}

/// Puts the three parts together, if the result is not too long.
///
/// `jsonwebtoken::encode` would write `typ` before `alg`; the contract has it the other way round, so
/// the header is ours and the library signs.
pub(super) fn sign(
    header: &str,
    claims: &Claims,
    algorithm: Algorithm,
    key: &EncodingKey,
) -> Result<String, IssueError> {
    let payload = claims.to_json()?;
    let signature_len = base64url::encoded_len(algorithm.signature_bytes());
    let length = header.len() + base64url::encoded_len(payload.len()) + signature_len + 2;
    if length > MAX_TOKEN_BYTES {
        return Err(IssueError::TooLong);
    }
    compact(header, &payload, algorithm, key)
}

/// Puts a header that is encoded already, a payload and its signature together (RFC 7515 section
/// 7.1).
pub(super) fn compact(
    header: &str,
    payload: &[u8],
    algorithm: Algorithm,
    key: &EncodingKey,
) -> Result<String, IssueError> {
    let signature_len = base64url::encoded_len(algorithm.signature_bytes());
    let length = header.len() + base64url::encoded_len(payload.len()) + signature_len + 2;
    let mut token = String::with_capacity(length);
    token.push_str(header);
    token.push('.');
    base64url::encode_onto(&mut token, payload);
    let signature = jsonwebtoken::crypto::sign(token.as_bytes(), key, algorithm.into())
        .map_err(|_| IssueError::Signing)?;
    token.push('.');
    token.push_str(&signature);
    Ok(token)
}

impl Algorithm {
    const fn signature_bytes(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::EdDsa | Self::Es256 => 64,
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::HS256,
            Algorithm::EdDsa => Self::EdDSA,
            Algorithm::Es256 => Self::ES256,
        }
    }
}
