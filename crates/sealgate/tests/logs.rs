//! `sealgate logs`: read, followed, verified.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Home, Stopwatch};

#[test]
fn what_happened_to_a_key_is_told_newest_first() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    home.create_key(&["--name", "another"]);
    home.run(&["revoke", "--id", &key.id, "--reason", "leaked"])
        .success();

    let page = home.json(&["logs", "--id", &key.prefix]);
    let events = page["events"].as_array().expect("events");
    let actions: Vec<&str> = events
        .iter()
        .filter_map(|event| event["action"].as_str())
        .collect();
    assert_eq!(actions, ["key.revoked", "key.created"]);
    assert_eq!(events[0]["details"]["reason"], "leaked");
    assert!(
        events[0]["actor"]
            .as_str()
            .is_some_and(|actor| actor.starts_with("cli:"))
    );

    let ran = home.run(&["logs", "--id", &key.id]).success();
    assert!(ran.stdout.contains("reason=leaked"), "{}", ran.stdout);
}

#[test]
fn a_log_is_paged() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let page = home.json(&["logs", "--limit", "1"]);
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let page = home.json(&["logs", "--cursor", cursor]);
    assert_eq!(page["events"][0]["action"], "store.created");
    home.run(&["logs", "--cursor", "x"])
        .failure(2, "--cursor: ");
    home.run(&["logs", "--limit", "1001"])
        .failure(2, "--limit: ");
}

#[test]
fn a_whole_log_is_proved_whole_and_what_was_noted_is_still_there() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let found = home.json(&["logs", "--verify"]);
    assert_eq!(found["whole"], true);
    assert_eq!(found["records"], 2);
    let noted = found["last"].as_str().expect("a note").to_owned();

    home.create_key(&["--name", "y"]);
    home.run(&["logs", "--verify", "--expect", &noted])
        .success();
    let ran = home.run(&["logs", "--verify"]).success();
    assert!(
        ran.stdout.contains("3 records, chain whole, last hash "),
        "{}",
        ran.stdout
    );

    let other = format!("2:{}", "ab".repeat(32));
    let ran = home
        .run(&["logs", "--verify", "--expect", &other, "--json"])
        .failure(1, "");
    assert_eq!(ran.json()["whole"], false);
    let beyond = noted.replacen("2:", "9:", 1);
    home.run(&["logs", "--verify", "--expect", &beyond])
        .failure(1, "record 9 is not the one");
}

#[test]
fn a_log_that_was_altered_is_found_out() {
    let home = Home::new();
    home.create_key(&["--name", "innocent"]);
    // SQLite keeps texts as they are: one of the same length can be put over another.
    let database = std::fs::read(home.database()).expect("the database");
    let at = find(&database, br#""name":"innocent""#).expect("the record is there");
    let mut altered = database;
    altered[at + 8..at + 16].copy_from_slice(b"criminal");
    std::fs::write(home.database(), altered).expect("the database is written");

    let ran = home
        .run(&["logs", "--verify"])
        .failure(1, "record 2 was altered");
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    let ran = home.run(&["logs", "--verify", "--json"]).failure(1, "");
    assert_eq!(ran.json()["whole"], false);
    home.run(&["doctor"]).failure(1, "");
}

#[test]
fn a_follower_sees_the_past_and_then_what_happens_within_a_second() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    let mut follower = home
        .command(&["logs", "--follow", "--json", "--id", &key.id])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = follower.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(next()["action"], "key.created");
    home.create_key(&["--name", "another"]);
    home.run(&["update", "--id", &key.id, "--disable"])
        .success();
    let done = Stopwatch::start();
    assert_eq!(next()["action"], "key.disabled");
    let waited = done.elapsed();
    assert!(waited < Duration::from_secs(1), "{waited:?}");

    let pid = i32::try_from(follower.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::INT)
        .expect("a signal");
    assert!(follower.wait().expect("it ends").success());
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
