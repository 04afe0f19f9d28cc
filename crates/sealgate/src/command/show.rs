//! `sealgate show`: all there is to say of one key.

use super::Context;
use super::key::{Reference, print_facts};
use crate::exit::Outcome;
use crate::output::{Style, print_line, shown};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate show --id TcE8hG4L
  sealgate show --id 550e8400-e29b-41d4-a716-446655440000 --json";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    key: Reference,
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If there is no such key.
    pub async fn run(self, context: &Context) -> Outcome {
        let reference = self.key.checked()?;
        let output = &context.output;
        context
            .with_store(Missing::Refuse, async |authority| {
                let key = authority.view(&authority.key(reference).await?);
                if output.json {
                    return Ok(output.json(&key)?);
                }
                print_line(output.paint(Style::Strong, &shown(&key.name)))?;
                Ok(print_facts(&key, output, authority.now())?)
            })
            .await
    }
}
