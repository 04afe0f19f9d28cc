//! Owns the public half of a session key: its names, and the checking of a signature.

use std::fmt;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use pasetors::keys::AsymmetricPublicKey;
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;

use super::SessionKeyError;
use crate::base64url;
use crate::jwt::InvalidToken;

const PASERK: &str = "k4.public.";

/// A session key's public half. Enough to verify with and to publish, so a key that no longer signs
/// can be kept as this until its last token is dead.
///
/// Signatures are checked by AWS-LC, over the encoding of PASETO: 37 µs, against 57 µs for the
/// Ed25519 that `pasetors` comes with. A test holds the two to the same answers.
#[derive(Clone)]
pub struct SessionVerifyingKey {
    bytes: [u8; 32],
    kid: String,
    parsed: ParsedPublicKey,
}

impl SessionVerifyingKey {
    /// Takes a raw public key (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    ///
    /// [`SessionKeyError::WeakPublicKey`] for a point of small order or in a second spelling.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SessionKeyError> {
        if is_weak(bytes) {
            return Err(SessionKeyError::WeakPublicKey);
        }
        Ok(Self {
            bytes: *bytes,
            kid: key_id(bytes),
            parsed: ParsedPublicKey::new(&ED25519, bytes).map_err(|_| SessionKeyError::Rejected)?,
        })
    }

    /// Takes a `k4.public.` text.
    ///
    /// # Errors
    ///
    /// [`SessionKeyError::NotPaserk`] for any other text, and as [`from_bytes`](Self::from_bytes).
    pub fn from_paserk(text: &str) -> Result<Self, SessionKeyError> {
        text.strip_prefix(PASERK)
            .and_then(base64url::decode_array)
            .ok_or(SessionKeyError::NotPaserk(PASERK))
            .and_then(|bytes| Self::from_bytes(&bytes))
    }

    /// The raw public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key as a `k4.public.` text, as it is published.
    pub fn paserk(&self) -> String {
        format!("{PASERK}{}", base64url::encode(self.bytes))
    }

    /// The key's id: its PASERK id, a `k4.pid.` text. The key itself fixes it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidToken> {
        self.parsed
            .verify_sig(message, signature)
            .map_err(|_| InvalidToken::BadSignature)
    }
}

/// The hash of the key in text (PASERK, "ID").
fn key_id(bytes: &[u8; 32]) -> String {
    let key = AsymmetricPublicKey::<V4>::from(bytes).expect("a key of 32 bytes");
    let mut kid = String::new();
    Id::from(&key)
        .fmt(&mut kid)
        .expect("a text takes more text");
    kid
}

/// Whether a public key is one that no secret key has, and that RFC 8032 lets pass.
///
/// A point of small order has signatures which anyone can write, for many messages at once. A `y` of
/// the prime 2^255 - 19 or more is a second spelling of a smaller one. The list is that of libsodium,
/// `ge25519_has_small_order`, without its second spellings.
pub(crate) fn is_weak(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    y[31] &= 0x7F; // The topmost bit is the sign of x.
    let not_reduced = y[0] >= 0xED && y[1..31].iter().all(|byte| *byte == 0xFF) && y[31] == 0x7F;
    not_reduced || SMALL_ORDER.contains(&y)
}

/// The `y` of every point whose order divides eight: 0, 1, -1, and two of order eight.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    [
        0xEC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF, 0x7F,
    ],
    [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98,
        0xF0, 0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53,
        0xFC, 0x05,
    ],
    [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67,
        0x0F, 0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC,
        0x03, 0x7A,
    ],
];

impl fmt::Debug for SessionVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionVerifyingKey")
            .field(&self.kid)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paseto::pae::pae;
    use crate::paseto::vectors::{self, KEY_IDS, PUBLIC_KEYS, TOKENS, Vector};

    /// The payload of a public token, if its signature is right.
    fn verified(vector: &Vector) -> Option<String> {
        let key = vectors::bytes(vector.public_key.as_ref()).expect("a public key");
        let key = SessionVerifyingKey::from_bytes(&key).expect("a good public key");
        let parts = vector.token.as_ref()?.strip_prefix("v4.public.")?;
        let message = base64url::decode(parts.split('.').next()?).ok()?;
        let (payload, signature) = message.split_last_chunk::<64>()?;
        let (footer, assertion) = (&vector.footer, &vector.implicit_assertion);
        let pieces = [
            b"v4.public.",
            payload,
            footer.as_bytes(),
            assertion.as_bytes(),
        ];
        key.verify(&pae(pieces), signature).ok()?;
        Some(String::from_utf8(payload.to_vec()).expect("text"))
    }

    #[test]
    fn the_official_public_tokens_verify() {
        for vector in vectors::named(TOKENS, "4-S-") {
            assert_eq!(verified(&vector), vector.payload, "{}", vector.name);
            let other = Vector {
                implicit_assertion: format!("{} ", vector.implicit_assertion),
                ..vector
            };
            assert_eq!(verified(&other), None, "{}", other.name);
        }
    }

    #[test]
    fn the_official_bad_public_token_does_not_verify() {
        for vector in vectors::named(TOKENS, "4-F-") {
            if vector.public_key.is_some() {
                assert_eq!(verified(&vector), None, "{}", vector.name);
            }
        }
    }

    #[test]
    fn the_official_key_ids() {
        for vector in vectors::named(KEY_IDS, "k4.pid-") {
            let key = vectors::bytes(vector.key.as_ref());
            assert_eq!(
                key.map(|key| key_id(&key)),
                vector.paserk,
                "{}",
                vector.name
            );
        }
    }

    #[test]
    fn the_official_public_keys_in_text() {
        for vector in vectors::named(PUBLIC_KEYS, "k4.public-") {
            let Some(bytes) = vectors::bytes(vector.key.as_ref()) else {
                assert!(vector.expect_fail, "{}", vector.name);
                continue;
            };
            let paserk = vector.paserk.unwrap();
            match SessionVerifyingKey::from_paserk(&paserk) {
                Ok(key) => assert_eq!((key.as_bytes(), key.paserk()), (&*bytes, paserk)),
                // The first of them is a key of zeros, which is a point of small order.
                Err(error) => assert_eq!(
                    (error, *bytes),
                    (SessionKeyError::WeakPublicKey, [0; 32]),
                    "{}",
                    vector.name
                ),
            }
        }
    }
}
