//! What commands print: results to standard output, everything else to standard error; tables that
//! fit the terminal, colours where they are wanted, times that can be read.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;

use sealgate_core::clock::Timestamp;
use serde::Serialize;

use crate::env;

pub use self::progress::Progress;
pub use self::table::{Column, Table};

mod progress;
mod table;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON alone.
    pub json: bool,
    /// Results alone.
    pub quiet: bool,
    colours: bool,
    /// Columns of the terminal; none if standard output is no terminal.
    width: Option<usize>,
}

/// How a text looks on a terminal with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As everything else.
    Plain,
    /// A heading, or what matters most.
    Strong,
    /// What matters less.
    Faint,
    /// All is well.
    Good,
    /// Look at this.
    Notable,
    /// Something is wrong.
    Bad,
}

impl Output {
    /// Finds out what standard output is.
    #[must_use]
    pub fn new(json: bool, quiet: bool) -> Self {
        let stdout = io::stdout();
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        Self {
            json,
            quiet,
            colours: !json && colours(&stdout),
            width: size
                .filter(|_| stdout.is_terminal())
                .map(|size| usize::from(size.ws_col))
                .filter(|width| *width > 0),
        }
    }

    /// Columns of the terminal; none if standard output is no terminal.
    #[must_use]
    pub const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Prints a value as JSON: spread out on a terminal, on one line otherwise.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        if self.width.is_some() {
            print_line(serde_json::to_string_pretty(value)?)
        } else {
            print_json_line(value)
        }
    }

    /// Says something that is no result.
    pub fn note(&self, text: impl Display) {
        if !self.quiet && !self.json {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says something that has to be heard.
    pub fn warn(&self, text: &str) {
        let _ = if self.json {
            writeln!(io::stderr(), "{}", serde_json::json!({"warning": text}))
        } else {
            writeln!(io::stderr(), "warning: {text}")
        };
    }

    /// The text in a style, or as it is where there are no colours.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.colours => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Notable => "33",
            Style::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Prints a line of the result.
///
/// # Errors
/// If standard output is closed.
pub fn print_line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Prints a value as JSON on one line.
///
/// # Errors
/// If standard output is closed.
pub fn print_json_line(value: &impl Serialize) -> io::Result<()> {
    print_line(serde_json::to_string(value)?)
}

/// Whether a stream takes colours and its reader wants them.
#[must_use]
pub fn colours(stream: &(impl IsTerminal + AsFd)) -> bool {
    stream.is_terminal()
        && env::value(env::NO_COLOR).is_none()
        && env::value(env::TERM).is_some_and(|term| term != "dumb")
}

/// A text from the store, safe to show: names may hold what turns text around or hides it.
#[must_use]
pub fn shown(text: &str) -> String {
    let misleads = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if misleads(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A moment as a date and time of day.
#[must_use]
pub fn date_time(at: Timestamp) -> String {
    let at = Timestamp::from_seconds(at.as_seconds()).to_string();
    at.replace('T', " ").replace('Z', " UTC")
}

/// A moment as its distance from now: `5 min ago`, `in 89 days`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_seconds() - now.as_seconds();
    let distance = duration(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {distance}"),
        _ => format!("{distance} ago"),
    }
}

/// A number of seconds in its largest fitting unit.
#[must_use]
pub fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        _ => count((seconds + DAY / 2) / DAY, "day", "days"),
    }
}

/// A number with its thousands apart.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many there are of something.
#[must_use]
pub fn count(number: u64, one: &str, many: &str) -> String {
    let mut out = thousands(number);
    let _ = write!(out, " {}", if number == 1 { one } else { many });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_largest_unit_that_fits() {
        let now = Timestamp::from_seconds(1_000_000);
        for (seconds, told) in [
            (0, "now"),
            (59, "in 59 s"),
            (-61, "1 min ago"),
            (7_200, "in 2 h"),
            (-86_400, "1 day ago"),
            (89 * 86_400, "in 89 days"),
        ] {
            assert_eq!(relative(now.plus_seconds(seconds), now), told);
        }
        assert_eq!(
            date_time(Timestamp::from_millis(1_703_123_456_789)),
            "2023-12-21 01:50:56 UTC"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(count(1, "key", "keys"), "1 key");
    }

    #[test]
    fn a_name_cannot_turn_the_line_around() {
        assert_eq!(shown("a\u{202e}b\u{1b}[2J"), "a\\u{202e}b\\u{1b}[2J");
        assert_eq!(shown("Ключ für 本番"), "Ключ für 本番");
    }
}
