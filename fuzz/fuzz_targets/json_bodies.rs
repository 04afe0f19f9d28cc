//! The bodies of an administrator's requests, which are JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_core::clock::Timestamp;
use sealgate_core::request::{KeyPatch, KeyRequest};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(KeyRequest {
        api_key: Some(key), ..
    }) = serde_json::from_slice(bytes)
    {
        assert_eq!(format!("{key:?}"), "SecretText(…)", "a key is not shown");
    }
    if let Ok(KeyPatch {
        expires_at: Some(Some(time)),
        ..
    }) = serde_json::from_slice(bytes)
    {
        assert_eq!(
            Timestamp::parse(&time.to_string()),
            Some(time),
            "a time reads back"
        );
    }
});
