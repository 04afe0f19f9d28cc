//! `sealgate create`: makes a key, or many ([`bulk`]).

mod bulk;

use std::path::PathBuf;

use sealgate_core::key::Environment;
use sealgate_core::request::KeyRequest;

use super::Context;
use super::key::{Made, not_shown, print_once};
use super::rate_limit::RateLimit;
use crate::account;
use crate::cli;
use crate::exit::Outcome;
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate create --name \"Production API Key\" --permissions \"api:read api:write\"
  sealgate create --name Admin --admin
  sealgate create --name CI --expires-in-days 30 --allow-ip 10.0.0.0/8 --rate-limit 1000
  KEY=$(sealgate create --name Nightly --quiet)
  sealgate create --from keys.jsonl > made.jsonl

A file for --from has one JSON object on each line, with the fields of POST /api/auth/keys:
  {\"name\": \"Billing\", \"permissions\": \"api:read\", \"expires_in_days\": 90}
  {\"name\": \"From the old system\", \"api_key\": \"…\"}      takes an existing key over
One line {\"key\":{…},\"api_key\":\"…\"} is printed for each, in the same order.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What the key is called, 1 to 100 characters
    #[arg(long, required_unless_present = "from")]
    name: Option<String>,

    /// What it may do: area:verb, with spaces between; area:* and * are wildcards
    #[arg(long, value_name = "PERMISSIONS", default_value = "api:read")]
    permissions: String,

    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,

    /// After how many days it stops, 1 to 3650; never if absent
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,

    /// Let it administer Sealgate; it may do everything then
    #[arg(long)]
    admin: bool,

    /// The stage it belongs to; the server's own if absent
    #[arg(long, value_parser = cli::environments())]
    environment: Option<Environment>,

    /// Requests, and the time they are within: 100/1m, 10/30s, 5000/24h; 100 is for an hour; any number if
    /// absent
    #[arg(long, value_name = "LIMIT")]
    rate_limit: Option<RateLimit>,

    /// An address or network it may be used from; repeat it for more
    #[arg(long, value_name = "ADDRESS")]
    allow_ip: Vec<String>,

    /// Make many: a file with one JSON object on each line, or - for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "name", "permissions", "description", "expires_in_days", "admin", "environment",
            "rate_limit", "allow_ip"
        ]
    )]
    from: Option<PathBuf>,
}

impl Args {
    /// Makes it.
    ///
    /// # Errors
    /// If a field is not well-formed, or the store cannot be written.
    pub async fn run(self, context: &Context) -> Outcome {
        context
            .with_store(Missing::Create, async |authority| {
                authority.prepare_signing().await?;
                if let Some(path) = &self.from {
                    return bulk::create(path, authority, &context.output).await;
                }
                let caller = account::caller();
                let created = authority.create(self.request(), &caller).await?;
                let (key, text) = (authority.view(&created.record), &created.api_key);
                if context.output.json {
                    let printed = context.output.json(&Made::new(&key, text));
                    return printed.map_err(|error| not_shown(&key, &error));
                }
                print_once(&key, text, &context.output, authority.now())
            })
            .await
    }

    fn request(self) -> KeyRequest {
        KeyRequest {
            name: self.name.unwrap_or_default(),
            description: self.description,
            permissions: Some(self.permissions),
            expires_in_days: self.expires_in_days,
            is_admin: self.admin,
            environment: self.environment,
            rate_limit: self.rate_limit.map(|limit| limit.requests),
            rate_limit_window_seconds: self.rate_limit.and_then(|limit| limit.window_seconds),
            allowed_ips: self.allow_ip,
            api_key: None,
        }
    }
}
