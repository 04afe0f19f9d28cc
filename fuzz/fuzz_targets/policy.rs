//! The path of a request that rules are about: what a server behind the gate could read as a guarded path
//! is never decided by a rule that guards another.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_core::key::Environment;
use sealgate_core::policy::{Policy, Rule, RuleDraft};

const GUARDED: &str = "/admin/*";
const OPEN: &str = "/*";

fuzz_target!(|path: &str| {
    let policy = policy();
    let Ok(demand) = policy.decide("GET", Some(path)) else {
        return;
    };
    let decides = demand.rule().map(Rule::path);
    if path.starts_with('/') {
        assert!(decides.is_some(), "no rule for {path:?}");
    }
    for reading in readings(path) {
        let is_guarded = reading == "/admin" || reading.starts_with("/admin/");
        assert!(
            !is_guarded || decides == Some(GUARDED),
            "{path:?} can be {reading:?}, and is decided by {decides:?}"
        );
    }
});

fn policy() -> Policy {
    let rule = |path: &str, deny, anonymous| {
        let draft = RuleDraft {
            path: path.to_owned(),
            deny,
            anonymous,
            ..RuleDraft::default()
        };
        Rule::new(&draft).expect("a good rule")
    };
    let rules = vec![rule(GUARDED, true, false), rule(OPEN, false, true)];
    Policy::new(Environment::Production, rules).expect("rules that do not contradict each other")
}

/// What common servers make of a path: as it is, decoded once, with `\` for `/`, without its dots.
fn readings(path: &str) -> Vec<String> {
    let decoded = decoded(path);
    let slashes = decoded.replace('\\', "/");
    let mut readings = vec![path.to_owned(), decoded, slashes];
    readings.extend(readings.clone().iter().map(|reading| normal(reading)));
    readings
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| {
            let hex = std::str::from_utf8(hex).ok()?;
            let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            u8::from_str_radix(hex, 16).ok().filter(|_| is_hex)
        });
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without empty segments, `.` and `..` (RFC 3986 section 5.2.4).
fn normal(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}
