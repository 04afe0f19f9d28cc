//! `sealgate logs`: reads the audit log, follows it ([`follow`]), or proves it whole ([`verify`]).

mod follow;
mod line;
mod verify;

use sealgate_core::authority::LogPage;
use sealgate_core::key::KeyId;
use sealgate_core::view::EventView;
use serde::Serialize;

use self::line::print;
use self::verify::Noted;
use super::Context;
use super::key;
use crate::exit::Outcome;
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate logs --id TcE8hG4L                what happened to a key, and what it was used for
  sealgate logs --follow                     print what happens from now on, until Ctrl-C
  sealgate logs --verify                     prove that no record was altered, removed or added
  sealgate logs --verify --expect 1042:9f2c… prove that the log still holds what was noted earlier
  sealgate logs --json --limit 1000 | jq '.events[] | select(.action == \"request.refused\")'";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Of one key alone: its id, or its first eight characters
    #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
    id: Option<String>,

    /// At most so many, newest first, 1 to 1000 [default: 100, with --follow 10]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,

    /// Where the page before ended: what it told for the next
    #[arg(long, conflicts_with = "follow")]
    cursor: Option<String>,

    /// Go on with what happens from now on, oldest first; with --json one object on each line
    #[arg(long, short)]
    follow: bool,

    /// Walk the whole log and find the first record that is not what was written
    #[arg(long, conflicts_with_all = ["id", "limit", "cursor", "follow"])]
    verify: bool,

    /// A record that was noted earlier and must still be there
    #[arg(long, value_name = "RECORD:HASH", requires = "verify")]
    expect: Option<Noted>,
}

/// A page, in JSON.
#[derive(Serialize)]
struct Page {
    events: Vec<EventView>,
    next_cursor: Option<String>,
}

impl Args {
    /// Reads the log.
    ///
    /// # Errors
    /// If there is no such key, or the log is not whole.
    pub async fn run(self, context: &Context) -> Outcome {
        if let Some(id) = &self.id {
            key::check(id)?;
        }
        let output = &context.output;
        context
            .with_store(Missing::Refuse, async |authority| {
                if self.verify {
                    return verify::verify(authority, self.expect.as_ref(), output).await;
                }
                let key_id: Option<KeyId> = match &self.id {
                    Some(id) => Some(authority.key(id).await?.id),
                    None => None,
                };
                if self.follow {
                    return follow::follow(authority, key_id, self.limit, output).await;
                }
                let page = authority
                    .logs(key_id, self.cursor.as_deref(), self.limit)
                    .await?;
                if output.json {
                    let LogPage {
                        events,
                        next_cursor,
                    } = page;
                    return Ok(output.json(&Page {
                        events,
                        next_cursor,
                    })?);
                }
                page.events
                    .iter()
                    .try_for_each(|event| print(event, output))?;
                if let Some(cursor) = page.next_cursor {
                    output.note(format!("\nThere are older ones: --cursor {cursor}"));
                }
                Ok(())
            })
            .await
    }
}
