//! Owns the inner token: the user data under a key that only the seal key gives.

use std::fmt;

use pasetors::Local;
use pasetors::keys::SymmetricKey;
use pasetors::token::{TrustedToken, UntrustedToken};
use pasetors::version4::{LocalToken, V4};
use uuid::Uuid;
use uuid::fmt::Hyphenated;
use zeroize::Zeroizing;

use super::{MAX_USER_DATA_BYTES, SealError, WrongSealKey};
use crate::seal::hkdf_sha256;

/// What tells this use of a seal key from any other.
const PURPOSE: &[u8] = b"sealgate v1 session data";

/// The key of the inner token. Its `Debug` shows nothing, and it is overwritten when it is dropped.
pub struct SessionDataKey(SymmetricKey<V4>);

impl SessionDataKey {
    /// Derives the key from a seal key in its canonical spelling, by HKDF-SHA-256 (RFC 5869) with an
    /// empty salt and `sealgate v1 session data` as `info`.
    pub fn derive(seal_key: &[u8]) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        hkdf_sha256(seal_key, PURPOSE, key.as_mut_slice());
        Self(SymmetricKey::from(key.as_slice()).expect("a key of 32 bytes, as version 4 has"))
    }

    /// Seals user data into the inner token of the session token with this `jti`.
    ///
    /// The nonce is `pasetors`' own, from the operating system: there is no way to pass one in.
    ///
    /// # Errors
    ///
    /// When there is no data, or more than [`MAX_USER_DATA_BYTES`].
    pub fn seal(&self, jti: Uuid, user_data: &str) -> Result<String, SealError> {
        match user_data.len() {
            0 => Err(SealError::Empty),
            1..=MAX_USER_DATA_BYTES => self
                .encrypt(user_data.as_bytes(), jti)
                .ok_or(SealError::Sealing),
            _ => Err(SealError::TooLong),
        }
    }

    fn encrypt(&self, user_data: &[u8], jti: Uuid) -> Option<String> {
        LocalToken::encrypt(
            &self.0,
            user_data,
            None,
            Some(assertion(jti, &mut [0; Hyphenated::LENGTH])),
        )
        .ok()
    }

    /// Opens the inner token of the session token with this `jti`.
    ///
    /// The text that is returned is overwritten when it is dropped. Two copies within `pasetors`, of
    /// the decryption and of its result, are freed as they are: it neither overwrites them nor lends
    /// them out.
    ///
    /// # Errors
    ///
    /// [`WrongSealKey`] if it was sealed with another seal key or for another token.
    pub fn open(&self, jti: Uuid, inner: &str) -> Result<Zeroizing<String>, WrongSealKey> {
        let untrusted = UntrustedToken::<Local, V4>::try_from(inner).map_err(|_| WrongSealKey)?;
        if !untrusted.untrusted_footer().is_empty() {
            return Err(WrongSealKey);
        }
        let opened = self.decrypt(&untrusted, assertion(jti, &mut [0; Hyphenated::LENGTH]))?;
        Ok(Zeroizing::new(opened.payload().to_owned()))
    }

    fn decrypt(
        &self,
        untrusted: &UntrustedToken<Local, V4>,
        assertion: &[u8],
    ) -> Result<TrustedToken, WrongSealKey> {
        LocalToken::decrypt(&self.0, untrusted, None, Some(assertion)).map_err(|_| WrongSealKey)
    }
}

/// The implicit assertion, which is authenticated without being sent: the outer token's id.
fn assertion(jti: Uuid, buffer: &mut [u8; Hyphenated::LENGTH]) -> &[u8] {
    jti.hyphenated().encode_lower(buffer).as_bytes()
}

impl fmt::Debug for SessionDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionDataKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paseto::vectors::{self, TOKENS, Vector};

    fn decrypted(vector: &Vector) -> Result<String, WrongSealKey> {
        let key = vectors::bytes::<32>(vector.key.as_ref()).expect("a key");
        let key = SessionDataKey(SymmetricKey::from(key.as_slice()).unwrap());
        let token =
            UntrustedToken::try_from(vector.token.as_ref().unwrap()).map_err(|_| WrongSealKey)?;
        let opened = key.decrypt(&token, vector.implicit_assertion.as_bytes())?;
        assert_eq!(opened.footer(), vector.footer.as_bytes(), "{}", vector.name);
        Ok(opened.payload().to_owned())
    }

    #[test]
    fn the_official_local_tokens_open() {
        for vector in vectors::named(TOKENS, "4-E-") {
            assert_eq!(decrypted(&vector).ok(), vector.payload, "{}", vector.name);
        }
    }

    #[test]
    fn the_official_bad_local_tokens_do_not_open() {
        for vector in vectors::named(TOKENS, "4-F-") {
            assert!(vector.expect_fail);
            if vector.key.is_some() {
                assert_eq!(decrypted(&vector), Err(WrongSealKey), "{}", vector.name);
            }
        }
    }

    /// Worked out with Python's `hmac`. The session tokens' documentation has the same table.
    const DERIVED: [(&str, &str); 4] = [
        (
            "gomaluum-default-key-2024",
            "983a58b17280b58cc96bf9e7a732431887b381dfd78c0edbc4e62e7d7e2b9d44",
        ),
        (
            "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd",
            "c105f78757b4bdd665f4f8633ff87f9b07e358100dc1bf29033df32952ca5475",
        ),
        (
            "00112233445566778899aabbccddeeff00112233",
            "c9f0475e1d235f699d88c9d23b3561f3fb25b0b57d640ba8e5615c6d6fb73d70",
        ),
        (
            "aB3dE5fG.0123456789ABCDEFGHIJKLMNOPQRSTUVWXY16oWPc",
            "3af02e59de505793b0b6a8047d58126a09bb21b078b71f413736e832b1fa2827",
        ),
    ];

    #[test]
    fn keys_are_derived_as_the_documentation_says() {
        for (seal_key, derived) in DERIVED {
            let key = SessionDataKey::derive(seal_key.as_bytes());
            let expected = vectors::bytes::<32>(Some(&derived.to_owned())).unwrap();
            assert_eq!(key.0.as_bytes(), expected.as_slice(), "{seal_key}");
        }
    }

    #[test]
    fn the_implicit_assertion_is_the_id_in_lower_case_with_hyphens() {
        let jti = Uuid::from_u128(0x0198_C5F2_8E2B_7C4D_8F50_FEDC_BA98_7654);
        assert_eq!(
            assertion(jti, &mut [0; Hyphenated::LENGTH]),
            b"0198c5f2-8e2b-7c4d-8f50-fedcba987654"
        );
    }

    #[test]
    fn an_inner_token_with_a_footer_does_not_open() {
        let (key, jti) = (SessionDataKey::derive(b"key"), Uuid::from_u128(1));
        let id = jti.to_string();
        let inner =
            |footer| LocalToken::encrypt(&key.0, b"data", footer, Some(id.as_bytes())).unwrap();
        assert_eq!(*key.open(jti, &inner(None)).unwrap(), "data");
        assert_eq!(key.open(jti, &inner(Some(b"x"))), Err(WrongSealKey));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", SessionDataKey::derive(b"key")),
            "SessionDataKey([redacted])"
        );
    }
}
