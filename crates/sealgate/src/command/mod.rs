//! The commands, one file each: its arguments first, then what it does with them.

pub mod backup;
pub mod check;
pub mod completions;
pub mod create;
pub mod doctor;
pub mod list;
pub mod logs;
pub mod migrate_store;
pub mod restore;
pub mod revoke;
pub mod rotate;
pub mod serve;
pub mod show;
pub mod signing_key;
pub mod tour;
pub mod update;
pub mod user;

mod confirm;
mod key;
mod rate_limit;
mod seconds;

use std::io;
use std::path::PathBuf;

use sealgate_core::authority::Authority;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command};
use crate::config::{self, Globals, Loaded};
use crate::data_dir::DataDir;
use crate::exit::{Failure, Outcome};
use crate::master_key;
use crate::output::Output;
use crate::settings::Settings;
use crate::telemetry;
use crate::wiring::{self, Missing, Opened};

/// What every command is given.
pub struct Context {
    /// The settings.
    pub settings: Settings,
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// The flags of every command.
    pub globals: Globals,
    /// Where the store is.
    pub place: DataDir,
    /// How to print.
    pub output: Output,
}

/// Does what was asked for.
///
/// # Errors
/// If it could not be done.
pub fn run(cli: Cli) -> Outcome {
    let Cli { globals, command } = cli;
    // These stand on their own, and must not fail for a mistake in somebody's settings.
    match command {
        Command::Completions(args) => return args.run(),
        Command::Tour(args) => {
            telemetry::start_quietly();
            let output = Output::new(globals.wants_json(), globals.quiet);
            return runtime()?.block_on(args.run(output));
        }
        _ => {}
    }
    let Loaded { mut settings, file } = config::load(&globals)?;
    if let Command::Serve(args) = &command {
        args.apply(&mut settings);
    }
    settings.check().map_err(Failure::new)?;
    let _log = if let Command::Serve(_) = &command {
        Some(telemetry::start(&settings.log))
    } else {
        telemetry::start_quietly();
        None
    };
    let context = Context {
        place: DataDir::of(&settings)?,
        output: Output::new(settings.json, settings.quiet),
        settings,
        file,
        globals,
    };
    runtime()?.block_on(dispatch(command, context))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

async fn dispatch(command: Command, context: Context) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(context, args).await,
        Command::Create(args) => args.run(&context).await,
        Command::List(args) => args.run(&context).await,
        Command::Show(args) => args.run(&context).await,
        Command::Update(args) => args.run(&context).await,
        Command::Revoke(args) => args.run(&context).await,
        Command::Rotate(args) => args.run(&context).await,
        Command::User(args) => args.run(&context).await,
        Command::SigningKey(args) => args.run(&context).await,
        Command::Logs(args) => args.run(&context).await,
        Command::Backup(args) => args.run(&context).await,
        Command::Restore(args) => args.run(&context).await,
        Command::MigrateStore(args) => args.run(&context).await,
        Command::Check(args) => args.run(&context).await,
        Command::Tour(args) => args.run(context.output).await,
        Command::Doctor(args) => args.run(&context).await,
        Command::Completions(args) => args.run(),
    }
}

impl Context {
    /// Opens the store, does something with it, and closes it.
    async fn with_store<T>(
        &self,
        missing: Missing,
        work: impl AsyncFnOnce(&Authority) -> Outcome<T>,
    ) -> Outcome<T> {
        let opened = wiring::open(&self.place, &self.settings, missing).await?;
        self.work_with(opened, work).await
    }

    /// The same, with the directory outside that users come from, if they do.
    async fn with_directory<T>(
        &self,
        missing: Missing,
        work: impl AsyncFnOnce(&Authority) -> Outcome<T>,
    ) -> Outcome<T> {
        let opened = wiring::open_with_outside(&self.place, &self.settings, missing).await?;
        self.work_with(opened, work).await
    }

    async fn work_with<T>(
        &self,
        opened: Opened,
        work: impl AsyncFnOnce(&Authority) -> Outcome<T>,
    ) -> Outcome<T> {
        if let Some(path) = opened.new_master_key {
            self.output.warn(&master_key::notice(&path));
        }
        let authority = opened.authority;
        let outcome = work(&authority).await;
        authority.store().close().await;
        outcome
    }
}
