//! `sealgate user`: the users of the embedded directory, one file for each thing that is done with
//! them.

mod add;
mod change;
mod list;
mod profile;

use std::io;

use clap::Subcommand;
use sealgate_core::authority::Authority;
use sealgate_core::clock::Timestamp;
use sealgate_core::redact::holds_secret;
use sealgate_core::view::UserView;

use super::Context;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, Style, date_time, print_line, relative, shown};
use crate::settings::Backend;
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate user add --username ada --display-name \"Ada Lovelace\" --role student
  sealgate user list
  sealgate user logout --username ada        end all of ada's sessions

These are the users of Sealgate's own directory. Where identity.backend names another, users are
made and changed there; `logout` ends the sessions of users from anywhere.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a user
    Add(add::Args),
    /// List users
    List(list::Args),
    /// Show a user
    Show(change::Show),
    /// Change who a user is
    Update(change::Update),
    /// Set a user's password, and end all sessions
    Passwd(change::Passwd),
    /// Keep a user from logging in, and end all sessions
    Disable(change::Disable),
    /// Let a user log in again
    Enable(change::Enable),
    /// End all sessions of a user
    Logout(change::Logout),
    /// Remove a user, and end all sessions
    Delete(change::Delete),
}

impl Args {
    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub async fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::Add(args) => args.run(context).await,
            Command::List(args) => args.run(context).await,
            Command::Show(args) => args.run(context).await,
            Command::Update(args) => args.run(context).await,
            Command::Passwd(args) => args.run(context).await,
            Command::Disable(args) => args.run(context).await,
            Command::Enable(args) => args.run(context).await,
            Command::Logout(args) => args.run(context).await,
            Command::Delete(args) => args.run(context).await,
        }
    }
}

/// Which user a command is about.
#[derive(clap::Args, Debug)]
struct Reference {
    /// What the user logs in with; the case of its letters does not matter
    #[arg(long, value_name = "NAME")]
    username: String,
}

impl Reference {
    /// The name, unless it is a secret that was typed in its place.
    fn checked(&self) -> Outcome<&str> {
        if holds_secret(&self.username) {
            return Err(Failure::usage("--username takes a user's name, not a key"));
        }
        Ok(&self.username)
    }
}

impl Context {
    /// Opens the store of users, does something with it, and closes it.
    async fn with_users<T>(
        &self,
        missing: Missing,
        work: impl AsyncFnOnce(&Authority) -> Outcome<T>,
    ) -> Outcome<T> {
        if self.settings.identity.backend != Backend::Embedded {
            self.output.warn(
                "identity.backend names another directory: nobody logs in as a user of this one",
            );
        }
        self.with_store(missing, work).await
    }
}

/// Prints a user that was just made, changed or looked up.
fn print(user: &UserView, output: &Output, now: Timestamp) -> Outcome {
    if output.json {
        return Ok(output.json(user)?);
    }
    print_line(output.paint(Style::Strong, &shown(&user.username)))?;
    Ok(print_facts(user, output, now)?)
}

fn print_facts(user: &UserView, output: &Output, now: Timestamp) -> io::Result<()> {
    for (title, style, text) in facts(user, now) {
        let title = output.paint(Style::Faint, &format!("{title:<14}"));
        print_line(format!("  {title}{}", output.paint(style, &shown(&text))))?;
    }
    Ok(())
}

fn facts(user: &UserView, now: Timestamp) -> Vec<(&'static str, Style, String)> {
    let moment = |at: Timestamp| format!("{} ({})", date_time(at), relative(at, now));
    let plain = |title, text: String| Some((title, Style::Plain, text));
    let optional = |title, text: Option<String>| text.and_then(|text| plain(title, text));
    let (style, status) = status(user);
    let mut facts = vec![
        plain("user id", user.user_id.to_string()),
        optional("display name", user.display_name.clone()),
        optional("email", user.email.clone()),
        Some(("status", style, status.to_owned())),
        optional(
            "roles",
            Some(user.roles.join(", ")).filter(|text| !text.is_empty()),
        ),
    ];
    for (name, value) in &user.attributes {
        facts.push(plain("attribute", format!("{name} = {value}")));
    }
    facts.extend([
        plain("created", moment(user.created_at)),
        plain(
            "last login",
            user.last_login_at
                .map_or_else(|| "never".to_owned(), moment),
        ),
        plain("password set", moment(user.password_changed_at)),
    ]);
    facts.into_iter().flatten().collect()
}

/// Whether a user may log in, in a word.
const fn status(user: &UserView) -> (Style, &'static str) {
    if user.is_active {
        (Style::Good, "active")
    } else {
        (Style::Notable, "disabled")
    }
}
