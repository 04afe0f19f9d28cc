//! Owns the secret half of a session key: where it comes from, and the signing of claims.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::pae::pae;
use super::{HEADER, MAX_TOKEN_BYTES, SessionClaims, SessionKeyError, SessionVerifyingKey};
use crate::base64url;
use crate::jwt::IssueError;

const PASERK: &str = "k4.secret.";

const SIGNATURE_BYTES: usize = 64;

/// A key that signs session tokens, by Ed25519 (RFC 8032).
///
/// Its `Debug` shows the public half alone, and the secret half is overwritten when it is dropped.
/// AWS-LC signs, as it verifies: one Ed25519 for both. The one in `pasetors` panics at a seed of
/// zeros and takes more than twice the time.
pub struct SessionSigningKey {
    pair: Ed25519KeyPair,
    /// Kept beside the pair, which gives it out only in copies that are not overwritten.
    seed: Zeroizing<Box<[u8]>>,
    public: SessionVerifyingKey,
    /// The same for every token.
    footer: String,
}

impl SessionSigningKey {
    /// Makes the key of a seed (RFC 8032 section 5.1.5). 32 random bytes make a new one.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError::Rejected`] if the cryptographic library fails.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SessionKeyError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SessionKeyError::Rejected)?;
        let public = pair.public_key().as_ref();
        let public = public.try_into().map_err(|_| SessionKeyError::Rejected)?;
        let public = SessionVerifyingKey::from_bytes(public)?;
        Ok(Self {
            pair,
            seed: Zeroizing::new(seed.as_slice().into()),
            footer: format!(r#"{{"kid":"{}"}}"#, public.kid()),
            public,
        })
    }

    /// Takes a seed followed by its public key, as [`to_bytes`](Self::to_bytes) gives it.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError::Mismatch`] if the two do not belong together.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, SessionKeyError> {
        let (seed, public) = bytes.split_at(32);
        let key = Self::from_seed(seed.try_into().expect("the half of 64 bytes"))?;
        key.of_public(public)
    }

    /// Takes a `k4.secret.` text.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError::NotPaserk`] for any other text, and as [`from_bytes`](Self::from_bytes).
    pub fn from_paserk(text: &str) -> Result<Self, SessionKeyError> {
        let bytes = text
            .strip_prefix(PASERK)
            .and_then(base64url::decode_array)
            .map(Zeroizing::new)
            .ok_or(SessionKeyError::NotPaserk(PASERK))?;
        Self::from_bytes(&bytes)
    }

    /// Takes a pair of texts in hexadecimal digits, of either case, as GoMaluum keeps them in its
    /// environment: the secret key of 64 bytes, or its seed of 32, and the public key.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError::SecretHex`] and [`SessionKeyError::PublicHex`] for texts that are not that,
    /// [`SessionKeyError::Mismatch`] if they do not belong together.
    pub fn from_hex_pair(secret: &str, public: &str) -> Result<Self, SessionKeyError> {
        let key = if secret.len() == 64 {
            Self::from_seed(&*hex(secret).ok_or(SessionKeyError::SecretHex)?)
        } else {
            Self::from_bytes(&*hex(secret).ok_or(SessionKeyError::SecretHex)?)
        }?;
        let public = hex::<32>(public).ok_or(SessionKeyError::PublicHex)?;
        key.of_public(public.as_slice())
    }

    /// Passes the key on if this is its public half.
    fn of_public(self, public: &[u8]) -> Result<Self, SessionKeyError> {
        if self.public.as_bytes() == public {
            Ok(self)
        } else {
            Err(SessionKeyError::Mismatch)
        }
    }

    /// The seed followed by the public key, to be kept encrypted.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(&self.seed);
        bytes[32..].copy_from_slice(self.public.as_bytes());
        bytes
    }

    /// The key as a `k4.secret.` text.
    pub fn to_paserk(&self) -> Zeroizing<String> {
        let mut text = String::with_capacity(PASERK.len() + base64url::encoded_len(64));
        text.push_str(PASERK);
        base64url::encode_onto(&mut text, self.to_bytes().as_slice());
        Zeroizing::new(text)
    }

    /// The public half.
    pub fn verifying_key(&self) -> &SessionVerifyingKey {
        &self.public
    }

    /// The key's id; see [`SessionVerifyingKey::kid`].
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    /// Issues a token that names this key in its footer.
    ///
    /// # Errors
    ///
    /// When the claims are such that the token would be refused on its return; see [`IssueError`].
    pub fn issue(&self, claims: &SessionClaims) -> Result<String, IssueError> {
        let mut payload = claims.to_json()?;
        let message_bytes = payload.len() + SIGNATURE_BYTES;
        let length = HEADER.len()
            + base64url::encoded_len(message_bytes)
            + 1
            + base64url::encoded_len(self.footer.len());
        if length > MAX_TOKEN_BYTES {
            return Err(IssueError::TooLong);
        }
        let signed = pae([HEADER.as_bytes(), &payload, self.footer.as_bytes(), b""]);
        let signature = self.pair.try_sign(&signed);
        payload.extend_from_slice(signature.map_err(|_| IssueError::Signing)?.as_ref());
        let mut token = String::with_capacity(length);
        token.push_str(HEADER);
        base64url::encode_onto(&mut token, payload);
        token.push('.');
        base64url::encode_onto(&mut token, &self.footer);
        Ok(token)
    }
}

/// Reads exactly `N` bytes in hexadecimal digits.
pub(super) fn hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

impl AsRef<SessionVerifyingKey> for SessionSigningKey {
    fn as_ref(&self) -> &SessionVerifyingKey {
        &self.public
    }
}

impl fmt::Debug for SessionSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paseto::vectors::{self, SECRET_KEYS};

    #[test]
    fn the_official_secret_keys_in_text() {
        for vector in vectors::named(SECRET_KEYS, "k4.secret-") {
            let Some(bytes) = vectors::bytes(vector.key.as_ref()) else {
                assert!(vector.expect_fail, "{}", vector.name);
                continue;
            };
            let paserk = vector.paserk.unwrap();
            let key = SessionSigningKey::from_bytes(&bytes).unwrap();
            assert_eq!(*key.to_paserk(), paserk);
            assert_eq!(key.to_bytes(), bytes);
            let read = SessionSigningKey::from_paserk(&paserk).unwrap();
            assert_eq!(read.to_bytes(), bytes);
            let seed = vectors::bytes(vector.secret_key_seed.as_ref()).unwrap();
            let made = SessionSigningKey::from_seed(&seed).unwrap();
            assert_eq!(made.to_bytes(), bytes);
        }
    }

    #[test]
    fn the_official_tokens_are_signed_alike() {
        for vector in vectors::named(vectors::TOKENS, "4-S-") {
            let bytes = vectors::bytes(vector.secret_key.as_ref()).unwrap();
            let key = SessionSigningKey::from_bytes(&bytes).unwrap();
            let mut message = vector.payload.unwrap().into_bytes();
            let (footer, assertion) = (vector.footer.as_bytes(), vector.implicit_assertion);
            let signed = pae([HEADER.as_bytes(), &message, footer, assertion.as_bytes()]);
            message.extend_from_slice(key.pair.sign(&signed).as_ref());
            let token = format!("{HEADER}{}", base64url::encode(message));
            assert!(vector.token.unwrap().starts_with(&token), "{}", vector.name);
        }
    }

    #[test]
    fn hexadecimal_digits_are_of_either_case_and_as_many_as_there_must_be() {
        assert_eq!(hex("00fFaB"), Some(Zeroizing::new([0, 0xFF, 0xAB])));
        for other in [
            "",
            "00fFa",
            "00fFaB0",
            "00fFaB00",
            "0xfFaB",
            "00 FaB",
            "+0fFaB",
            "0\u{e9}fab",
        ] {
            assert_eq!(hex::<3>(other), None, "{other}");
        }
    }
}
