//! `sealgate user add`: makes a user.

use sealgate_core::user::{UserRequest, Username};
use sealgate_core::view::UserView;

use super::profile::Profile;
use super::{Context, Reference, print};
use crate::account;
use crate::exit::Outcome;
use crate::output::print_line;
use crate::password_prompt::NewPassword;
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate user add --username ada
  sealgate user add --username ada --display-name \"Ada Lovelace\" --email ada@example.com \\
      --role student --role tutor --attribute year=2
  sealgate user add --username ada --password-stdin < password.txt

The password is asked for twice on a terminal, or is the first line of standard input. The rest is
sealed into the user's sessions, up to 4096 bytes as JSON.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    user: Reference,

    #[command(flatten)]
    password: NewPassword,

    #[command(flatten)]
    profile: Profile,
}

impl Args {
    /// Makes the user.
    ///
    /// # Errors
    /// If a field is not well-formed, the name is taken, or the store cannot be written.
    pub async fn run(self, context: &Context) -> Outcome {
        let username = self.user.checked()?.to_owned();
        // Before anybody types a password for nothing.
        Username::parse(&username)?;
        let password = self.password.read(&username).await?;
        let request = UserRequest {
            username,
            password,
            display_name: self.profile.display_name(),
            email: self.profile.email(),
            roles: self.profile.roles(),
            attributes: self.profile.attributes(),
        };
        context
            .with_users(Missing::Create, async |authority| {
                let made = authority.create_user(request, &account::caller()).await?;
                let user = UserView::from(made);
                if context.output.quiet && !context.output.json {
                    return Ok(print_line(user.user_id)?);
                }
                print(&user, &context.output, authority.now())
            })
            .await
    }
}
