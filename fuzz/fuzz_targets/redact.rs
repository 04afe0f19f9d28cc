//! Text of a client on its way into a log line or an audit record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_core::redact::{holds_secret, redact};

fuzz_target!(|text: &str| {
    let shown = redact(text);
    assert!(
        !shown.contains(char::is_control),
        "a log line could be forged"
    );
    // What was cut off in the middle of an identifier may look like anything.
    if !shown.ends_with('…') {
        assert!(!holds_secret(&shown), "a secret is shown");
    }
});
