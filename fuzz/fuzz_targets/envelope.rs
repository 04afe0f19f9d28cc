//! A sealed value as a client sends it back: as text, and with the input as the bytes that the
//! envelope's base64url holds.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use sealgate_token::seal::{Envelope, SealingKey, seal_envelope};
use uuid::Uuid;

/// A key that sealed nothing of the input.
const KEY: [u8; 32] = [0x5a; 32];
const LINEAGE: Uuid = Uuid::from_u128(0x550e_8400_e29b_41d4_a716_4466_5544_0000);

fuzz_target!(|bytes: &[u8]| {
    let key = SealingKey::new(&KEY);
    if let Ok(text) = std::str::from_utf8(bytes) {
        refuse(&key, text);
    }
    refuse(&key, &format!("sg1.{}", URL_SAFE_NO_PAD.encode(bytes)));
    seal_and_open(&key, bytes);
});

fn refuse(key: &SealingKey, text: &str) {
    if let Ok(envelope) = Envelope::parse(text) {
        assert!(
            envelope.open(key, LINEAGE).is_err(),
            "a sealed value was made up"
        );
    }
}

fn seal_and_open(key: &SealingKey, plaintext: &[u8]) {
    let text = seal_envelope(key, 7, [0; 12], LINEAGE, plaintext).expect("the input is short");
    let envelope = Envelope::parse(&text).expect("what is sealed is of the form");
    assert_eq!(envelope.version(), 7);
    let opened = envelope.open(key, LINEAGE).expect("what is sealed opens");
    assert_eq!(opened.as_slice(), plaintext);
    assert!(
        envelope.open(key, Uuid::nil()).is_err(),
        "another lineage opened it"
    );
}
