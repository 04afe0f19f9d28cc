//! The documentation is true: every command in `README.md` and `docs/` is run as it stands, what it
//! prints is what the page shows ([`output`]), and tables list what there is ([`tables`]).

mod output;
mod page;
mod session;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use self::page::Page;

/// Blocks of commands that cannot be run here: at most so many.
const NOT_RUN: usize = 3;

#[test]
fn every_command_of_the_documentation_runs_and_prints_what_the_page_shows() {
    let pages: Vec<Page> = pages().iter().map(|path| Page::read(path)).collect();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running = pages.iter().filter(|page| !page.steps.is_empty());
        let running: Vec<_> = running
            .map(|page| scope.spawn(|| session::run(page)))
            .collect();
        let ended = running.into_iter().map(ScopedJoinHandle::join);
        ended
            .flat_map(|failures| failures.expect("a session does not panic"))
            .collect()
    });
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn what_is_not_run_is_little_and_says_why() {
    let pages: Vec<Page> = pages().iter().map(|path| Page::read(path)).collect();
    let commands: usize = pages.iter().map(|page| page.commands().count()).sum();
    let not_run: Vec<&String> = pages.iter().flat_map(|page| &page.not_run).collect();
    println!("{commands} blocks of commands are run; not run: {not_run:#?}");
    assert!(commands > 50, "the pages were not read");
    assert!(not_run.len() <= NOT_RUN, "{not_run:#?}");
}

#[test]
fn every_link_within_the_documentation_leads_somewhere() {
    let mut dead = Vec::new();
    for path in pages() {
        for target in links(&fs::read_to_string(&path).expect("a page")) {
            if !target.contains("://") && !leads_somewhere(&path, &target) {
                dead.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// `README.md`, and every page in `docs/`.
fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).expect("docs/ is there");
    let paths = entries.map(|entry| entry.expect("an entry of docs/").path());
    let mut pages: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository.
fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between the round brackets of links.
fn links(text: &str) -> Vec<String> {
    let starts = text.split("](").skip(1);
    let targets = starts.filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// Whether the file is there, and the heading in it, if one is named.
fn leads_somewhere(from: &Path, target: &str) -> bool {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        from.to_owned()
    } else {
        from.with_file_name(file)
    };
    if heading.is_empty() {
        return path.is_file();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .any(|line| anchor(line).as_deref() == Some(heading))
}

/// The name by which a heading is linked to.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let anchor = kept.map(|c| if c == ' ' { '-' } else { c });
    Some(anchor.collect::<String>().to_lowercase())
}
