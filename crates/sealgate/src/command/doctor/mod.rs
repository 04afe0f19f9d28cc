//! `sealgate doctor`: what is misconfigured or unsafe here, one line each, with what to do about it.

mod certificate;
mod place;
mod policy;
mod sessions;
mod store;

use serde::Serialize;

use super::Context;
use crate::exit::{Failure, Outcome};
use crate::output::{Style, count, print_line};

const EXAMPLES: &str = "\
Examples:
  sealgate doctor
  sealgate doctor --json | jq -r '.findings[] | select(.level != \"ok\") | .message'

It exits with 1 if anything fails; what it warns about works, and could be safer. With --quiet only
warnings and failures are printed.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and could be safer.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

/// What was found in one place.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    check: &'static str,
    level: Level,
    message: String,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            message: message.into(),
        }
    }

    fn warn(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            ..Self::ok(check, message)
        }
    }

    fn fail(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::ok(check, message)
        }
    }

    /// A failure of something that was tried.
    fn failed(check: &'static str, failure: &Failure) -> Self {
        Self::fail(
            check,
            match failure.hint() {
                Some(hint) => format!("{}: {hint}", failure.message()),
                None => failure.message().to_owned(),
            },
        )
    }
}

/// Everything that was found, in JSON.
#[derive(Serialize)]
struct Findings {
    findings: Vec<Finding>,
    ok: bool,
}

impl Args {
    /// Looks everywhere.
    ///
    /// # Errors
    /// If anything fails.
    pub async fn run(self, context: &Context) -> Outcome {
        let mut findings = place::examine(context);
        findings.extend(store::examine(context).await);
        findings.extend(policy::examine(context));
        findings.extend(sessions::examine(context).await);

        let number = |level| {
            findings
                .iter()
                .filter(|finding| finding.level == level)
                .count() as u64
        };
        let (warnings, failures) = (number(Level::Warn), number(Level::Fail));
        let ok = failures == 0;
        let output = &context.output;
        if output.json {
            output.json(&Findings { findings, ok })?;
        } else {
            for finding in &findings {
                print(finding, context)?;
            }
            let warnings = count(warnings, "warning", "warnings");
            output.note(format!(
                "\n{}, {warnings}",
                count(failures, "failure", "failures")
            ));
        }
        if ok { Ok(()) } else { Err(Failure::told()) }
    }
}

fn print(finding: &Finding, context: &Context) -> Outcome {
    let output = &context.output;
    let (style, word) = match finding.level {
        Level::Ok if output.quiet => return Ok(()),
        Level::Ok => (Style::Good, "ok  "),
        Level::Warn => (Style::Notable, "warn"),
        Level::Fail => (Style::Bad, "fail"),
    };
    let word = output.paint(style, word);
    Ok(print_line(format!(
        "{word}  {:<14}  {}",
        finding.check, finding.message
    ))?)
}
