//! An allow-list of addresses and networks, one entry on a line.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sealgate_core::network::AllowList;

fuzz_target!(|text: &str| {
    let entries: Vec<&str> = text.lines().collect();
    let Ok(list) = AllowList::parse(&entries) else {
        return;
    };
    let written: Vec<String> = list.entries().collect();
    assert_eq!(AllowList::parse(&written).as_ref(), Ok(&list));
    for address in written
        .iter()
        .filter_map(|entry| entry.parse::<IpAddr>().ok())
    {
        assert!(list.allows(address), "a list allows what it names");
    }
});
