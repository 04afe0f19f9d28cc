//! Keys at the command line: made, listed, shown, changed, rotated, revoked.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Home, Ran};

#[test]
fn the_first_key_sets_up_the_store_and_is_shown_once() {
    let home = Home::new();
    let ran = home
        .run(&[
            "create",
            "--name",
            "Production API Key",
            "--permissions",
            "api:read api:write",
        ])
        .success();
    assert!(
        ran.stderr.contains("made a master key in"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stdout.contains("this is the only time"),
        "{}",
        ran.stdout
    );
    let key = ran
        .stdout
        .lines()
        .map(str::trim)
        .find(|line| line.len() == 50);
    let key = key.expect("the key is on a line of its own");

    let ran = home.run(&["list"]).success();
    assert!(!ran.stdout.contains(key), "{}", ran.stdout);
    assert!(ran.stdout.contains(&key[..8]), "{}", ran.stdout);
    assert!(ran.stdout.contains("api:read api:write"), "{}", ran.stdout);
}

#[test]
fn a_key_is_made_with_all_that_was_asked_for() {
    let home = Home::new();
    let made = home.json(&[
        "create",
        "--name",
        "CI",
        "--permissions",
        "api:read jobs:*",
        "--description",
        "builds",
        "--expires-in-days",
        "30",
        "--environment",
        "testing",
        "--rate-limit",
        "1000",
        "--allow-ip",
        "10.0.0.0/8",
        "--allow-ip",
        "2001:db8::1",
        "--admin",
    ]);
    let fields: Vec<&String> = made.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["api_key", "key"]);
    let key = &made["key"];
    assert_eq!(key["name"], "CI");
    assert_eq!(key["permissions"], "api:read jobs:*");
    assert_eq!(key["description"], "builds");
    assert_eq!(key["environment"], "testing");
    assert_eq!(key["rate_limit"], 1_000);
    assert_eq!(key["rate_limit_window_seconds"], 3_600);
    assert_eq!(key["allowed_ips"], json!(["10.0.0.0/8", "2001:db8::1"]));
    assert_eq!(key["is_admin"], true);
    assert_eq!(key["is_active"], true);
    assert!(key["expires_at"].is_string());
    let text = made["api_key"].as_str().expect("a key");
    assert_eq!(text.len(), 50);
    assert!(text.starts_with(key["prefix"].as_str().expect("a prefix")));
}

#[test]
fn quiet_prints_the_key_alone() {
    let home = Home::new();
    let ran = home.run(&["create", "--name", "x", "--quiet"]).success();
    assert_eq!(ran.stdout.len(), 51, "{}", ran.stdout);
    let key = home.create_key(&["--name", "y"]);
    let ran = home.run(&["list", "--quiet", "--search", "y"]).success();
    assert_eq!(ran.stdout, format!("{}\n", key.id));
    assert!(ran.stderr.is_empty());
}

#[test]
fn a_field_that_is_not_well_formed_is_named_by_its_flag() {
    let home = Home::new();
    for (arguments, says) in [
        (&["--name", ""][..], "--name: "),
        (
            &["--name", "x", "--permissions", "read"],
            "--permissions: `read` is not a permission",
        ),
        (
            &["--name", "x", "--expires-in-days", "0"],
            "--expires-in-days: ",
        ),
        (&["--name", "x", "--rate-limit", "0"], "--rate-limit: "),
        (
            &["--name", "x", "--rate-limit", "5/0s"],
            "--rate-limit: the window of a limit is 1 second to 30 days",
        ),
        (
            &["--name", "x", "--rate-limit", "5/31d"],
            "--rate-limit: the window of a limit is 1 second to 30 days",
        ),
        (
            &["--name", "x", "--rate-limit", "5/m"],
            "write a number and its unit",
        ),
        (
            &["--name", "x", "--rate-limit", "many"],
            "write a number of requests",
        ),
        (
            &["--name", "x", "--allow-ip", "10.0.0.0/33"],
            "--allow-ip: `10.0.0.0/33`",
        ),
    ] {
        home.run(&[&["create"], arguments].concat())
            .failure(2, says);
    }
}

#[test]
fn a_listing_is_narrowed_and_paged() {
    let home = Home::new();
    for name in ["alpha", "beta", "betamax"] {
        home.create_key(&["--name", name]);
    }
    home.create_key(&["--name", "gamma", "--environment", "testing"]);
    let names = |arguments: &[&str]| -> Vec<String> {
        let page = home.json(&[&["list"], arguments].concat());
        let keys = page["keys"].as_array().expect("keys").clone();
        let name = |key: &Value| key["name"].as_str().expect("a name").to_owned();
        keys.iter().map(name).collect()
    };
    assert_eq!(names(&[]), ["gamma", "betamax", "beta", "alpha"]);
    assert_eq!(names(&["-q", "BETA"]), ["beta", "betamax"]);
    assert_eq!(names(&["--environment", "testing"]), ["gamma"]);
    assert_eq!(names(&["--status", "revoked"]), [""; 0]);
    assert_eq!(names(&["--due"]), [""; 0]);

    let page = home.json(&["list", "--limit", "3"]);
    let cursor = page["next_cursor"].as_str().expect("there is a next page");
    assert_eq!(names(&["--limit", "3", "--cursor", cursor]), ["alpha"]);
    assert_eq!(names(&["--all"]).len(), 4);
    home.run(&["list", "--cursor", "made-up"])
        .failure(2, "--cursor: ");
}

#[test]
fn a_key_is_named_by_its_id_or_its_prefix() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    for reference in [&key.id, &key.prefix] {
        assert_eq!(home.json(&["show", "--id", reference])["key_id"], *key.id);
    }
    home.run(&["show", "--id", "AAAAAAAA"])
        .failure(1, "there is no such key");
    home.run(&["show", "--id", "short"]).failure(2, "--id: ");
    let ran = home.run(&["show", "--id", &key.prefix]).success();
    assert!(
        ran.stdout.contains("status        active"),
        "{}",
        ran.stdout
    );
}

#[test]
fn what_may_change_of_a_key_is_changed() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--rate-limit", "5", "--expires-in-days", "5"]);
    let update =
        |arguments: &[&str]| home.json(&[&["update", "--id", &key.id], arguments].concat());

    let changed = update(&[
        "--name",
        "y",
        "--permissions",
        "api:*",
        "--description",
        "why",
        "--no-rate-limit",
        "--no-expiry",
        "--allow-ip",
        "192.0.2.1",
    ]);
    assert_eq!(changed["name"], "y");
    assert_eq!(changed["permissions"], "api:*");
    assert_eq!(changed["description"], "why");
    assert_eq!(changed["rate_limit"], Value::Null);
    assert_eq!(changed["expires_at"], Value::Null);
    assert_eq!(changed["allowed_ips"], json!(["192.0.2.1"]));
    assert_eq!(update(&["--allow-any-ip"])["allowed_ips"], json!([]));
    assert_eq!(update(&["--disable"])["status"], "disabled");
    assert_eq!(update(&["--enable"])["status"], "active");
    let changed = update(&["--expires-at", "2030-01-31T12:00:00Z"]);
    assert_eq!(changed["expires_at"], "2030-01-31T12:00:00Z");

    home.run(&["update", "--id", &key.id])
        .failure(2, "nothing is to be changed");
}

#[test]
fn a_limit_has_the_window_that_is_typed_and_keeps_it() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--rate-limit", "100/1m"]);
    let limit = |key: &Value| {
        let part = |name: &str| key[name].as_u64();
        part("rate_limit").zip(part("rate_limit_window_seconds"))
    };
    let shown = || home.json(&["show", "--id", &key.id]);
    assert_eq!(limit(&shown()), Some((100, 60)));
    for (argument, changed, words) in [
        ("200", (200, 60), "200 requests a minute"),
        ("10/30s", (10, 30), "10 requests in 30 seconds"),
        ("5000/2h", (5_000, 7_200), "5,000 requests in 2 hours"),
        ("1/1d", (1, 86_400), "1 requests a day"),
        ("1000/1h", (1_000, 3_600), "1,000 requests an hour"),
        ("7", (7, 3_600), "7 requests an hour"),
    ] {
        let arguments = ["update", "--id", &key.id, "--rate-limit", argument];
        assert_eq!(limit(&home.json(&arguments)), Some(changed), "{argument}");
        let ran = home.run(&["show", "--id", &key.id]).success();
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
    home.json(&["update", "--id", &key.id, "--no-rate-limit"]);
    assert_eq!(shown()["rate_limit_window_seconds"], Value::Null);
    let arguments = ["update", "--id", &key.id, "--rate-limit", "9"];
    assert_eq!(limit(&home.json(&arguments)), Some((9, 3_600)));
}

#[test]
fn a_rotated_key_is_replaced_by_one_that_is_shown_once() {
    let home = Home::new();
    let old = home.create_key(&["--name", "x", "--permissions", "api:write"]);
    let rotated = home.json(&[
        "rotate", "--id", &old.id, "--grace", "1h", "--reason", "old",
    ]);
    assert_eq!(rotated["old_key_id"], *old.id);
    assert_eq!(rotated["new_key"]["rotated_from"], *old.id);
    assert_eq!(rotated["new_key"]["permissions"], "api:write");
    assert_eq!(rotated["api_key"].as_str().map(str::len), Some(50));
    let shown = home.json(&["show", "--id", &old.id]);
    assert_eq!(shown["status"], "rotated");
    assert_eq!(shown["is_active"], true, "it is in its grace");
    home.run(&["rotate", "--id", &old.id])
        .failure(1, "cannot be rotated");

    let key = home.create_key(&["--name", "z"]);
    let ran = home.run(&["rotate", "--id", &key.prefix]).success();
    assert!(
        ran.stdout.contains(&key.id),
        "it says what it replaces: {}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("the old one stops at once"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_revoked_key_is_dead_for_good() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    let revoked = home.json(&[
        "revoke",
        "--id",
        &key.prefix,
        "--reason",
        "leaked",
        "--force",
    ]);
    assert_eq!(revoked["key_id"], *key.id);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(home.json(&["show", "--id", &key.id])["revoked"], true);
    home.run(&["revoke", "--id", &key.id])
        .failure(1, "cannot be revoked again");
    home.run(&["update", "--id", &key.id, "--enable"])
        .failure(1, "cannot be changed");
}

#[test]
fn without_a_store_there_is_nothing_to_list_and_nothing_is_made() {
    let home = Home::new();
    for arguments in [
        &["list"][..],
        &["show", "--id", "AAAAAAAA"],
        &["logs"],
        &["logs", "--verify"],
    ] {
        home.run(arguments).failure(1, "there is no store at");
    }
    assert!(!home.data_dir().exists());
}

#[test]
fn nobody_reading_the_output_is_no_error_unless_a_key_is_lost() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let closed = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = home.command(arguments);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
        drop(command);
        Ran::from(
            child
                .expect("it starts")
                .wait_with_output()
                .expect("it ends"),
        )
    };
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["logs"],
        &["--help"],
        &["completions", "bash"],
    ] {
        let ran = closed(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.is_empty(), "{arguments:?}: {ran:?}");
    }
    closed(&["create", "--name", "lost"])
        .failure(1, "could not be shown: standard output is closed");
    closed(&["create", "--name", "lost", "--json"]).failure(1, "could not be shown");
}

#[test]
fn a_key_of_the_original_system_is_named_by_a_prefix_that_begins_with_a_hyphen() {
    const ORIGINAL: &str = "-bcd-_12.-bcd-_12AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (prefix, _) = ORIGINAL.split_once('.').expect("a prefix");
    let home = Home::new();
    let line = json!({"name": "original", "api_key": ORIGINAL}).to_string();
    home.run_with_input(&["create", "--from", "-"], &line)
        .success();

    assert_eq!(home.json(&["show", "--id", prefix])["prefix"], prefix);
    home.run(&["update", "--id", prefix, "--name", "renamed"])
        .success();
    let listed = home.json(&["list", "--search", prefix]);
    assert_eq!(listed["keys"][0]["name"], "renamed");
    let rotated = home.json(&["rotate", "--id", prefix, "--grace", "1h", "--force"]);
    assert_eq!(rotated["new_key"]["name"], "renamed");
    home.run(&["revoke", "--id", prefix, "--force"]).success();
    let logged = home.json(&["logs", "--id", prefix]);
    assert_eq!(logged["events"][0]["action"], "key.revoked");

    for command in ["show", "logs"] {
        home.run(&[command, "--id", "--json"])
            .failure(2, "--id: name a key by");
    }
}
