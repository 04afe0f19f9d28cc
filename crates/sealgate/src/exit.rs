//! How a command ends: its exit status, and the lines that say why it failed.

use std::io::{self, Write as _};
use std::process::ExitCode;

use sealgate_core::error::{Error, Reason};
use sealgate_core::redact::holds_secret;
use sealgate_core::store::StoreError;
use serde::Serialize;

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a command failed, for whoever typed it.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It was asked for in the right way and could not be done.
    Failed,
    /// It was not asked for in the right way.
    Usage,
    /// Everything is said already.
    Told,
    /// Nobody reads standard output any more: nothing is left to be said.
    NobodyReads,
}

impl Failure {
    /// It could not be done. The message starts with a small letter and has no period at its end.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            message: message.into(),
            hint: None,
        }
    }

    /// It was not asked for in the right way.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            ..Self::new(message)
        }
    }

    /// It failed, and the output says so already.
    pub fn told() -> Self {
        Self {
            kind: Kind::Told,
            ..Self::new("")
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts in front what it was about.
    #[must_use]
    pub fn about(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Says why on standard error, in JSON if that was asked for, and gives the exit status.
    pub fn report(&self, json: bool) -> ExitCode {
        let slug = match self.kind {
            Kind::NobodyReads => return ExitCode::SUCCESS,
            Kind::Told => return ExitCode::from(1),
            Kind::Failed => "failed",
            Kind::Usage => "usage",
        };
        let mut text = if json {
            let error = Told {
                error: slug,
                message: &self.message,
                hint: self.hint(),
            };
            serde_json::to_string(&error).unwrap_or_default()
        } else {
            format!("error: {}", self.message)
        };
        if let (Some(hint), false) = (&self.hint, json) {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        // With standard error closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{text}");
        ExitCode::from(if self.kind == Kind::Usage { 2 } else { 1 })
    }
}

/// A failure in JSON.
#[derive(Serialize)]
struct Told<'a> {
    error: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// Ends the program for arguments that clap did not take, or that asked for help.
pub fn report_clap(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    if json {
        let first = text.lines().next().unwrap_or_default();
        let message = mask(first.strip_prefix("error: ").unwrap_or(first));
        return Failure::usage(message).report(true);
    }
    if holds_secret(&text) {
        let _ = write!(io::stderr(), "{}", mask(&text));
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}

/// Whoever mistypes an argument may have typed a key: clap shows what it did not take.
fn mask(text: &str) -> String {
    let ends_a_word = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '=');
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(ends_a_word) {
        let bare = word.trim_end_matches(ends_a_word);
        out.push_str(if holds_secret(bare) {
            "[redacted]"
        } else {
            bare
        });
        out.push_str(&word[bare.len()..]);
    }
    out
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => Kind::NobodyReads,
            _ => Kind::Failed,
        };
        Self {
            kind,
            ..Self::new(error.to_string())
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, message } => Self::usage(match field {
                "body" => message,
                // It came from no flag.
                "password" => format!("the password: {message}"),
                field => format!("{}: {message}", flag(field)),
            }),
            Error::NotFound("user") => Self::new("there is no such user")
                .with_hint("`sealgate user list` shows the users of this store"),
            Error::NotFound(what) => Self::new(format!("there is no such {what}"))
                .with_hint("`sealgate list` shows the keys of this store"),
            Error::Conflict(message) => Self::new(message),
            Error::Unavailable(error) => error.into(),
            Error::Denied(denied) if denied.reason == Reason::OwnKey => {
                Self::new("a key cannot do this to itself")
            }
            Error::Denied(denied) => Self::new(denied.to_string()),
            error @ Error::LimitsUnavailable => Self::new(error.to_string()),
            Error::Busy { .. } => {
                Self::new("too much is going on").with_hint("try again in a moment")
            }
            Error::DirectoryUnavailable(why) => {
                Self::new(format!("the user directory cannot be used: {why}"))
            }
            Error::Internal(detail) => Self::new(format!("internal error: {detail}"))
                .with_hint("this is a bug in Sealgate: report it, without keys and tokens"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            StoreError::Unreadable(_) => failure.with_hint(
                "a store opens with the master key that it was made with; `sealgate doctor` says \
                 which one is used here",
            ),
            _ => failure,
        }
    }
}

/// The flag of a field of the HTTP API.
fn flag(field: &str) -> String {
    match field {
        "allowed_ips" => "--allow-ip".to_owned(),
        "grace_seconds" => "--grace".to_owned(),
        "rate_limit_window_seconds" => "--rate-limit".to_owned(),
        "roles" => "--role".to_owned(),
        "attributes" => "--attribute".to_owned(),
        field => format!("--{}", field.replace('_', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";

    #[test]
    fn what_looks_like_a_key_is_masked_and_the_rest_is_left() {
        let text = format!("error: unexpected argument '{KEY}' found\n\nUsage: sealgate --x={KEY}");
        assert_eq!(
            mask(&text),
            "error: unexpected argument '[redacted]' found\n\nUsage: sealgate --x=[redacted]"
        );
    }

    #[test]
    fn a_field_at_fault_is_named_as_the_flag_it_came_from() {
        let failure = Failure::from(Error::invalid("expires_in_days", "too many"));
        assert_eq!(failure.message(), "--expires-in-days: too many");
        assert_eq!(flag("allowed_ips"), "--allow-ip");
    }
}
