//! What a newcomer reads first: the help of every command, the version, and what a mistake is told.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::Home;

const COMMANDS: [&str; 17] = [
    "serve",
    "create",
    "list",
    "show",
    "update",
    "revoke",
    "rotate",
    "user",
    "signing-key",
    "logs",
    "backup",
    "restore",
    "migrate-store",
    "check",
    "tour",
    "doctor",
    "completions",
];

/// The commands that have commands of their own.
const PARTS: [(&str, &[&str]); 2] = [
    (
        "user",
        &[
            "add", "list", "show", "update", "passwd", "disable", "enable", "logout", "delete",
        ],
    ),
    ("signing-key", &["list", "rotate", "import"]),
];

const KEY: &str = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";

#[test]
fn the_help_of_every_command() {
    let home = Home::new();
    let mut all = home.run(&["--help"]).success().stdout;
    for command in COMMANDS {
        let help = home.run(&[command, "--help"]).success().stdout;
        assert!(help.contains("Examples:"), "{command}");
        write!(all, "\n==== sealgate {command} ====\n\n{help}").expect("text takes text");
    }
    for (command, parts) in PARTS {
        for part in parts {
            let help = home.run(&[command, part, "--help"]).success().stdout;
            assert!(help.contains("Examples:"), "{command} {part}");
            write!(all, "\n==== sealgate {command} {part} ====\n\n{help}")
                .expect("text takes text");
        }
    }
    assert!(!all.contains('\x1b'), "no colours off a terminal");
    insta::assert_snapshot!("help", all);
}

#[test]
fn every_command_is_in_the_help() {
    let home = Home::new();
    let help = home.run(&["--help"]).success().stdout;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    for (command, parts) in PARTS {
        let help = home.run(&[command, "--help"]).success().stdout;
        for part in parts {
            assert!(help.contains(&format!("\n  {part} ")), "{command} {part}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let ran = Home::new().run(&["--version"]).success();
    assert_eq!(
        ran.stdout,
        concat!("sealgate ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn what_is_not_asked_for_in_the_right_way_exits_with_2() {
    let home = Home::new();
    for arguments in [
        &[][..],
        &["sing"],
        &["create"],
        &["create", "--name", "x", "--from", "y"],
        &["list", "--status", "tired"],
        &["list", "--limit", "0"],
        &["revoke"],
        &["rotate", "--id", "TcE8hG4L", "--grace", "soon"],
        &["logs", "--verify", "--follow"],
        &["logs", "--expect", "1:ab"],
        &["serve", "--listen", "8080"],
        &["update", "--id", "TcE8hG4L", "--enable", "--disable"],
        &["completions", "teapot"],
        &["user"],
        &["user", "add"],
        &["user", "add", "--username", "ada"],
        &["user", "add", "--username", "a b", "--password-stdin"],
        &["user", "add", "--username", "ada", "--attribute", "year"],
        &["user", "list", "--active", "--disabled"],
        &["user", "passwd"],
        &["check"],
        &["check", "--path", "/", "--kind", "token"],
        &["check", "--path", "/", "--kind", "cookie"],
        &["signing-key"],
        &["backup"],
        &["backup", "--output", "x.age", "--recipient", "age1x"],
        &["restore"],
        &["migrate-store", "--from", "sqlite:x"],
        &["migrate-store", "--from", "sqlite:x", "--to", "sqlite:y"],
        &["signing-key", "import"],
        &["signing-key", "import", "--from-env"],
    ] {
        if arguments.first() == Some(&"list") {
            home.create_key(&["--name", "x"]);
        }
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_key_that_was_typed_in_the_wrong_place_is_not_shown_again() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let inline = format!("--api-key={KEY}");
    for arguments in [
        &["create", KEY][..],
        &["create", &inline],
        &["list", "--status", KEY],
        &["list", "--environment", KEY],
        &["list", "--limit", KEY],
        &["show", "--id", KEY],
        &["revoke", "--id", KEY],
        &["rotate", "--id", KEY],
        &["update", "--id", KEY, "--disable"],
        &["logs", "--id", KEY],
        &["check", "--path", "/", "--id", KEY],
        &["rotate", "--id", "x", "--grace", KEY],
        &["create", "--name", KEY],
        &["create", "--name", "x", "--description", KEY],
        &["create", "--name", "x", "--permissions", KEY],
        &["create", "--name", "x", "--allow-ip", KEY],
        &["serve", "--listen", KEY],
        &["user", "show", "--username", KEY],
        &["user", "logout", "--username", KEY],
        &["user", "add", "--username", KEY],
        &["user", "add", "--username", "ada", "--password", KEY],
        &["user", "list", "--limit", KEY],
        &["signing-key", "import", KEY],
        &["backup", "--output", "x.age", "--recipient", KEY],
        &["restore", KEY],
        &["migrate-store", "--from", KEY, "--to", KEY],
        &[KEY],
    ] {
        let json = [arguments, &["--json"]].concat();
        for arguments in [arguments, &json] {
            let ran = home.run(arguments).failure(2, "");
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!said.contains("UVZuhD7EF5C7"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn errors_are_json_where_results_are() {
    let home = Home::new();
    for arguments in [
        &["list", "--json"][..],
        &["create", "--json"],
        &["create", "--name", "", "--json"],
    ] {
        let ran = home.run(arguments);
        let last = ran.stderr.lines().next_back().expect("an error");
        let error: Value = serde_json::from_str(last).expect("JSON");
        assert!(error["message"].is_string(), "{error}");
        let slug = if ran.code == Some(2) {
            "usage"
        } else {
            "failed"
        };
        assert_eq!(error["error"], slug);
    }
}

#[test]
fn completions_know_commands_and_options_and_need_no_settings() {
    let home = Home::new();
    home.write("sealgate.toml", "nonsense");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).success().stdout;
        assert!(
            script.contains("rotate") && script.contains("grace"),
            "{shell}"
        );
    }
}
