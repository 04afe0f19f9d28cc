//! `sealgate logs --follow`: the newest records, then each new one within a second.

use std::time::Duration;

use sealgate_core::audit::Record;
use sealgate_core::authority::Authority;
use sealgate_core::key::KeyId;
use sealgate_core::view::EventView;

use super::line::print;
use crate::exit::Outcome;
use crate::output::{Output, print_json_line};

/// Time between two looks at the store.
const PAUSE: Duration = Duration::from_millis(300);
/// Records of the past to begin with.
const PAST: u32 = 10;

/// Prints records until it is interrupted, or nobody reads them any more.
///
/// # Errors
/// If the store cannot be read.
pub async fn follow(
    authority: &Authority,
    key_id: Option<KeyId>,
    limit: Option<u32>,
    output: &Output,
) -> Outcome {
    tokio::select! {
        outcome = print_all(authority, key_id, limit, output) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn print_all(
    authority: &Authority,
    key_id: Option<KeyId>,
    limit: Option<u32>,
    output: &Output,
) -> Outcome {
    let mut last = authority.last_record().await?;
    let past = authority
        .logs(key_id, None, Some(limit.unwrap_or(PAST)))
        .await?;
    for event in past.events.iter().rev() {
        // What came in between is not old, and will be read in its turn.
        if event.sequence.is_some_and(|sequence| sequence <= last) {
            print_one(event, output)?;
        }
    }
    loop {
        let records = authority.logs_after(last).await?;
        let is_behind = !records.is_empty();
        for record in records {
            last = record.sequence;
            if is_about(&record, key_id) {
                print_one(&EventView::from(record), output)?;
            }
        }
        if !is_behind {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_about(record: &Record, key_id: Option<KeyId>) -> bool {
    key_id.is_none_or(|id| record.event.key_id == Some(id))
}

fn print_one(event: &EventView, output: &Output) -> Outcome {
    if output.json {
        print_json_line(event)?;
    } else {
        print(event, output)?;
    }
    Ok(())
}
