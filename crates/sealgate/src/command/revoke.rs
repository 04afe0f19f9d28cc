//! `sealgate revoke`: ends a key for good.

use sealgate_core::clock::Timestamp;
use serde::Serialize;

use super::Context;
use super::confirm::confirm;
use super::key::Reference;
use crate::account;
use crate::exit::Outcome;
use crate::output::{print_line, shown};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate revoke --id TcE8hG4L
  sealgate revoke --id TcE8hG4L --reason \"found in a public repository\" --force

A running server refuses the key, and the tokens it was exchanged for, within one second.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    key: Reference,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Do not ask
    #[arg(long)]
    force: bool,
}

/// What was done, in JSON.
#[derive(Serialize)]
struct Told {
    message: &'static str,
    key_id: String,
    revoked_at: Option<Timestamp>,
}

impl Args {
    /// Revokes it.
    ///
    /// # Errors
    /// If there is no such key, or it was revoked before.
    pub async fn run(self, context: &Context) -> Outcome {
        let reference = self.key.checked()?;
        let output = &context.output;
        context
            .with_store(Missing::Refuse, async |authority| {
                let key = authority.key(reference).await?;
                let (id, name) = (key.id.to_string(), shown(&key.name));
                confirm(
                    &format!("Revoke \"{name}\" ({}) for good?", key.prefix),
                    self.force,
                )?;
                let revoked = authority
                    .revoke(&id, self.reason, &account::caller())
                    .await?;
                if output.json {
                    output.json(&Told {
                        message: "API key revoked",
                        key_id: id,
                        revoked_at: revoked.revoked_at(),
                    })?;
                } else if !output.quiet {
                    print_line(format!("Revoked \"{name}\" ({id})."))?;
                }
                Ok(())
            })
            .await
    }
}
