//! Keys on the command line: how one is named, and how one is shown.

use std::io::{self, ErrorKind};

use clap::Args;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{PREFIX_LENGTH, Status};
use sealgate_core::secret::SecretText;
use sealgate_core::view::KeyView;
use serde::Serialize;

use super::rate_limit;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, Style, date_time, print_line, relative, shown, thousands};

/// Which key a command is about.
#[derive(Args, Debug)]
pub struct Reference {
    /// The key's id, or its first eight characters
    // Those of a key of the original system can begin with a hyphen.
    #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
    id: String,
}

impl Reference {
    /// The reference, unless it is a key itself.
    ///
    /// # Errors
    /// If a secret was typed where a name belongs.
    pub fn checked(&self) -> Outcome<&str> {
        check(&self.id)
    }
}

/// Refuses what holds more of a key than its prefix, and does not show it.
pub fn check(id: &str) -> Outcome<&str> {
    if id.contains('.') || sealgate_core::redact::holds_secret(id) {
        let message = "--id takes a key's id or its first eight characters, not the key itself";
        return Err(Failure::usage(message).with_hint(format!(
            "leave out the dot and what follows it, {PREFIX_LENGTH} characters remain; a key that \
             was typed here is in your shell's history now: think of rotating it"
        )));
    }
    Ok(id)
}

/// How a state looks.
pub const fn style(status: Status) -> Style {
    match status {
        Status::Active => Style::Good,
        Status::Rotated | Status::Disabled => Style::Notable,
        Status::Expired | Status::Revoked => Style::Bad,
    }
}

/// A key that was just made, in JSON.
#[derive(Serialize)]
pub struct Made<'a> {
    key: &'a KeyView,
    api_key: &'a str,
}

impl<'a> Made<'a> {
    /// With the one sight of its text.
    pub fn new(key: &'a KeyView, text: &'a SecretText) -> Self {
        Self {
            key,
            api_key: text.expose(),
        }
    }
}

/// Prints a key that was just made. This is the one time it can be shown, so that it has to be
/// known if it was not.
///
/// # Errors
/// If standard output is closed.
pub fn print_once(key: &KeyView, text: &SecretText, output: &Output, now: Timestamp) -> Outcome {
    let print = || -> io::Result<()> {
        if output.quiet {
            return print_line(text.expose());
        }
        print_line(output.paint(Style::Strong, &shown(&key.name)))?;
        print_line(format!(
            "\n  {}\n",
            output.paint(Style::Strong, text.expose())
        ))?;
        print_line("Store it now: this is the only time that it is shown.\n")?;
        print_facts(key, output, now)
    };
    print().map_err(|error| not_shown(key, &error))
}

/// A key was made, and nobody saw it.
pub fn not_shown(key: &KeyView, error: &io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::BrokenPipe => "standard output is closed".to_owned(),
        _ => error.to_string(),
    };
    let id = key.key_id;
    Failure::new(format!(
        "the key {id} was made and could not be shown: {why}"
    ))
    .with_hint(format!(
        "revoke it, and make another: sealgate revoke --id {id}"
    ))
}

/// Prints all there is to say of a key.
///
/// # Errors
/// If standard output is closed.
pub fn print_facts(key: &KeyView, output: &Output, now: Timestamp) -> io::Result<()> {
    for (title, style, text) in facts(key, now) {
        let title = output.paint(Style::Faint, &format!("{title:<14}"));
        print_line(format!("  {title}{}", output.paint(style, &shown(&text))))?;
    }
    Ok(())
}

fn facts(key: &KeyView, now: Timestamp) -> Vec<(&'static str, Style, String)> {
    let moment = |at: Timestamp| format!("{} ({})", date_time(at), relative(at, now));
    let plain = |title, text: String| Some((title, Style::Plain, text));
    let optional = |title, text: Option<String>| text.and_then(|text| plain(title, text));
    let facts = [
        plain("key id", key.key_id.to_string()),
        plain("prefix", key.prefix.clone()),
        optional(
            "description",
            Some(key.description.clone()).filter(|text| !text.is_empty()),
        ),
        Some(("status", style(key.status), key.status.to_string())),
        plain("permissions", permissions(key)),
        plain("environment", key.environment.to_string()),
        optional("rate limit", rate_limit::words(key)),
        optional(
            "allowed from",
            Some(key.allowed_ips.join(", ")).filter(|text| !text.is_empty()),
        ),
        plain("created", moment(key.created_at)),
        plain(
            "expires",
            key.expires_at.map_or_else(|| "never".to_owned(), moment),
        ),
        optional("rotation due", key.rotation_due_at.map(moment)),
        plain(
            "last used",
            key.last_used_at.map_or_else(|| "never".to_owned(), moment),
        ),
        optional(
            "uses",
            Some(key.use_count).filter(|n| *n > 0).map(thousands),
        ),
        optional("revoked", key.revoked_at.map(moment)),
        optional("replaces", key.rotated_from.map(|id| id.to_string())),
        optional("replaced by", key.rotated_to.map(|id| id.to_string())),
    ];
    facts.into_iter().flatten().collect()
}

/// What a key may do, in words.
pub fn permissions(key: &KeyView) -> String {
    match (key.is_admin, key.permissions.as_str()) {
        (true, _) => "everything (administrator)".to_owned(),
        (false, "") => "nothing".to_owned(),
        (false, permissions) => permissions.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_key_is_no_reference_and_is_not_shown() {
        for key in [
            "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3",
            "UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3",
            "TcE8hG4L.",
        ] {
            let failure = check(key).unwrap_err();
            assert!(!format!("{failure:?}").contains(&key[..7]), "{failure:?}");
        }
        assert!(check("TcE8hG4L").is_ok());
        assert!(check("550e8400-e29b-41d4-a716-446655440000").is_ok());
    }
}
