//! `sealgate list`: keys, newest first, or by name where names are searched.

use sealgate_core::authority::{Authority, KeyFilter};
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{Environment, Status};
use sealgate_core::view::KeyView;
use serde::Serialize;

use super::Context;
use super::key::{permissions, style};
use crate::cli;
use crate::exit::Outcome;
use crate::output::{Column, Output, Style, Table, count, print_line, relative};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate list
  sealgate list --search prod --status active
  sealgate list --due                        keys that are due for rotation
  sealgate list --all --json | jq -r '.keys[].name'";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Those whose name begins with this; or the key with this id or prefix
    #[arg(long, short = 'q', value_name = "TEXT", allow_hyphen_values = true)]
    search: Option<String>,

    /// Those in one state
    #[arg(long, value_parser = cli::statuses())]
    status: Option<Status>,

    /// Those of one environment
    #[arg(long, value_parser = cli::environments())]
    environment: Option<Environment>,

    /// Those due for rotation
    #[arg(long, conflicts_with = "status")]
    due: bool,

    /// At most so many, 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,

    /// Where the page before ended: what it told for the next
    #[arg(long)]
    cursor: Option<String>,

    /// Every page
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
}

/// A page, in JSON.
#[derive(Serialize)]
struct Page {
    keys: Vec<KeyView>,
    next_cursor: Option<String>,
}

impl Args {
    /// Lists them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn run(self, context: &Context) -> Outcome {
        context
            .with_store(Missing::Refuse, async |authority| {
                let (keys, next_cursor) = self.fetch(authority).await?;
                let output = &context.output;
                if output.json {
                    return Ok(output.json(&Page { keys, next_cursor })?);
                }
                if output.quiet {
                    return keys.iter().try_for_each(|key| Ok(print_line(key.key_id)?));
                }
                print(&keys, output, authority.now())?;
                output.note(match next_cursor {
                    Some(cursor) => format!("\nThere are more: --all, or --cursor {cursor}"),
                    None if keys.is_empty() => "No keys. `sealgate create` makes one.".to_owned(),
                    None => format!("\n{}", count(keys.len() as u64, "key", "keys")),
                });
                Ok(())
            })
            .await
    }

    async fn fetch(self, authority: &Authority) -> Outcome<(Vec<KeyView>, Option<String>)> {
        let mut filter = KeyFilter {
            search: self.search,
            status: self.status,
            environment: self.environment,
            due: self.due,
            cursor: self.cursor,
            limit: Some(if self.all { 1_000 } else { self.limit }),
        };
        let mut views = Vec::new();
        loop {
            let (keys, next_cursor) = authority.list(&filter).await?;
            views.extend(keys.iter().map(|key| authority.view(key)));
            if !self.all || next_cursor.is_none() {
                return Ok((views, next_cursor));
            }
            filter.cursor = next_cursor;
        }
    }
}

fn print(keys: &[KeyView], output: &Output, now: Timestamp) -> Outcome {
    if keys.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::new("PREFIX"),
        Column::new("NAME").gives_way(),
        Column::new("STATUS"),
        Column::new("PERMISSIONS").gives_way().dispensable(1),
        Column::new("ENVIRONMENT").dispensable(4),
        Column::new("LAST USED").dispensable(2),
        Column::new("EXPIRES").dispensable(3),
        Column::new("ROTATION DUE").dispensable(5),
        Column::new("KEY ID").dispensable(6),
    ]);
    for key in keys {
        let when = |at: Option<Timestamp>, never: &str| {
            at.map_or_else(|| never.to_owned(), |at| relative(at, now))
        };
        let is_due = key.rotation_due_at.is_some_and(|at| at <= now);
        let due = if is_due { Style::Notable } else { Style::Plain };
        table.row([
            (Style::Strong, key.prefix.clone()),
            (Style::Plain, key.name.clone()),
            (style(key.status), key.status.to_string()),
            (Style::Plain, permissions(key)),
            (Style::Plain, key.environment.to_string()),
            (Style::Plain, when(key.last_used_at, "never")),
            (Style::Plain, when(key.expires_at, "never")),
            (due, when(key.rotation_due_at, "-")),
            (Style::Faint, key.key_id.to_string()),
        ]);
    }
    Ok(table.print(output)?)
}
