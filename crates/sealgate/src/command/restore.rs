//! `sealgate restore`: brings a store back from its backup, where there is none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sealgate_store::Sqlite;
use serde::Serialize;
use tempfile::TempPath;

use super::Context;
use super::backup::contents::{self, Contents};
use super::backup::input::{Input, Open};
use super::backup::scratch::Scratch;
use super::backup::{directory, transfer};
use crate::data_dir::Database;
use crate::exit::{Failure, Outcome};
use crate::master_key;
use crate::output::Progress;
use crate::stop::unless_stopped;

const EXAMPLES: &str = "\
Examples:
  sealgate restore --input sealgate.age --data-dir NEW
  sealgate restore --input sealgate.age --data-dir NEW --passphrase-file backup.passphrase
  ssh backup cat sealgate.age | sealgate restore --input - --data-dir NEW --identity-file key.txt

The master key is not in a backup: put it to NEW/master.key, or name it with
SEALGATE_MASTER_KEY_FILE. Nothing is there before all of it is proved: every page of the file, and
with the master key the audit log. What happened since the backup is undone, revocations too.";

/// What SQLite has beside a database in use.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The backup; - is standard input
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,

    #[command(flatten)]
    open: Open,
}

/// What was brought back, in JSON.
#[derive(Serialize)]
struct Restored<'a> {
    store: &'a Path,
    #[serde(flatten)]
    contents: &'a Contents,
}

impl Args {
    /// Brings the store back.
    ///
    /// # Errors
    /// If there is a store already, there is no master key, or the backup does not open or is not whole.
    pub async fn run(self, context: &Context) -> Outcome {
        let Database::Sqlite(store) = &context.place.database else {
            return Err(Failure::new(format!(
                "a backup is restored to a file, not to {}",
                context.place.database
            ))
            .with_hint("restore it to a data directory, then `sealgate migrate-store`"));
        };
        refuse_if_there(store)?;
        let source = master_key::source(&context.place);
        if let Some(path) = source.missing_file() {
            return Err(Failure::new(format!(
                "the master key is not there: {} is missing",
                path.display()
            ))
            .with_hint(
                "it is not in the backup: put its copy there, or name it with \
                 SEALGATE_MASTER_KEY_FILE",
            ));
        }
        source.load()?;
        let input = Input::open(&self.input)?;
        let is_new = !context.place.path.exists();
        let restoring = self.restore(input, context, store);
        let contents = unless_stopped(restoring, "nothing was restored").await;
        if contents.is_err() && is_new {
            // It stays if there is anything in it.
            let _ = fs::remove_dir(&context.place.path);
        }
        let contents = contents?;
        let restored = Restored {
            store,
            contents: &contents,
        };
        contents.print(&context.output, Some(store), &restored)?;
        context.output.note(
            "What happened since the backup is undone, revocations too: revoke again before it is \
             served (docs/backup.md).",
        );
        Ok(())
    }

    async fn restore(&self, input: Input, context: &Context, store: &Path) -> Outcome<Contents> {
        let mut progress = Progress::new(&context.output, "MiB", input.size);
        let mut reader = input.reader(&self.open).await?;
        context.place.create()?;
        let scratch = Scratch::beside(store)?;
        let copy = scratch.file();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&copy)?;
        transfer(&mut reader, &mut file, |bytes| {
            progress.show(bytes >> 20, bytes);
        })
        .await?;
        drop((file, progress));
        Sqlite::check_file(&copy)
            .await
            .map_err(|error| Failure::new(format!("the backup is damaged: {error}")))?;
        let contents = contents::prove(context, &copy).await?;
        appear(&copy, store)?;
        Ok(contents)
    }
}

/// Gives the copy its name, durably, unless there is something of that name by now.
fn appear(copy: &Path, store: &Path) -> Outcome {
    if BESIDE.iter().any(|end| beside(copy, end).exists()) {
        return Err(Failure::new("the copy was not closed in an orderly way"));
    }
    File::open(copy)?.sync_all()?;
    refuse_if_there(store)?;
    TempPath::try_from_path(copy)?
        .persist_noclobber(store)
        .map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => there(store),
            _ => Failure::new(format!("{}: {}", store.display(), error.error)),
        })?;
    Ok(File::open(directory(store))?.sync_all()?)
}

/// Refuses a place that has a store, or what is left of one: SQLite would take it for this store's.
fn refuse_if_there(store: &Path) -> Outcome {
    let all = BESIDE.iter().map(|end| beside(store, end));
    let found = std::iter::once(store.to_owned())
        .chain(all)
        .find(|path| path.symlink_metadata().is_ok());
    found.map_or(Ok(()), |path| Err(there(&path)))
}

fn beside(store: &Path, end: &str) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(end);
    path.into()
}

fn there(path: &Path) -> Failure {
    Failure::new(format!("{} is there already", path.display()))
        .with_hint("name another place with --data-dir, or move the store away first")
}
