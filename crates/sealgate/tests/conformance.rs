//! `docs/conformance.md` names every statement of the guide and a test for each that exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::named_test;

const GUIDE: &str = "docs/guides/quantonium-authentication-guide.md";
const TABLE: &str = "docs/conformance.md";
/// What no program can do for its users: at most so many statements.
const NOT_SOFTWARE: usize = 1;

#[test]
fn every_statement_of_the_guide_is_in_the_table_and_nothing_else() {
    let guide: BTreeSet<String> = statements(&read(GUIDE)).collect();
    let table: BTreeSet<String> = rows(&read(TABLE)).map(|(statement, _)| statement).collect();
    let missing: Vec<_> = guide.difference(&table).collect();
    let invented: Vec<_> = table.difference(&guide).collect();
    assert!(guide.len() > 40, "the guide was not read");
    assert!(missing.is_empty(), "not in {TABLE}: {missing:#?}");
    assert!(invented.is_empty(), "not in the guide: {invented:#?}");
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut not_software = 0;
    for (statement, checks) in rows(&read(TABLE)) {
        if checks.starts_with("not software: ") {
            not_software += 1;
            continue;
        }
        for check in checks.split("<br>") {
            let named = check.trim_matches('`').split_once("::");
            let (path, test) = named.unwrap_or_else(|| panic!("{statement}: {check} is no test"));
            let checked = named_test::check(&read(path), test);
            assert_eq!(checked, Ok(()), "{statement}: {path}::{test}");
        }
    }
    assert!(
        not_software <= NOT_SOFTWARE,
        "{not_software} statements have no test"
    );
}

/// List items, lines of code and sentences: whatever is no heading, fence or comment.
fn statements(guide: &str) -> impl Iterator<Item = String> {
    let mut is_code = false;
    let lines = guide.lines().map(str::trim).filter(move |line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !(is_fence || line.is_empty() || line.starts_with('#') || is_code && "{}".contains(line))
    });
    lines.map(without_bullet).map(str::to_owned)
}

fn without_bullet(line: &str) -> &str {
    let number = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    match line[number..].strip_prefix(". ") {
        Some(item) if number > 0 => item,
        _ => line.strip_prefix("- ").unwrap_or(line),
    }
}

fn rows(table: &str) -> impl Iterator<Item = (String, String)> {
    table.lines().filter_map(|line| {
        let (statement, checks) = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .rsplit_once(" | ")?;
        let is_heading = statement == "the guide says" || statement == "---";
        (!is_heading).then(|| (statement.to_owned(), checks.to_owned()))
    })
}

fn read(path: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
