//! Tables of the documentation name everything that there is, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use sealgate_core::audit::Action;
use serde_json::Value;

use super::read;
use crate::named_test;
use crate::support::Home;

#[test]
fn every_setting_is_in_the_table_with_its_default_and_its_variable() {
    let rows = rows("docs/configuration.md", "## Settings");
    let documented: BTreeMap<&str, &str> = rows.iter().map(|row| (&*row[0], &*row[1])).collect();
    assert_eq!(documented.len(), rows.len(), "a setting is there twice");

    let example = read("sealgate.example.toml");
    let defaults = defaults(&toml::from_str(&example).expect("the example is TOML"));
    // What has no default stands there as a comment.
    let without = |name: &str| {
        let (_, key) = name.rsplit_once('.').unwrap_or(("", name));
        example.contains(&format!("\n# {key} = "))
    };
    for (name, default) in &documented {
        match defaults.get(*name) {
            Some(expected) => assert_eq!(default, expected, "the default of {name}"),
            None => assert!(without(name), "{name} is not in sealgate.example.toml"),
        }
    }
    let names: BTreeSet<&str> = documented.keys().copied().collect();
    let missing = |name: &&String| !names.contains(name.as_str());
    let missing: Vec<&String> = defaults.keys().filter(missing).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");

    let source = read("crates/sealgate/src/env.rs");
    let variables: BTreeSet<&str> = rows.iter().map(|row| &*row[2]).collect();
    let others = rows_first("docs/configuration.md", "## Other variables");
    let is_name = |text: &&str| text.len() > "SEALGATE_".len() && text.starts_with("SEALGATE_");
    for known in quoted(before_tests(&source)).filter(is_name) {
        let is_there = variables.contains(known) || others.contains(known);
        assert!(is_there, "{known} is not in the tables");
    }
    for variable in variables
        .into_iter()
        .chain(others.iter().map(String::as_str))
    {
        assert!(
            source.contains(&format!("\"{variable}\"")),
            "nothing reads {variable}"
        );
    }
}

#[test]
fn every_command_is_in_the_table_with_its_options() {
    let home = Home::new();
    let help = |words: &[&str]| home.run(&[words, &["--help"]].concat()).success().stdout;
    let mut commands: Vec<String> = Vec::new();
    for command in commands_in(&help(&[])) {
        let parts = commands_in(&help(&[&command]));
        let whole = parts.iter().map(|part| format!("{command} {part}"));
        commands.extend(whole);
        if parts.is_empty() {
            commands.push(command);
        }
    }
    let rows = rows("docs/configuration.md", "## Commands");
    let documented: Vec<&str> = rows
        .iter()
        .map(|row| &row[0]["sealgate ".len()..])
        .collect();
    assert_eq!(documented, commands);
    let common = options(&help(&["tour"]));
    for (command, row) in commands.iter().zip(&rows) {
        let has = options(&help(&command.split(' ').collect::<Vec<_>>()));
        let has: BTreeSet<String> = has.difference(&common).cloned().collect();
        let told = row[2]
            .split_whitespace()
            .map(|option| option.replace('`', ""));
        assert_eq!(
            told.collect::<BTreeSet<_>>(),
            has,
            "the options of {command}"
        );
    }
}

#[test]
fn every_error_is_in_the_table_with_its_status() {
    let rows = rows("docs/errors.md", "## What to do");
    let documented: BTreeMap<&str, &str> = rows.iter().map(|row| (&*row[0], &*row[1])).collect();
    let routed = read("crates/server/src/error.rs");
    let bare = read("crates/server/src/serve/bare_errors.rs");
    let known = [slugs(&routed), slugs(&bare)].concat();
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    assert_eq!(documented.keys().copied().collect::<BTreeSet<_>>(), known);

    let document: Value = serde_json::from_str(&read("docs/openapi.json")).expect("JSON");
    let responses = document["components"]["responses"].as_object();
    let examples = responses.into_iter().flatten().flat_map(|(_, response)| {
        let examples = response["content"]["application/json"]["examples"].as_object();
        examples
            .into_iter()
            .flatten()
            .map(|(_, example)| &example["value"])
    });
    let mut compared = 0;
    for example in examples {
        let slug = example["error"].as_str().expect("an example has a slug");
        let status = example["status_code"].to_string();
        assert_eq!(documented[slug], status, "the status of {slug}");
        compared += 1;
    }
    assert!(compared > 10, "the OpenAPI document was not read");
}

#[test]
fn every_reason_of_a_refusal_is_in_the_table() {
    let documented = rows_first("docs/errors.md", "## Reasons in the audit log");
    let requests = slugs(&read("crates/core/src/error.rs"));
    let tokens = read("crates/token/src/jwt/error.rs");
    let tokens = after(&tokens, "pub const fn reason").expect("reasons of tokens");
    let tokens = quoted(function(tokens)).map(str::to_owned);
    let of_authority = [
        "busy",
        "directory_unavailable",
        "lifetime_over",
        "session_ended",
        "session_token",
        "sessions_ended",
        "token_revoked",
        "unknown_signing_key",
    ];
    let of_authority = of_authority.map(str::to_owned);
    let known = requests.into_iter().chain(tokens).chain(of_authority);
    assert_eq!(documented, known.collect());
}

#[test]
fn every_audit_action_is_in_the_table() {
    let known = Action::ALL.iter().map(|action| action.as_str().to_owned());
    assert_eq!(
        rows_first("docs/audit.md", "## What is recorded"),
        known.collect()
    );
}

#[test]
fn every_metric_is_in_the_table() {
    let source = read("crates/sealgate/src/metrics.rs");
    let known = quoted(&source).filter(|text| text.starts_with("sealgate_"));
    let documented = rows_first("docs/operations.md", "## Monitoring");
    let documented = documented.into_iter().filter(|name| !name.starts_with('/'));
    assert_eq!(
        documented.collect::<BTreeSet<_>>(),
        known.map(str::to_owned).collect()
    );
}

#[test]
fn every_test_that_a_page_of_promises_names_exists() {
    for (page, fewest) in [("docs/threat-model.md", 30), ("docs/reliability.md", 11)] {
        let promises = read(page);
        let named = promises.split('`').filter(|text| text.contains(".rs::"));
        let mut checked = 0;
        for name in named {
            let (path, test) = name.split_once("::").expect("a file and a function");
            assert_eq!(named_test::check(&read(path), test), Ok(()), "{name}");
            checked += 1;
        }
        assert!(checked >= fewest, "{page} was not read");
    }
}

#[test]
fn every_promise_of_the_threat_model_names_a_test() {
    const NOTHING: &str = "nothing";
    let page = read("docs/threat-model.md");
    for (heading, fewest) in [
        ("## Attackers", 15),
        ("## Attackers of users and sessions", 15),
        ("## What each secret gives away", 3),
    ] {
        let section = after(&page, &format!("\n{heading}\n")).expect("a heading");
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| "));
        // The first two are the title and the line below it.
        let rows: Vec<Vec<&str>> = rows
            .skip(2)
            .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        assert!(rows.len() >= fewest, "{heading} was not read");
        for row in rows {
            let (test, promise) = row.split_last().expect("a row has cells");
            // What gives away everything promises nothing.
            if promise.last() != Some(&NOTHING) {
                assert!(test.contains(".rs::"), "{heading}: no test of {row:?}");
            }
        }
    }
}

/// The rows of the tables under a heading, without those of titles; backquotes around a cell are
/// left out.
fn rows(path: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(path);
    let section = after(&text, &format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| {
        let cells = line.strip_prefix("| `")?.strip_suffix('|')?;
        let cells = format!("`{cells}");
        Some(cells.split(" | ").map(unquoted).collect())
    });
    let rows: Vec<Vec<String>> = rows.collect();
    assert!(!rows.is_empty(), "{path} has no table under {heading}");
    rows
}

/// The first cells of the tables under a heading.
fn rows_first(path: &str, heading: &str) -> BTreeSet<String> {
    let rows = rows(path, heading).into_iter();
    rows.map(|row| row[0].clone()).collect()
}

fn unquoted(cell: &str) -> String {
    let cell = cell.trim();
    let bare = cell
        .strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'));
    bare.filter(|bare| !bare.contains('`'))
        .unwrap_or(cell)
        .to_owned()
}

/// The settings of a file by their full names, with their values as they are written.
fn defaults(settings: &Value) -> BTreeMap<String, String> {
    fn add(found: &mut BTreeMap<String, String>, name: &str, value: &Value) {
        let Some(settings) = value.as_object() else {
            found.insert(name.to_owned(), value.to_string());
            return;
        };
        for (key, value) in settings {
            let dot = if name.is_empty() { "" } else { "." };
            add(found, &format!("{name}{dot}{key}"), value);
        }
    }
    let mut found = BTreeMap::new();
    add(&mut found, "", settings);
    found
}

/// The commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:");
    let listed = listed.skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// The long options that a help text lists.
fn options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let words = lines.filter_map(|line| line.split_whitespace().find(|it| it.starts_with("--")));
    words.map(str::to_owned).collect()
}

/// What the functions named `slug` of a source can give.
fn slugs(source: &str) -> Vec<String> {
    let body = after(source, "pub const fn slug").expect("a function that gives slugs");
    quoted(function(body)).map(str::to_owned).collect()
}

/// A text up to the end of the first function in it, a method.
fn function(text: &str) -> &str {
    text.split("\n    }\n").next().unwrap_or_default()
}

fn before_tests(source: &str) -> &str {
    source.split("#[cfg(test)]").next().unwrap_or_default()
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, after)| after)
}

/// What stands between double quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}
