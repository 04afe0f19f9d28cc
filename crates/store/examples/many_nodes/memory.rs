//! What a key costs a node in memory.

use sealgate_core::keyring::Keyring;

use crate::{records, shown};

/// Tells the bytes a key with growing numbers of keys.
pub fn measure(most: u64) {
    println!("\nMemory of a node's keyring\n\n| keys | bytes a key |\n| --- | --- |");
    let (ring, before) = (Keyring::default(), resident());
    let (mut applied, mut next) = (0, most.min(10_000));
    while applied < most {
        for number in applied..next {
            ring.apply(&records::key(number));
        }
        applied = next;
        let bytes = (resident() - before) / applied as f64;
        println!("| {applied} | {} |", shown(bytes));
        next = (next * 10).min(most);
    }
}

/// The resident memory of this process, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next());
    kilobytes.and_then(|text| text.parse().ok()).unwrap_or(0.0) * 1024.0
}
