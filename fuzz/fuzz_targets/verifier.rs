//! What a service fetches that verifies on its own: the set of keys, and the list of revocations.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_token::jwt::KeySet;
use sealgate_token::revocations::{InvalidList, RevocationList};

const NOW: i64 = 1_703_123_456;

fuzz_target!(|text: &str| {
    // One line is both; of two the first is the set, the second the list.
    let (set, list) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(keys) = KeySet::parse(set) {
        for key in keys.keys() {
            assert!(keys.find(key.kid()).is_some());
        }
        let verified = RevocationList::verify(list, &keys, "sealgate", NOW);
        assert!(verified.is_err(), "a list was made up");
    }
    let nobody = KeySet::parse(r#"{"keys":[]}"#).expect("an empty set is one");
    match RevocationList::verify(list, &nobody, "sealgate", NOW) {
        Err(InvalidList::UnknownSigner { .. } | InvalidList::Refused(_)) => {}
        other => panic!("without any key: {:?}", other.err()),
    }
});
