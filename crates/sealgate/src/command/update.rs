//! `sealgate update`: changes what may be changed of a key.

use sealgate_core::clock::Timestamp;
use sealgate_core::request::KeyPatch;

use super::Context;
use super::key::{Reference, print_facts};
use super::rate_limit::RateLimit;
use crate::account;
use crate::exit::{Failure, Outcome};
use crate::output::{Style, print_line, shown};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate update --id TcE8hG4L --permissions \"api:read\"
  sealgate update --id TcE8hG4L --allow-ip 10.0.0.0/8 --allow-ip 192.0.2.7
  sealgate update --id TcE8hG4L --expires-in-days 30 --no-rate-limit
  sealgate update --id TcE8hG4L --disable";

/// The arguments.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own; clap keeps apart those that exclude each other"
)]
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    key: Reference,

    /// What the key is called, 1 to 100 characters
    #[arg(long)]
    name: Option<String>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// What it may do: area:verb, with spaces between
    #[arg(long)]
    permissions: Option<String>,

    /// After how many days from now it stops, 1 to 3650
    #[arg(long, value_name = "DAYS", group = "expiry")]
    expires_in_days: Option<u32>,

    /// When it stops, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", group = "expiry", value_parser = parse_time)]
    expires_at: Option<Timestamp>,

    /// Let it never stop by itself
    #[arg(long, group = "expiry")]
    no_expiry: bool,

    /// Requests, and the time they are within: 100/1m, 10/30s, 5000/24h; without a time, that of before
    #[arg(long, value_name = "LIMIT", group = "limit")]
    rate_limit: Option<RateLimit>,

    /// Let it make any number of requests
    #[arg(long, group = "limit")]
    no_rate_limit: bool,

    /// An address or network it may be used from; repeat it for more
    #[arg(long, value_name = "ADDRESS", group = "addresses")]
    allow_ip: Vec<String>,

    /// Let it be used from everywhere
    #[arg(long, group = "addresses")]
    allow_any_ip: bool,

    /// Switch it off
    #[arg(long, group = "switch")]
    disable: bool,

    /// Switch it on again
    #[arg(long, group = "switch")]
    enable: bool,
}

impl Args {
    /// Changes it.
    ///
    /// # Errors
    /// If there is no such key, or its state does not allow the change.
    pub async fn run(self, context: &Context) -> Outcome {
        let output = &context.output;
        let reference = self.key.checked()?.to_owned();
        let patch = self.patch();
        context
            .with_store(Missing::Refuse, async |authority| {
                let changed = authority
                    .update(&reference, patch, &account::caller())
                    .await
                    .map_err(complain)?;
                let key = authority.view(&changed);
                if output.json {
                    return Ok(output.json(&key)?);
                }
                if output.quiet {
                    return Ok(());
                }
                print_line(output.paint(Style::Strong, &shown(&key.name)))?;
                Ok(print_facts(&key, output, authority.now())?)
            })
            .await
    }

    fn patch(self) -> KeyPatch {
        KeyPatch {
            name: self.name,
            description: self.description,
            permissions: self.permissions,
            expires_at: match self.expires_at {
                None if self.no_expiry => Some(None),
                at => at.map(Some),
            },
            expires_in_days: self.expires_in_days,
            rate_limit: match self.rate_limit {
                None if self.no_rate_limit => Some(None),
                limit => limit.map(|limit| Some(limit.requests)),
            },
            rate_limit_window_seconds: self
                .rate_limit
                .and_then(|limit| limit.window_seconds)
                .map(Some),
            allowed_ips: (self.allow_any_ip || !self.allow_ip.is_empty()).then_some(self.allow_ip),
            is_active: (self.enable || self.disable).then_some(self.enable),
        }
    }
}

fn complain(error: sealgate_core::error::Error) -> Failure {
    use sealgate_core::error::Error;
    match error {
        Error::Invalid { field: "body", .. } => Failure::usage("nothing is to be changed")
            .with_hint("name what is: `sealgate update --help` lists it"),
        error => error.into(),
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| "write a time as RFC 3339 does: 2030-01-31T12:00:00Z".to_owned())
}
