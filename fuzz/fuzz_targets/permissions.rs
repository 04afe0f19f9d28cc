//! A permission set as an administrator writes it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_core::permission::{MAX_LENGTH, Permission, Permissions};

fuzz_target!(|text: &str| {
    let Ok(permissions) = Permissions::parse(text) else {
        return;
    };
    let written = permissions.as_str();
    assert!(written.len() <= MAX_LENGTH);
    assert_eq!(Permissions::parse(written).as_ref(), Ok(&permissions));
    for entry in written
        .split(' ')
        .filter(|entry| !entry.is_empty() && !entry.contains('*'))
    {
        assert!(
            permissions.allow(Permission(entry)),
            "a set grants what it lists"
        );
    }
});
