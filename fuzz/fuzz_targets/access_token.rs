//! An access token: as text, and put together from a header and a payload so that the readers of
//! their JSON are reached, which the fuzzer cannot do through base64url.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use sealgate_token::jwt::{Policy, Untrusted};

/// A key that signed nothing.
const SECRET: [u8; 32] = [0x5a; 32];
const NOW: i64 = 1_703_123_456;

fuzz_target!(|text: &str| {
    judge(text);

    // One line is the payload of a token with the usual header; two are a header and a payload.
    let (header, payload) = text
        .split_once('\n')
        .unwrap_or((r#"{"alg":"HS256","typ":"JWT"}"#, text));
    for signature_bytes in [32, 64] {
        let parts = [
            header.as_bytes(),
            payload.as_bytes(),
            &[0; 64][..signature_bytes],
        ];
        judge(&parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join("."));
    }
});

fn judge(token: &str) {
    if let Ok(untrusted) = Untrusted::parse(token) {
        let _ = (untrusted.signer(), untrusted.claimed_key_id());
        let verified = untrusted.verify_hs256(&SECRET, &Policy::new("sealgate"), NOW);
        assert!(verified.is_err(), "a token was made up");
    }
}
