//! Owns the encoding of what a signature covers.

/// The pre-authentication encoding: how many pieces there are, then each with its length, all as
/// 64-bit little-endian numbers (PASETO, "Common implementation details").
///
/// No two lists of pieces have the same encoding, so a byte cannot be moved from the payload into the
/// footer. `pasetors` keeps its own to itself, and signatures are checked without it; see
/// [`SessionVerifyingKey`](super::SessionVerifyingKey).
pub fn pae<const N: usize>(pieces: [&[u8]; N]) -> Vec<u8> {
    let length = pieces.iter().map(|piece| 8 + piece.len()).sum::<usize>();
    let mut encoded = Vec::with_capacity(8 + length);
    encoded.extend_from_slice(&le64(N));
    for piece in pieces {
        encoded.extend_from_slice(&le64(piece.len()));
        encoded.extend_from_slice(piece);
    }
    encoded
}

/// The specification clears the topmost bit, which no length in memory sets: a `Vec` holds at most
/// `isize::MAX` bytes.
fn le64(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification and of its reference implementation.
    #[test]
    fn the_specifications_examples() {
        assert_eq!(pae([]), [0; 8]);
        assert_eq!(pae([b""]), *b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(
            pae([b"", b""]),
            *b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        );
        assert_eq!(pae([b"test"]), *b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0test");
        assert_eq!(
            pae([b"Paragon", b"Initiative"]),
            *b"\x02\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0Paragon\x0a\0\0\0\0\0\0\0Initiative"
        );
        assert_eq!(
            pae([b"Paragon\n\0\0\0\0\0\0\0Initiative"]),
            *b"\x01\0\0\0\0\0\0\0\x19\0\0\0\0\0\0\0Paragon\x0a\0\0\0\0\0\0\0Initiative"
        );
    }
}
