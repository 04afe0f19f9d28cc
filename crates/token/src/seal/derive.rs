//! Owns the derivation of keys: one master key, a key for each purpose.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

/// Derives the key for `purpose` from the master key, by HKDF-SHA-256 (RFC 5869) with an empty salt and
/// the purpose as `info`.
///
/// Different purposes give unrelated keys. The master key is uniformly random already, so there is
/// nothing for a salt to add (RFC 5869 section 3.1).
pub fn derive(master: &[u8; 32], purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf_sha256(master, purpose.as_bytes(), key.as_mut_slice());
    key
}

/// HKDF-SHA-256 (RFC 5869) with an empty salt. Fills all of `output`.
pub fn hkdf_sha256(input: &[u8], info: &[u8], output: &mut [u8]) {
    Salt::new(HKDF_SHA256, &[])
        .extract(input)
        .expand(&[info], Length(output.len()))
        .and_then(|key| key.fill(output))
        .expect("the output is shorter than HKDF's limit of 255 digests");
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869 appendix A.3: empty salt, empty info.
    #[test]
    fn the_third_test_case_of_rfc_5869() {
        let mut output = [0; 42];
        hkdf_sha256(&[0x0b; 22], b"", &mut output);
        assert_eq!(
            output,
            [
                0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f, 0x71, 0x5f, 0x80, 0x2a, 0x06, 0x3c,
                0x5a, 0x31, 0xb8, 0xa1, 0x1f, 0x5c, 0x5e, 0xe1, 0x87, 0x9e, 0xc3, 0x45, 0x4e, 0x5f,
                0x3c, 0x73, 0x8d, 0x2d, 0x9d, 0x20, 0x13, 0x95, 0xfa, 0xa4, 0xb6, 0x1a, 0x96, 0xc8,
            ]
        );
    }

    #[test]
    fn each_purpose_and_each_master_key_has_its_own_key() {
        let pepper = derive(&[1; 32], "sealgate pepper");
        assert_eq!(pepper, derive(&[1; 32], "sealgate pepper"));
        assert_ne!(pepper, derive(&[1; 32], "sealgate audit"));
        assert_ne!(pepper, derive(&[2; 32], "sealgate pepper"));
    }
}
