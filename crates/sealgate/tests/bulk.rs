//! `sealgate create --from`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{Home, Ran, Server};

/// A key of this system, and one of the original system.
const OURS: &str = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";
const ORIGINAL: &str = "abcd-_12.abcd-_12AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn made(ran: &Ran) -> Vec<Value> {
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn names(count: usize) -> String {
    let mut lines = String::new();
    for number in 1..=count {
        writeln!(lines, r#"{{"name": "key {number}"}}"#).expect("text takes text");
    }
    lines
}

#[test]
fn a_line_in_is_a_line_out_in_the_same_order() {
    let home = Home::new();
    let file = home.write(
        "keys.jsonl",
        "{\"name\": \"a\", \"permissions\": \"api:write\", \"expires_in_days\": 3}\n\n\
         {\"name\": \"b\", \"is_admin\": true, \"allowed_ips\": [\"10.0.0.0/8\"]}",
    );
    let ran = home
        .run(&["create", "--from", &file.display().to_string()])
        .success();
    let made = made(&ran);
    assert_eq!(made.len(), 2);
    assert_eq!(made[0]["key"]["name"], "a");
    assert_eq!(made[0]["key"]["permissions"], "api:write");
    assert_eq!(made[1]["key"]["is_admin"], true);
    assert_eq!(made[1]["key"]["allowed_ips"], json!(["10.0.0.0/8"]));
    for line in &made {
        assert_eq!(line["api_key"].as_str().map(str::len), Some(50));
    }
    assert!(ran.stderr.contains("Made 2 keys."), "{}", ran.stderr);
    assert_eq!(
        home.json(&["list"])["keys"].as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn a_limit_has_the_window_that_its_line_names() {
    let home = Home::new();
    let create = |lines: &str| {
        let file = home.write("keys.jsonl", lines);
        home.run(&["create", "--from", &file.display().to_string()])
    };
    let ran = create(
        "{\"name\": \"a\", \"rate_limit\": 5, \"rate_limit_window_seconds\": 60}\n\
         {\"name\": \"b\", \"rate_limit\": 5}\n\
         {\"name\": \"c\"}",
    );
    let windows: Vec<_> = made(&ran.success())
        .into_iter()
        .map(|made| made["key"]["rate_limit_window_seconds"].clone())
        .collect();
    assert_eq!(windows, [json!(60), json!(3_600), Value::Null]);
    let alone = create("{\"name\": \"a\", \"rate_limit_window_seconds\": 60}");
    alone.failure(1, "line 1: rate_limit_window_seconds: there is no limit");
}

#[test]
fn standard_input_is_a_file_too_and_may_be_empty() {
    let home = Home::new();
    let ran = home
        .run_with_input(&["create", "--from", "-"], &names(3))
        .success();
    assert_eq!(made(&ran).len(), 3);
    let ran = home
        .run_with_input(&["create", "--from", "-"], "")
        .success();
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_bad_line_is_named_and_nothing_of_its_batch_is_made() {
    let home = Home::new();
    let create = |input: &str| home.run_with_input(&["create", "--from", "-"], input);
    for (line, says) in [
        ("{\"name\": \"\"}", "line 3: name: "),
        (
            "{\"name\": \"x\", \"colour\": \"red\"}",
            "line 3: unknown field `colour`",
        ),
        (
            "{\"name\": \"x\"",
            "line 3: EOF while parsing an object, at column",
        ),
        (
            "{\"name\": \"x\", \"api_key\": \"too short\"}",
            "line 3: api_key: ",
        ),
        ("[]", "line 3: "),
    ] {
        let ran = create(&format!("{}\n{line}\n", names(2).trim_end())).failure(1, says);
        assert!(ran.stderr.contains("no key was made"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(home.json(&["list"])["keys"], json!([]));
}

#[test]
fn whole_batches_before_a_bad_line_are_made_and_shown() {
    let home = Home::new();
    let input = format!("{}{{\"name\": \"\"}}\n", names(1_500));
    let ran = home
        .run_with_input(&["create", "--from", "-"], &input)
        .failure(1, "line 1501: name: ");
    assert!(
        ran.stderr
            .contains("the 1,000 keys up to line 1000 were made"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("go on with line 1001"),
        "{}",
        ran.stderr
    );
    assert_eq!(made(&ran).len(), 1_000);
    assert_eq!(
        home.json(&["list", "--all"])["keys"]
            .as_array()
            .map(Vec::len),
        Some(1_000)
    );
}

#[test]
fn keys_of_other_systems_are_taken_over_and_work() {
    let home = Home::new();
    let ours = key_with_checksum();
    let input = format!(
        "{{\"name\": \"ours\", \"api_key\": \"{ours}\"}}\n{{\"name\": \"theirs\", \"api_key\": \"{ORIGINAL}\"}}\n"
    );
    let create = || home.run_with_input(&["create", "--from", "-"], &input);
    let made = made(&create().success());
    assert_eq!(made[0]["api_key"], *ours);
    assert_eq!(made[1]["key"]["prefix"], "abcd-_12");
    create().failure(1, "line 1: this key is in the store already");

    let server = Server::start(&home);
    for key in [&ours, ORIGINAL] {
        server
            .get("/api/auth/profile")
            .api_key(key)
            .send()
            .expect(200);
    }
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let home = Home::new();
    let line = format!("{{\"name\": \"x\", \"api_key\": \"{ORIGINAL}\"}}\n");
    let ran = home.run_with_input(&["create", "--from", "-"], &line.repeat(2));
    let ran = ran.failure(1, "line 2: this key was there before");
    assert!(!ran.stderr.contains(ORIGINAL));
}

#[test]
fn a_secret_in_the_wrong_field_is_not_shown() {
    let home = Home::new();
    for line in [
        format!("{{\"name\": \"{OURS}\"}}"),
        format!("{{\"name\": \"x\", \"is_admin\": \"{OURS}\"}}"),
        format!("{{\"name\": \"x\", \"{OURS}\": 1}}"),
        format!("{{\"name\": \"x\", \"environment\": \"{OURS}\"}}"),
    ] {
        let ran = home
            .run_with_input(&["create", "--from", "-"], &line)
            .failure(1, "line 1: ");
        assert!(!ran.stderr.contains("UVZuhD7EF5C7"), "{}", ran.stderr);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    Home::new()
        .run(&["create", "--from", "nowhere.jsonl"])
        .failure(1, "nowhere.jsonl cannot be read");
}

/// A key that was made in another store.
fn key_with_checksum() -> String {
    Home::new().create_key(&["--name", "x"]).api_key
}
