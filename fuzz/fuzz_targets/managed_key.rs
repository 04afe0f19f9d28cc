//! A managed key as a client presents it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_core::key::PresentedKey;

fuzz_target!(|text: &str| {
    let Ok(key) = PresentedKey::parse(text) else {
        return;
    };
    let (prefix, random) = text.split_once('.').expect("an accepted key has a dot");
    assert_eq!(key.prefix().as_str(), prefix);
    assert!(
        !format!("{key:?}").contains(random),
        "a key's random part is not shown"
    );
});
