//! `sealgate logs --verify`: walks the chain, and compares it with what was noted earlier.

use std::str::FromStr;

use sealgate_core::audit::BadChain;
use sealgate_core::authority::{Authority, Verified};
use serde::Serialize;

use crate::exit::{Failure, Outcome};
use crate::output::{Output, Progress, Style, count, print_line};

/// A record's place and hash, as an earlier `--verify` printed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    record: u64,
    hash: String,
}

/// What was found, in JSON.
#[derive(Serialize)]
struct Found<'a> {
    whole: bool,
    records: Option<u64>,
    /// The last record's place and hash, fit for `--expect`.
    last: Option<String>,
    problem: Option<&'a str>,
}

/// Walks the log.
///
/// # Errors
/// If the log is not whole, or not the one that was noted.
pub async fn verify(authority: &Authority, noted: Option<&Noted>, output: &Output) -> Outcome {
    let total = authority.last_record().await?;
    let mut progress = Progress::new(output, "records", Some(total));
    let walked = authority
        .verify_logs(|place| progress.show(place, place))
        .await?;
    progress.finish();
    match walked {
        Err(bad) => report_bad(&bad, output),
        Ok(verified) => match noted {
            Some(noted) if !holds(authority, noted).await? => report_unexpected(noted, output),
            _ => report_whole(verified, output),
        },
    }
}

/// Whether a record is the one that was noted.
async fn holds(authority: &Authority, noted: &Noted) -> Outcome<bool> {
    let Some(before) = noted.record.checked_sub(1) else {
        return Ok(false);
    };
    let found = authority.store().audit_after(before, 1).await?;
    Ok(found.first().is_some_and(|record| {
        record.sequence == noted.record && record.hash.to_string() == noted.hash
    }))
}

fn report_whole(verified: Verified, output: &Output) -> Outcome {
    let Verified { records, hash } = verified;
    let note = format!("{records}:{hash}");
    if output.json {
        return Ok(output.json(&Found {
            whole: true,
            records: Some(records),
            last: Some(note),
            problem: None,
        })?);
    }
    if output.quiet {
        return Ok(print_line(note)?);
    }
    let records = count(records, "record", "records");
    print_line(format!(
        "{records}, chain {}, last hash {hash}",
        output.paint(Style::Good, "whole")
    ))?;
    output.note(format!(
        "Noted elsewhere, it proves later that nothing was cut off: --verify --expect {note}"
    ));
    Ok(())
}

fn report_bad(bad: &BadChain, output: &Output) -> Outcome {
    report(&bad.to_string(), output)
}

fn report_unexpected(noted: &Noted, output: &Output) -> Outcome {
    report(
        &format!(
            "record {} is not the one that was noted, or is gone",
            noted.record
        ),
        output,
    )
}

fn report(problem: &str, output: &Output) -> Outcome {
    if output.json {
        output.json(&Found {
            whole: false,
            records: None,
            last: None,
            problem: Some(problem),
        })?;
        return Err(Failure::told());
    }
    Err(
        Failure::new(format!("the audit log is not whole: {problem}"))
            .with_hint("keep a copy of the store as it is, and compare it with a backup"),
    )
}

impl FromStr for Noted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let noted = text.split_once(':').and_then(|(record, hash)| {
            let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            Some(Self {
                record: record.parse().ok()?,
                hash: is_hash.then(|| hash.to_ascii_lowercase())?,
            })
        });
        noted.ok_or_else(|| "write it as --verify printed it: RECORD:HASH".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_note_reads_back() {
        let hash = "ab".repeat(32);
        let noted: Noted = format!("1042:{hash}").parse().unwrap();
        assert_eq!(noted, Noted { record: 1042, hash });
        for text in ["", "1042", "1042:", "1042:xyz", ":ab"] {
            assert!(text.parse::<Noted>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_note_that_is_taken_reads_back(text in "\\+?[0-9]{0,22}:[0-9a-fA-F]{63,65}|\\PC*") {
            if let Ok(noted) = text.parse::<Noted>() {
                let written = format!("{}:{}", noted.record, noted.hash);
                prop_assert_eq!(written.parse::<Noted>(), Ok(noted));
            }
        }
    }
}
