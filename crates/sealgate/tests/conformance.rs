//! `docs/conformance.md` names every statement of both guides and a test for each that exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::named_test;

/// The guides, the heading under which the page has each, and fewest statements of each.
const GUIDES: [(&str, &str, usize); 2] = [
    (
        "docs/guides/quantonium-authentication-guide.md",
        "## The authentication guide",
        40,
    ),
    (
        "docs/guides/gomaluum-api-key-usage.md",
        "## The usage guide",
        60,
    ),
];
const PAGE: &str = "docs/conformance.md";
/// Languages of programs, of which each is one statement: a line of one says nothing.
const PROGRAMS: [&str; 3] = ["javascript", "python", "go"];
/// What begins a remark on how far a statement goes, after its tests.
const NOTE: &str = "note: ";
/// What no program can do for its users: at most so many statements of a guide.
const NOT_SOFTWARE: usize = 1;

#[test]
fn every_statement_of_the_guides_is_in_the_table_and_nothing_else() {
    for (guide, heading, fewest) in GUIDES {
        let stated: BTreeSet<String> = statements(&read(guide)).into_iter().collect();
        let table = table(heading).into_iter().map(|(statement, _)| statement);
        let table: BTreeSet<String> = table.collect();
        let missing: Vec<_> = stated.difference(&table).collect();
        let invented: Vec<_> = table.difference(&stated).collect();
        assert!(stated.len() > fewest, "{guide} was not read");
        assert!(missing.is_empty(), "not in {PAGE}: {missing:#?}");
        assert!(invented.is_empty(), "not in {guide}: {invented:#?}");
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    for (guide, heading, _) in GUIDES {
        let mut not_software = 0;
        for (statement, checks) in table(heading) {
            if checks.starts_with("not software: ") {
                not_software += 1;
                continue;
            }
            let (tests, notes): (Vec<&str>, Vec<&str>) = checks
                .split("<br>")
                .partition(|check| !check.starts_with(NOTE));
            assert!(!tests.is_empty(), "{statement}: {notes:?}");
            for check in tests {
                let named = check.trim_matches('`').split_once("::");
                let (path, test) = named.unwrap_or_else(|| panic!("{statement}: {check}"));
                let checked = named_test::check(&read(path), test);
                assert_eq!(checked, Ok(()), "{statement}: {path}::{test}");
            }
        }
        assert!(
            not_software <= NOT_SOFTWARE,
            "{not_software} statements of {guide} have no test"
        );
    }
}

/// List items, lines of code and sentences: whatever is no heading, fence or comment. A program is one
/// statement, named for the heading above it.
fn statements(guide: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut heading = "";
    let mut language: Option<&str> = None;
    for line in guide.lines().map(str::trim) {
        if let Some(info) = line.strip_prefix("```") {
            language = match language {
                None => Some(info),
                Some(_) => None,
            };
            if language.is_some_and(is_program) {
                statements.push(format!("the example *{heading}*"));
            }
        } else if language.is_some_and(is_program) {
            // Said by its name.
        } else if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        } else if line.contains(char::is_alphanumeric) {
            statements.push(without_bullet(line).to_owned());
        }
    }
    statements
}

fn is_program(language: &str) -> bool {
    PROGRAMS.contains(&language)
}

fn without_bullet(line: &str) -> &str {
    let number = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    match line[number..].strip_prefix(". ") {
        Some(item) if number > 0 => item,
        _ => line.strip_prefix("- ").unwrap_or(line),
    }
}

/// What the page says under a heading: statements, and what shows each.
fn table(heading: &str) -> Vec<(String, String)> {
    let page = read(PAGE);
    let section = page.split_once(&format!("\n{heading}\n"));
    let (_, section) = section.unwrap_or_else(|| panic!("{PAGE} has no {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| {
        let (statement, checks) = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .rsplit_once(" | ")?;
        let is_heading = statement == "the guide says" || statement == "---";
        (!is_heading).then(|| (statement.to_owned(), checks.to_owned()))
    });
    rows.collect()
}

fn read(path: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
