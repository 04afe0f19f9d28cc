//! Whether commands printed what a page shows. What differs from run to run is compared by its form:
//!
//! - a word with `…` or `...` stands for whatever has the same beginning and end;
//! - `TcE8hG4L`, the prefix of the guide's key, stands for any prefix;
//! - letters and digits of 32 characters or more stand for any of that length: keys, identifiers,
//!   hashes;
//! - a date or a time stands for any, and so does a claim that is one in unix seconds.

use serde_json::Value;

use super::page::Expected;

const PREFIX: &str = "TcE8hG4L";
/// From this length on a word is taken for one of many.
const LONG: usize = 32;

/// Compares what commands printed with what the page shows. Where it shows nothing, it must not be an
/// error: curl takes one for a success.
///
/// # Errors
/// Says what differs.
pub fn compare(expected: Option<&Expected>, printed: &str) -> Result<(), String> {
    match expected {
        None if printed.contains("\"status_code\":") => Err("it is an error".to_owned()),
        None => Ok(()),
        Some(Expected::Json(text)) => {
            let expected = serde_json::from_str(text)
                .map_err(|error| format!("what the page shows is no JSON: {error}"))?;
            let printed = last_json(printed).ok_or("no JSON was printed")?;
            compare_json("", &expected, &printed)
        }
        Some(Expected::Text(text)) => compare_lines(text, printed),
    }
}

/// The JSON value that ends a text: all of it, or what begins on its last line that begins one.
fn last_json(text: &str) -> Option<Value> {
    let starts = text.match_indices('\n').map(|(end, _)| end + 1);
    let mut parsed = std::iter::once(0)
        .chain(starts)
        .filter(|start| text[*start..].starts_with('{'))
        .map(|start| serde_json::from_str(&text[start..]));
    parsed.find_map(Result::ok)
}

fn compare_json(path: &str, expected: &Value, printed: &Value) -> Result<(), String> {
    match (expected, printed) {
        (Value::Object(expected), Value::Object(printed)) => {
            let names = |members: &serde_json::Map<String, Value>| {
                let mut names: Vec<String> = members.keys().cloned().collect();
                names.sort();
                names
            };
            if names(expected) != names(printed) {
                return Err(format!(
                    "{path}: the members are {:?}, and the page shows {:?}",
                    names(printed),
                    names(expected)
                ));
            }
            expected.iter().try_for_each(|(name, expected)| {
                compare_json(&format!("{path}.{name}"), expected, &printed[name])
            })
        }
        (Value::Array(expected), Value::Array(printed)) if expected.len() == printed.len() => {
            let mut pairs = expected.iter().zip(printed);
            pairs.try_for_each(|(expected, printed)| {
                compare_json(&format!("{path}[]"), expected, printed)
            })
        }
        (Value::String(expected), Value::String(printed)) if is_like(expected, printed) => Ok(()),
        (Value::Number(_), Value::Number(_)) if is_any_number(path) => Ok(()),
        _ if expected == printed => Ok(()),
        _ => Err(format!(
            "{path}: it is {printed}, and the page shows {expected}"
        )),
    }
}

/// Whether a member is a place in the log, or a time in unix seconds.
fn is_any_number(path: &str) -> bool {
    let names = [".sequence", ".exp", ".iat", ".nbf"];
    names.iter().any(|name| path.ends_with(name))
}

/// Compares the last lines that were printed, without those that are blank, word by word.
fn compare_lines(expected: &str, printed: &str) -> Result<(), String> {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        // What was made at the end of a second is shown at the start of the next.
        lines
            .map(|line| line.replace("(1 s ago)", "(now)"))
            .collect()
    };
    let (expected, printed) = (lines(expected), lines(printed));
    let Some(skipped) = printed.len().checked_sub(expected.len()) else {
        return Err(format!("fewer lines than the page shows: {expected:#?}"));
    };
    let mut pairs = expected.iter().zip(&printed[skipped..]);
    match pairs.find(|(expected, printed)| !is_like(expected, printed)) {
        Some((expected, printed)) => Err(format!("`{printed}`, and the page shows `{expected}`")),
        None => Ok(()),
    }
}

fn is_like(expected: &str, printed: &str) -> bool {
    let (mut expected, mut printed) = (expected.split_whitespace(), printed.split_whitespace());
    loop {
        match (expected.next(), printed.next()) {
            (None, None) => return true,
            (Some(expected), Some(printed)) if is_word_like(expected, printed) => {}
            _ => return false,
        }
    }
}

fn is_word_like(expected: &str, printed: &str) -> bool {
    let parts = expected.split_once('…').or(expected.split_once("..."));
    if let Some((start, end)) = parts {
        return printed.starts_with(start) && printed.ends_with(end);
    }
    let is_code = |word: &str| {
        word.len() >= LONG
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if is_code(expected) {
        return is_code(printed) && printed.len() == expected.len();
    }
    if let Some(after) = expected.strip_prefix(PREFIX) {
        return printed.len() == expected.len() && printed.ends_with(after);
    }
    if is_moment(expected) {
        return is_moment(printed);
    }
    expected == printed
}

/// A date, a time of day, or both as RFC 3339 has them.
fn is_moment(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let marks = word.matches(['-', ':', 'T', 'Z', '.']).count();
    digits >= 6 && marks >= 2 && digits + marks == word.len()
}
