//! A session token: as text, and put together from a payload and a footer so that the readers of
//! their JSON are reached; and the sealed data within one.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use sealgate_token::paseto::{SessionDataKey, SessionPolicy, SessionSigningKey, UntrustedSession};
use uuid::Uuid;

const NOW: i64 = 1_703_123_456;

fuzz_target!(|text: &str| {
    judge(text);
    let (footer, payload) = text
        .split_once('\n')
        .unwrap_or((r#"{"kid":"k4.pid.x"}"#, text));
    let body = [payload.as_bytes(), &[0; 64]].concat();
    let (body, footer) = (URL_SAFE_NO_PAD.encode(body), URL_SAFE_NO_PAD.encode(footer));
    judge(&format!("v4.public.{body}.{footer}"));

    let opened = SessionDataKey::derive(b"a key that sealed nothing").open(Uuid::nil(), text);
    assert!(opened.is_err(), "sealed data was made up");
});

fn judge(token: &str) {
    if let Ok(untrusted) = UntrustedSession::parse(token) {
        let _ = untrusted.claimed_kid();
        let key = SessionSigningKey::from_seed(&[0x5a; 32]).expect("a seed");
        let policy = SessionPolicy::new("gomaluum", "gomaluum");
        let verified = untrusted.verify(key.verifying_key(), &policy, NOW);
        assert!(verified.is_err(), "a session was made up");
    }
}
