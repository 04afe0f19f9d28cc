//! What can be typed: the commands, and the options that all of them share.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use sealgate_core::key::{Environment, Status};

use crate::command::{
    backup, check, completions, create, doctor, list, logs, migrate_store, restore, revoke, rotate,
    serve, show, signing_key, tour, update, user,
};
use crate::config::Globals;
use crate::env;

const ABOUT: &str = "API keys and their tokens, users and their sealed sessions";

const AFTER_HELP: &str = "\
Examples:
  sealgate tour                              see all of it work, in a store that is thrown away
  sealgate create --name Admin --admin       make the first administrator's key
  sealgate user add --username ada           make a user, who then logs in over HTTP
  sealgate serve                             serve the HTTP API on 127.0.0.1:8080

The data directory, if none is set, is $STATE_DIRECTORY, which systemd sets for a service, else
$XDG_DATA_HOME/sealgate, else ~/.local/share/sealgate. The settings file, if none is named, is
./sealgate.toml, else sealgate.toml in the data directory, if there is one.

Each setting is looked for in the flags, then in the environment, then in sealgate.toml. A variable
is named for its setting: SEALGATE_TOKENS_LIFETIME_SECONDS is lifetime_seconds in [tokens]; those of
[server] leave the section out, as SEALGATE_LISTEN does.

Exit status: 0 done, 1 failed, 2 not asked for in the right way.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "sealgate",
    version,
    about = ABOUT,
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub globals: Globals,

    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API
    Serve(serve::Args),
    /// Make a key, or many
    Create(create::Args),
    /// List keys
    List(list::Args),
    /// Show a key
    Show(show::Args),
    /// Change a key: its name, permissions, expiry, limits; switch it off or on
    Update(update::Args),
    /// Revoke a key, for good
    Revoke(revoke::Args),
    /// Replace a key by a new one
    Rotate(rotate::Args),
    /// Make, list, change and remove users; end their sessions
    User(user::Args),
    /// List, rotate or import the keys that sign session tokens
    SigningKey(signing_key::Args),
    /// Read, follow or verify the audit log
    Logs(logs::Args),
    /// Make a backup of the store in its file, while it is in use
    Backup(backup::Args),
    /// Bring a store back from its backup
    Restore(restore::Args),
    /// Move a store from its file to PostgreSQL
    MigrateStore(migrate_store::Args),
    /// Say whether a request may pass, by which rule of the policy, and why
    Check(check::Args),
    /// Go through the life of a key and of a session against a real server, step by step
    Tour(tour::Args),
    /// Say what is misconfigured or unsafe here
    Doctor(doctor::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
}

/// Whether JSON was asked for in arguments that are not understood otherwise.
pub fn asks_for_json() -> bool {
    env::is_on("SEALGATE_JSON") || std::env::args_os().any(|argument| argument == "--json")
}

/// Takes an environment by its name.
pub fn environments() -> impl TypedValueParser<Value = Environment> {
    PossibleValuesParser::new(Environment::ALL.map(Environment::as_str))
        .try_map(|name| name.parse::<Environment>())
}

/// Takes a key's state by its name.
pub fn statuses() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .try_map(|name| name.parse::<Status>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_fit_together() {
        super::Cli::command().debug_assert();
    }
}
