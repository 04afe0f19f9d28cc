//! A verdict for people.

use std::io;

use super::{Needs, Told, Verdict};
use crate::command::key::style;
use crate::output::{Output, Style, date_time, print_line, shown};

/// Prints it: the request, the rules, what is needed, the result.
///
/// # Errors
/// If standard output is closed.
pub fn print(verdict: &Verdict<'_>, output: &Output) -> io::Result<()> {
    let request = format!("{} {}", verdict.method, verdict.path);
    let request = output.paint(Style::Strong, &shown(&request));
    print_line(format!("{request}, {}\n", carrying(verdict)))?;
    let rules = if verdict.needs.is_some() {
        rules(verdict)
    } else {
        readings(verdict)
    };
    print_rows(&rules, output)?;
    if let Some(needs) = &verdict.needs {
        print_rows(&needed(verdict, needs), output)?;
    }
    if verdict.allowed {
        return print_line(output.paint(Style::Good, "it may pass"));
    }
    for because in &verdict.reasons {
        let refused = output.paint(Style::Bad, "refused");
        let message = shown(&because.message);
        print_line(format!("{refused}: {message} ({})", because.reason))?;
    }
    Ok(())
}

fn carrying(verdict: &Verdict<'_>) -> String {
    let key = verdict
        .key
        .map(|key| format!("{} ({})", key.prefix, shown(&key.name)));
    match (verdict.credential, key) {
        (None, _) => "without a credential".to_owned(),
        (Some("session"), Some(key)) => format!("with a session that the key {key} seals"),
        (Some("session"), None) => "with a session".to_owned(),
        (Some("token"), Some(key)) => format!("with a token of the key {key}"),
        (Some(_), key) => format!("with the key {}", key.unwrap_or_default()),
    }
}

/// What is said of something: its title, how it looks, the text.
type Row = (String, Style, String);

/// The rules up to the one that decides.
fn rules(verdict: &Verdict<'_>) -> Vec<Row> {
    let passed_over = verdict.passed_over.iter().map(|passed| {
        let why = match passed.because {
            "path" => "is about other paths",
            _ => "is about other methods",
        };
        (named(Some(passed.rule)), Style::Faint, why.to_owned())
    });
    let decides = (named(verdict.rule), Style::Strong, "decides".to_owned());
    passed_over.chain([decides]).collect()
}

fn readings(verdict: &Verdict<'_>) -> Vec<Row> {
    let readings = verdict.readings.iter().map(|reading| {
        let case = if reading.ignores_case {
            " (upper and lower case the same)"
        } else {
            ""
        };
        let path = format!("{}{case}", reading.path);
        (path, Style::Notable, named(reading.rule))
    });
    readings.collect()
}

fn named(rule: Option<Told<'_>>) -> String {
    let Some(Told {
        path,
        methods,
        line,
    }) = rule
    else {
        return "the default rule".to_owned();
    };
    let line = line
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    let methods = methods.map(|methods| format!("{} ", methods.join(", ")));
    format!("{line}{}{path}", methods.unwrap_or_default())
}

/// What is needed, and what there is of it.
fn needed(verdict: &Verdict<'_>, needs: &Needs<'_>) -> Vec<Row> {
    let passes = match needs.credentials.as_slice() {
        [] => "nobody".to_owned(),
        kinds if needs.anonymous => format!("anybody; if one is sent, a good {}", kinds.join(", ")),
        kinds => kinds.join(", "),
    };
    let mut rows = vec![("lets pass".to_owned(), Style::Plain, passes)];
    if let Some(environment) = needs.environment {
        let text = format!("of {environment} alone");
        rows.push(("on servers".to_owned(), Style::Plain, text));
    }
    for needed in &needs.permissions {
        let (style, text) = match needed.granted {
            // A session has none, and needs none.
            _ if verdict.credential == Some("session") => continue,
            None => (Style::Plain, "needed"),
            Some(true) => (Style::Good, "granted"),
            Some(false) => (Style::Bad, "not granted"),
        };
        rows.push((needed.permission.to_owned(), style, text.to_owned()));
    }
    if let Some(key) = verdict.key {
        let expiry = key.expires_at.map_or_else(
            || "never expires".to_owned(),
            |at| format!("expires {}", date_time(at)),
        );
        let text = format!("{}, of {}, {expiry}", key.status, key.environment);
        rows.push(("the key".to_owned(), style(key.status), text));
        if !key.allowed_ips.is_empty() {
            let text = format!(
                "from {} alone, which is not checked here",
                key.allowed_ips.join(", ")
            );
            rows.push(("its use".to_owned(), Style::Notable, text));
        }
    }
    if !needs.inject.is_empty() {
        rows.push(("adds".to_owned(), Style::Plain, needs.inject.join(", ")));
    }
    rows
}

/// Prints rows with their texts below each other, and an empty line.
fn print_rows(rows: &[Row], output: &Output) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, Style, String)> = rows
        .iter()
        .map(|(title, style, text)| (shown(title), *style, shown(text)))
        .collect();
    let width = rows.iter().map(|(title, ..)| title.chars().count()).max();
    let width = width.unwrap_or_default();
    for (title, style, text) in &rows {
        print_line(format!("  {title:<width$}  {}", output.paint(*style, text)))?;
    }
    print_line("")
}
