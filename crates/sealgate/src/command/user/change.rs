//! `sealgate user show`, `update`, `passwd`, `disable`, `enable`, `logout` and `delete`: what is done
//! with one user that is there.

use sealgate_core::authority::Authority;
use sealgate_core::error::Error;
use sealgate_core::user::UserPatch;
use sealgate_core::view::UserView;
use serde::Serialize;

use super::profile::Profile;
use super::{Context, Reference, print};
use crate::account;
use crate::command::confirm::confirm;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, print_line, shown};
use crate::password_prompt::NewPassword;
use crate::wiring::Missing;

const SHOW: &str = "\
Examples:
  sealgate user show --username ada
  sealgate user show --username ada --json";

const UPDATE: &str = "\
Examples:
  sealgate user update --username ada --email ada@example.com
  sealgate user update --username ada --role student --role tutor
  sealgate user update --username ada --attribute year=3 --attribute faculty=null

--role replaces all roles; --attribute changes the attributes that it names, and null takes one
away. What is changed shows in sessions that begin after it.";

const PASSWD: &str = "\
Examples:
  sealgate user passwd --username ada
  sealgate user passwd --username ada --password-stdin < password.txt

A running server refuses the user's sessions within one second.";

const DISABLE: &str = "\
Examples:
  sealgate user disable --username ada

A running server refuses the user's sessions within one second.";

const ENABLE: &str = "\
Examples:
  sealgate user enable --username ada

Sessions that were ended stay ended.";

const LOGOUT: &str = "\
Examples:
  sealgate user logout --username ada

A running server refuses the user's sessions within one second. It goes for users of another
directory too.";

const DELETE: &str = "\
Examples:
  sealgate user delete --username ada
  sealgate user delete --username ada --force

A running server refuses the user's sessions within one second.";

/// The arguments of `show`.
#[derive(clap::Args, Debug)]
#[command(after_help = SHOW)]
pub struct Show {
    #[command(flatten)]
    user: Reference,
}

/// The arguments of `update`.
#[derive(clap::Args, Debug)]
#[command(after_help = UPDATE)]
pub struct Update {
    #[command(flatten)]
    user: Reference,

    #[command(flatten)]
    profile: Profile,
}

/// The arguments of `passwd`.
#[derive(clap::Args, Debug)]
#[command(after_help = PASSWD)]
pub struct Passwd {
    #[command(flatten)]
    user: Reference,

    #[command(flatten)]
    password: NewPassword,
}

/// The arguments of `disable`.
#[derive(clap::Args, Debug)]
#[command(after_help = DISABLE)]
pub struct Disable {
    #[command(flatten)]
    user: Reference,
}

/// The arguments of `enable`.
#[derive(clap::Args, Debug)]
#[command(after_help = ENABLE)]
pub struct Enable {
    #[command(flatten)]
    user: Reference,
}

/// The arguments of `logout`.
#[derive(clap::Args, Debug)]
#[command(after_help = LOGOUT)]
pub struct Logout {
    #[command(flatten)]
    user: Reference,
}

/// The arguments of `delete`.
#[derive(clap::Args, Debug)]
#[command(after_help = DELETE)]
pub struct Delete {
    #[command(flatten)]
    user: Reference,

    /// Do not ask
    #[arg(long)]
    force: bool,
}

/// What was done to a user, in JSON.
#[derive(Serialize)]
struct Told<'a> {
    message: &'static str,
    username: &'a str,
}

impl Told<'_> {
    fn print(&self, text: &str, output: &Output) -> Outcome {
        if output.json {
            output.json(self)?;
        } else if !output.quiet {
            print_line(text)?;
        }
        Ok(())
    }
}

impl Show {
    /// Shows the user.
    ///
    /// # Errors
    /// If there is none.
    pub async fn run(self, context: &Context) -> Outcome {
        let name = self.user.checked()?;
        context
            .with_users(Missing::Refuse, async |authority| {
                let user = UserView::from(authority.user(name).await?);
                print(&user, &context.output, authority.now())
            })
            .await
    }
}

impl Update {
    /// Changes who the user is.
    ///
    /// # Errors
    /// If there is no such user, or a field is not well-formed.
    pub async fn run(self, context: &Context) -> Outcome {
        let name = self.user.checked()?;
        context
            .with_users(Missing::Refuse, async |authority| {
                let user = authority.user(name).await?;
                let patch = self.profile.patch(&user.profile.attributes);
                let changed = change(authority, name, patch).await?;
                tell(&changed, "", context, authority)
            })
            .await
    }
}

impl Passwd {
    /// Sets the user's password.
    ///
    /// # Errors
    /// If there is no such user, or the password is not a good one.
    pub async fn run(self, context: &Context) -> Outcome {
        let name = self.user.checked()?;
        context
            .with_users(Missing::Refuse, async |authority| {
                // Before anybody types a password for nothing.
                let username = authority.user(name).await?.username;
                let password = self.password.read(username.as_str()).await?;
                authority
                    .set_password(name, password, &account::caller())
                    .await?;
                let told = Told {
                    message: "Password changed",
                    username: username.as_str(),
                };
                let what =
                    format!("The password of {username} is set, and all sessions are ended.");
                told.print(&what, &context.output)
            })
            .await
    }
}

impl Disable {
    /// Keeps the user from logging in.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn run(self, context: &Context) -> Outcome {
        let what = "The user may no longer log in, and all sessions are ended.";
        switch(self.user.checked()?, false, what, context).await
    }
}

impl Enable {
    /// Lets the user log in again.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn run(self, context: &Context) -> Outcome {
        switch(self.user.checked()?, true, "The user may log in.", context).await
    }
}

impl Logout {
    /// Ends all sessions of the user.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn run(self, context: &Context) -> Outcome {
        let name = self.user.checked()?;
        context
            .with_directory(Missing::Refuse, async |authority| {
                authority.log_out_user(name, &account::caller()).await?;
                let told = Told {
                    message: "All sessions of the user have ended",
                    username: name,
                };
                let what = format!("All sessions of {} are ended.", shown(name));
                told.print(&what, &context.output)
            })
            .await
    }
}

impl Delete {
    /// Removes the user.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn run(self, context: &Context) -> Outcome {
        let name = self.user.checked()?;
        context
            .with_users(Missing::Refuse, async |authority| {
                let username = authority.user(name).await?.username.to_string();
                let question = format!("Delete the user {username} for good?");
                confirm(&question, self.force)?;
                authority.delete_user(name, &account::caller()).await?;
                let told = Told {
                    message: "User deleted",
                    username: &username,
                };
                told.print(&format!("Deleted the user {username}."), &context.output)
            })
            .await
    }
}

async fn switch(name: &str, is_active: bool, what: &str, context: &Context) -> Outcome {
    context
        .with_users(Missing::Refuse, async |authority| {
            let patch = UserPatch {
                is_active: Some(is_active),
                ..UserPatch::default()
            };
            let changed = change(authority, name, patch).await?;
            tell(&changed, what, context, authority)
        })
        .await
}

async fn change(authority: &Authority, name: &str, patch: UserPatch) -> Outcome<UserView> {
    let changed = authority.update_user(name, patch, &account::caller()).await;
    changed.map(UserView::from).map_err(|error| match error {
        Error::Invalid { field: "body", .. } => Failure::usage("nothing is to be changed")
            .with_hint("name what is: `sealgate user update --help` lists it"),
        error => error.into(),
    })
}

/// Prints a user that was changed, and what that means.
fn tell(user: &UserView, what: &str, context: &Context, authority: &Authority) -> Outcome {
    let output = &context.output;
    if output.quiet && !output.json {
        return Ok(());
    }
    print(user, output, authority.now())?;
    if !what.is_empty() {
        output.note(format!("\n{what}"));
    }
    Ok(())
}
