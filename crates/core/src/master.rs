//! The master key, and what is derived from it for each purpose (HKDF-SHA-256, RFC 5869).

use sealgate_token::seal::derive;

use crate::secret::Secret;

/// The 32 bytes without which nothing secret in the store can be read or checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKey(Secret<32>);

impl MasterKey {
    /// Takes the bytes over.
    #[must_use]
    pub const fn new(bytes: Secret<32>) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, white space around them aside.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        let mut bytes = [0_u8; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |place: usize| char::from(pair[place]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(Secret::new(bytes)))
    }

    /// The 64 hexadecimal digits to be kept in a file.
    #[must_use]
    pub fn to_hex(&self) -> crate::secret::SecretText {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0.expose() {
            let _ = write!(text, "{byte:02x}");
        }
        crate::secret::SecretText::new(text)
    }

    /// What managed keys are hashed under.
    #[must_use]
    pub fn pepper(&self) -> Secret<32> {
        self.derive("sealgate v1 pepper")
    }

    /// What audit records are tied together under.
    #[must_use]
    pub fn audit_key(&self) -> Secret<32> {
        self.derive("sealgate v1 audit chain")
    }

    /// What the store's data keys are wrapped under.
    #[must_use]
    pub fn wrapping_key(&self) -> Secret<32> {
        self.derive("sealgate v1 data key wrapping")
    }

    fn derive(&self, purpose: &str) -> Secret<32> {
        Secret::new(*derive(self.0.expose(), purpose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_reads_back_from_its_file() {
        let key = MasterKey::new(Secret::new([0xA5; 32]));
        assert_eq!(
            MasterKey::from_hex(&format!(" {}\n", key.to_hex().expose())),
            Some(key)
        );
        for text in ["", "a5", &"g".repeat(64), &"a".repeat(63), &"é".repeat(32)] {
            assert_eq!(MasterKey::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let key = MasterKey::new(Secret::new([1; 32]));
        assert_ne!(key.pepper(), key.audit_key());
        assert_ne!(key.audit_key(), key.wrapping_key());
    }
}
