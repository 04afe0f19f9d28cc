//! `sealgate migrate-store`: moves a store from a file of SQLite to PostgreSQL.

use std::sync::Arc;

use sealgate_core::clock::SystemClock;
use sealgate_core::random::SystemRandom;
use sealgate_store::{Move, MoveError, Moved};
use serde::Serialize;

use super::Context;
use crate::data_dir::Database;
use crate::exit::{Failure, Outcome};
use crate::master_key;
use crate::output::{Output, Progress, count, print_line};
use crate::wiring;

const EXAMPLES: &str = "\
Examples:
  sealgate migrate-store --from sqlite:/var/lib/sealgate/sealgate.db \\
      --to postgres://sealgate@db.example/sealgate?sslmode=verify-full

Stop every server on the store first: the command refuses while one has it open, and keeps others
out until it is done. The database has to be empty. A move that was cut off goes on where it was
when the same command is given again; until it is done no program takes the database for a store.
The master key stays the same.

A password in the URL can be seen by every account of the machine: leave it out, and have it in
PGPASSWORD, or in a password file as `psql` reads it (~/.pgpass, PGPASSFILE).";

/// The arguments.
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, not Markdown"
)]
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store to move, sqlite:PATH; it is only read
    #[arg(long, value_name = "URL")]
    from: String,

    /// The empty database to move it to, postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    to: String,
}

/// The URLs may hold a password.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Args(…)")
    }
}

/// What was moved, in JSON.
#[derive(Serialize)]
struct Told {
    rows: u64,
    keys: u64,
    users: u64,
    audit_records: u64,
    /// The last record's place and hash, fit for `sealgate logs --verify --expect`.
    last: String,
}

impl Args {
    /// Moves the store.
    ///
    /// # Errors
    /// If one side cannot be used or is in use, or the copy is not whole.
    pub async fn run(self, context: &Context) -> Outcome {
        let connections = context.settings.store.connections;
        let from = Database::parse(&self.from, connections).map_err(|it| it.about("--from"))?;
        let to = Database::parse(&self.to, connections).map_err(|it| it.about("--to"))?;
        let (Database::Sqlite(path), Database::Postgres(options)) = (&from, &to) else {
            return Err(
                Failure::usage("a store is moved from a file of SQLite to PostgreSQL")
                    .with_hint("write --from sqlite:PATH --to postgres://USER@HOST/DATABASE"),
            );
        };
        if !path.exists() {
            return Err(wiring::no_store(&from));
        }
        let master = master_key::source(&context.place).load()?;
        let (random, clock) = (Arc::new(SystemRandom), Arc::new(SystemClock));
        let beginning = Box::pin(Move::begin(path, options.clone(), &master, random, clock));
        let begun = beginning.await?;
        let moved = carry_out(begun, &context.output).await?;
        report(moved, &to, &context.output)
    }
}

async fn carry_out(mut begun: Move, output: &Output) -> Outcome<Moved> {
    let before = begun.moved();
    if before > 0 {
        let rows = count(before, "row was", "rows were");
        output.note(format!("{rows} copied already; it goes on after them."));
    }
    let mut progress = Progress::new(output, "rows", Some(begun.total() - before));
    let copied = begun
        .copy(|moved| progress.show(moved - before, moved - before))
        .await;
    progress.finish();
    copied?;
    let mut progress = Progress::new(output, "records", None);
    let moved = begun.finish(|place| progress.show(place, place)).await?;
    progress.finish();
    Ok(moved)
}

fn report(moved: Moved, to: &Database, output: &Output) -> Outcome {
    let Moved {
        rows,
        keys,
        users,
        records,
        hash,
    } = moved;
    let last = format!("{records}:{hash}");
    if output.json {
        return Ok(output.json(&Told {
            rows,
            keys,
            users,
            audit_records: records,
            last,
        })?);
    }
    if output.quiet {
        return Ok(print_line(last)?);
    }
    print_line(format!(
        "{to}: {}, {}, {}, audit log whole, last hash {hash}",
        count(rows, "row", "rows"),
        count(keys, "key", "keys"),
        count(users, "user", "users"),
    ))?;
    output.note(
        "Let every server and command use it (SEALGATE_DATABASE_URL), and put the file away: what is \
         changed in one of the two is not in the other.",
    );
    Ok(())
}

impl From<MoveError> for Failure {
    fn from(error: MoveError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            MoveError::InUse => failure.with_hint("stop every server and command on it"),
            MoveError::NotEmpty(_) => failure.with_hint("make an empty database for it"),
            MoveError::OtherStore | MoveError::Changed => failure
                .with_hint("begin anew with an empty database: drop this one and create it again"),
            MoveError::Count { .. } | MoveError::Chain(_) => failure.with_hint(
                "the copy is no store; `sealgate logs --verify` says whether the log was whole \
                 before",
            ),
            MoveError::Source(_) | MoveError::Target(_) => failure,
        }
    }
}
