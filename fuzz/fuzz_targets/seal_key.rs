//! A seal key as a client presents it, a password's hash as a row of the store has it, a network as
//! it is remembered, and a user's name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_core::guard::Network;
use sealgate_core::password::PasswordHash;
use sealgate_core::seal_key::{PresentedSealKey, SealKeyFormat, SealKeyRules, seal_key_hint};
use sealgate_core::user::Username;

fuzz_target!(|text: &str| {
    let rules = SealKeyRules::default();
    if let Ok(key) = PresentedSealKey::parse(Some(text), &rules) {
        let again = PresentedSealKey::parse(Some(key.expose()), &rules).expect("it was taken");
        assert_eq!(again.format(), key.format());
        assert!(
            !format!("{key:?}").contains(text),
            "a seal key is not shown"
        );
        let shown = seal_key_hint(text, &rules);
        assert!(shown.chars().count() <= 11, "{shown}");
        if key.format() != SealKeyFormat::Timestamped {
            assert_eq!(shown, "…");
        }
    }
    if let Some(hash) = PasswordHash::parse(text) {
        assert_eq!(hash.as_str(), text);
        assert!(hash.cost().check().is_ok(), "a hash asks for too much");
    }
    if let Ok(network) = text.parse::<Network>() {
        assert_eq!(network.to_string(), text);
    }
    if let Ok(name) = Username::parse(text) {
        assert!(name.folded().is_ascii());
    }
});
