//! `sealgate user list`: users, in the order of their names.

use sealgate_core::authority::{Authority, UserFilter};
use sealgate_core::clock::Timestamp;
use sealgate_core::view::UserView;
use serde::Serialize;

use super::{Context, status};
use crate::exit::Outcome;
use crate::output::{Column, Output, Style, Table, count, print_line, relative};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate user list
  sealgate user list --search ad --active
  sealgate user list --all --json | jq -r '.users[].username'";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Those whose name begins with this
    #[arg(long, short = 'q', value_name = "TEXT")]
    search: Option<String>,

    /// Those that may not log in
    #[arg(long, conflicts_with = "active")]
    disabled: bool,

    /// Those that may log in
    #[arg(long)]
    active: bool,

    /// At most so many, 1 to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,

    /// Where the page before ended: what it told for the next
    #[arg(long)]
    cursor: Option<String>,

    /// Every page
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
}

/// A page, in JSON.
#[derive(Serialize)]
struct Page {
    users: Vec<UserView>,
    next_cursor: Option<String>,
}

impl Args {
    /// Lists them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn run(self, context: &Context) -> Outcome {
        context
            .with_users(Missing::Refuse, async |authority| {
                let (users, next_cursor) = self.fetch(authority).await?;
                let output = &context.output;
                if output.json {
                    return Ok(output.json(&Page { users, next_cursor })?);
                }
                if output.quiet {
                    let mut names = users.iter().map(|user| &user.username);
                    return names.try_for_each(|name| Ok(print_line(name)?));
                }
                print(&users, output, authority.now())?;
                output.note(match next_cursor {
                    Some(cursor) => format!("\nThere are more: --all, or --cursor {cursor}"),
                    None if users.is_empty() => {
                        "No users. `sealgate user add` makes one.".to_owned()
                    }
                    None => format!("\n{}", count(users.len() as u64, "user", "users")),
                });
                Ok(())
            })
            .await
    }

    async fn fetch(self, authority: &Authority) -> Outcome<(Vec<UserView>, Option<String>)> {
        let mut filter = UserFilter {
            search: self.search,
            is_active: (self.active || self.disabled).then_some(self.active),
            cursor: self.cursor,
            limit: Some(if self.all { 1_000 } else { self.limit }),
        };
        let mut views = Vec::new();
        loop {
            let (users, next_cursor) = authority.list_users(&filter).await?;
            views.extend(users.into_iter().map(UserView::from));
            if !self.all || next_cursor.is_none() {
                return Ok((views, next_cursor));
            }
            filter.cursor = next_cursor;
        }
    }
}

fn print(users: &[UserView], output: &Output, now: Timestamp) -> Outcome {
    if users.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::new("USERNAME"),
        Column::new("DISPLAY NAME").gives_way(),
        Column::new("STATUS"),
        Column::new("ROLES").gives_way().dispensable(1),
        Column::new("EMAIL").gives_way().dispensable(3),
        Column::new("LAST LOGIN").dispensable(2),
    ]);
    for user in users {
        let (style, status) = status(user);
        let or_dash = |text: Option<&String>| text.map_or("-", String::as_str).to_owned();
        let roles = user.roles.join(", ");
        table.row([
            (Style::Strong, user.username.clone()),
            (Style::Plain, or_dash(user.display_name.as_ref())),
            (style, status.to_owned()),
            (
                Style::Plain,
                if roles.is_empty() {
                    "-".to_owned()
                } else {
                    roles
                },
            ),
            (Style::Plain, or_dash(user.email.as_ref())),
            (
                Style::Plain,
                user.last_login_at
                    .map_or_else(|| "never".to_owned(), |at| relative(at, now)),
            ),
        ]);
    }
    Ok(table.print(output)?)
}
