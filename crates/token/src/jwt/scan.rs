//! Owns the search of a text for a kind of byte, as the hot path needs it.

/// Whether any byte is of this kind. All are looked at, without the early exit of `any`, which lets
/// the compiler test many at a time.
pub fn has(text: &str, kind: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |found, byte| found | kind(byte))
}
