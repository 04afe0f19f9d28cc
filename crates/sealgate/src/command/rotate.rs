//! `sealgate rotate`: replaces a key by a new one with the same name, permissions and limits.

use sealgate_core::authority::Rotated;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use sealgate_core::view::KeyView;
use serde::Serialize;

use super::Context;
use super::confirm::confirm;
use super::key::{Reference, not_shown, print_once};
use super::seconds::parse_seconds;
use crate::account;
use crate::exit::Outcome;
use crate::output::{Output, duration, shown};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate rotate --id TcE8hG4L
  sealgate rotate --id TcE8hG4L --grace 24h --reason \"every 90 days\" --force

The new key opens what the old one has sealed with /api/encrypt.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    key: Reference,

    /// How long the old key still works: 90s, 15m, 24h, 7d; not at all if absent
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, default_value = "0s", hide_default_value = true)]
    grace: u32,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Do not ask
    #[arg(long)]
    force: bool,
}

/// What was done, in JSON.
#[derive(Serialize)]
struct Told<'a> {
    message: &'static str,
    old_key_id: KeyId,
    new_key: &'a KeyView,
    api_key: &'a str,
    token: &'a str,
}

impl Args {
    /// Rotates it.
    ///
    /// # Errors
    /// If there is no such key, or it is not active.
    pub async fn run(self, context: &Context) -> Outcome {
        let reference = self.key.checked()?;
        context
            .with_store(Missing::Refuse, async |authority| {
                let key = authority.key(reference).await?;
                let old_stops = match self.grace {
                    0 => "the old one stops at once".to_owned(),
                    grace => format!("the old one stops in {}", duration(grace.into())),
                };
                confirm(
                    &format!(
                        "Replace \"{}\" ({})? Then {old_stops}.",
                        shown(&key.name),
                        key.prefix
                    ),
                    self.force,
                )?;
                authority.prepare_signing().await?;
                let rotated = authority
                    .rotate(
                        &key.id.to_string(),
                        self.grace,
                        self.reason,
                        &account::caller(),
                    )
                    .await?;
                let new = authority.view(&rotated.new.record);
                print(&rotated, &new, &old_stops, &context.output, authority.now())
            })
            .await
    }
}

fn print(
    rotated: &Rotated,
    new: &KeyView,
    old_stops: &str,
    output: &Output,
    now: Timestamp,
) -> Outcome {
    let text = &rotated.new.api_key;
    if output.json {
        let told = Told {
            message: "Keep the API key in a safe place now: it is not shown again",
            old_key_id: rotated.old.id,
            new_key: new,
            api_key: text.expose(),
            token: rotated.new.grant.token.expose(),
        };
        return output.json(&told).map_err(|error| not_shown(new, &error));
    }
    print_once(new, text, output, now)?;
    output.note(format!(
        "\nIt replaces {} ({}): {old_stops}.",
        rotated.old.prefix, rotated.old.id
    ));
    Ok(())
}
