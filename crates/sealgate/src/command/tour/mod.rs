//! `sealgate tour`: all that Sealgate does, done in front of whoever wants to see it: the real
//! command line and a real server, on a store that is thrown away. Each step is checked.
//!
//! A section is a module with a function that takes the [`Stage`]; [`Args::run`] lists them.

mod client;
mod keys;
mod leak;
mod sessions;
mod stage;

use std::net::Ipv4Addr;
use std::sync::Arc;

use sealgate_core::authority::Authority;
use sealgate_core::policy::PolicyHandle;
use sealgate_server::HttpSettings;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::stage::Stage;
use crate::data_dir::{DataDir, Database};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::server;
use crate::settings::Settings;
use crate::wiring::{self, Missing};

const EXAMPLES: &str = "\
Examples:
  sealgate tour
  sealgate tour --json | jq -r '.steps[].title'

It needs nothing and leaves nothing: a server is started on a free port, its store is in a directory
for temporary files, and both are gone at the end. Neither sealgate.toml nor the environment counts.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

impl Args {
    /// Goes through all sections.
    ///
    /// # Errors
    /// Names the first step that did not come out as it should.
    pub async fn run(self, output: Output) -> Outcome {
        let directory = tempfile::Builder::new()
            .prefix("sealgate-tour-")
            .tempdir()
            .map_err(|error| {
                Failure::new(format!("no temporary directory can be made: {error}"))
            })?;
        let place = DataDir {
            path: directory.path().to_owned(),
            database: Database::Sqlite(directory.path().join("sealgate.db")),
        };
        let settings = Settings::default();
        let authority = wiring::open(&place, &settings, Missing::Create)
            .await?
            .authority;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut stage = Stage::new(listener.local_addr()?, &place, output);
        let (stop, server) = start(authority, listener).await?;

        stage.say(
            "Everything here is real, on a store that is thrown away at the end. Secrets are cut \
             short, and fields that are empty are left out."
                .to_owned(),
        )?;
        let outcome = sections(&mut stage).await;

        drop(stop);
        let ended = server
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        outcome?;
        ended?;
        stage.finish()
    }
}

/// What there is to see, in order.
async fn sections(stage: &mut Stage) -> Outcome {
    let keys = keys::tour(stage).await?;
    sessions::tour(stage, &keys).await?;
    leak::tour(stage, &keys).await
}

type Running = (
    oneshot::Sender<()>,
    tokio::task::JoinHandle<std::io::Result<()>>,
);

/// Starts a server; it stops when the sender is dropped.
async fn start(authority: Arc<Authority>, listener: TcpListener) -> Outcome<Running> {
    authority.start().await?;
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let http = HttpSettings::default();
    let policy = PolicyHandle::default();
    let server = server::run(authority, listener.into(), http, None, policy, shutdown);
    Ok((stop, tokio::spawn(server)))
}
