//! Owns the one base64 dialect of this crate: URL-safe, unpadded and canonical (RFC 4648 section 5,
//! RFC 7515 section 2).
//!
//! Canonical: a value has one spelling. Padding, white space, and bits set in the last character that
//! belong to no byte are refused, so that no two different token texts carry the same signature.

use std::sync::LazyLock;

use base64::engine::Simd;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use base64::{DecodeError, Engine};

/// The vector engine takes a third of the scalar one's time on the claims of an access token. Which
/// instructions the processor has is asked once.
static ENGINE: LazyLock<Simd> = LazyLock::new(|| {
    Simd::url_safe(
        GeneralPurposeConfig::new()
            .with_encode_padding(false)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(false),
    )
});

/// How many characters `bytes` bytes take.
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    ENGINE.encode(bytes)
}

/// Appends the encoding of `bytes` to `text`.
pub fn encode_onto(text: &mut String, bytes: impl AsRef<[u8]>) {
    ENGINE.encode_string(bytes, text);
}

pub fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    ENGINE.decode(text)
}

/// Decodes a value of a fixed length; `None` when it has another length or is not canonical.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The length is looked at first because the decoder may ask for more room than it fills.
    if text.len() != encoded_len(N) {
        return None;
    }
    let mut bytes = [0; N];
    let written = ENGINE.decode_slice(text, &mut bytes).ok()?;
    (written == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_spelling() {
        assert_eq!(decode("AA").unwrap(), [0]);
        for other in [
            "AB", "AA==", "AA=", "AA ", " AA", "A", "A+", "A/", "AA\n", "Aä",
        ] {
            assert!(decode(other).is_err(), "{other:?}");
        }
    }

    /// Long enough for the vector path, with the deviation at every place in turn.
    #[test]
    fn a_long_value_has_one_spelling_too() {
        for bytes in 60..140 {
            let text = encode(vec![0xA5; bytes]);
            assert_eq!(text.len(), encoded_len(bytes));
            assert_eq!(decode(&text).unwrap(), vec![0xA5; bytes]);
            for place in 0..text.len() {
                for bad in ['=', ' ', '+', '/', '.', '\0', '\u{7f}'] {
                    let mut other = text.clone();
                    other.replace_range(place..=place, &bad.to_string());
                    assert!(decode(&other).is_err());
                }
            }
            let mut trailing = text.clone();
            let last = trailing.pop().unwrap() as u8;
            trailing.push((last + 1) as char);
            assert!(bytes.is_multiple_of(3) || decode(&trailing).is_err());
        }
    }

    #[test]
    fn an_array_takes_its_exact_length_only() {
        let text = encode([7_u8; 32]);
        assert_eq!(decode_array::<32>(&text), Some([7; 32]));
        assert_eq!(decode_array::<31>(&text), None);
        assert_eq!(decode_array::<33>(&text), None);
    }
}
