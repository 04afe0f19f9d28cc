//! `sealgate backup`: a copy of a store in a file, whole and at one moment, while servers write to it,
//! encrypted as the age format has it (<https://c2sp.org/age>).

pub mod contents;
pub mod input;
pub mod scratch;
mod seal;
mod target;

pub use self::target::directory;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sealgate_store::Sqlite;
use serde::Serialize;

use self::contents::Contents;
use self::scratch::Scratch;
use self::seal::{Seal, Sealing};
use self::target::Target;
use super::Context;
use crate::data_dir::Database;
use crate::exit::{Failure, Outcome};
use crate::output::Progress;
use crate::stop::unless_stopped;
use crate::wiring;

const EXAMPLES: &str = "\
Examples:
  sealgate backup --output sealgate.age      asks for a passphrase on the terminal
  sealgate backup --output sealgate.age --passphrase-file backup.passphrase
  sealgate backup --output sealgate.age --recipient age1ql3z7…
  sealgate backup --output - --recipients-file team.txt | ssh backup 'cat > sealgate.age'

Servers and commands go on meanwhile. The copy is opened with the master key and its audit log is
walked before it is called done. The master key is not in it: keep a copy of that somewhere else.
`age` and `rage` decrypt it too. `sealgate restore` brings it back.";

/// Bytes that are copied at once.
const CHUNK: usize = 256 * 1024;

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file to make, readable by its owner alone; - is standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    seal: Seal,

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// What was made, in JSON.
#[derive(Serialize)]
struct Made<'a> {
    file: Option<&'a Path>,
    bytes: u64,
    encrypted_to: Option<&'static str>,
    #[serde(flatten)]
    contents: &'a Contents,
}

impl Args {
    /// Makes the backup.
    ///
    /// # Errors
    /// If there is no store in a file, its copy is not whole, or the backup cannot be written.
    pub async fn run(self, context: &Context) -> Outcome {
        let Database::Sqlite(store) = &context.place.database else {
            return Err(Failure::new(format!(
                "the store is in {}, and not in a file",
                context.place.database
            ))
            .with_hint("docs/backup.md says how PostgreSQL is backed up"));
        };
        if !store.exists() {
            return Err(wiring::no_store(&context.place.database));
        }
        let target = Target::begin(&self.output, self.force)?;
        let sealing = self.seal.ready().await?;
        let making = make(context, store, &sealing, target);
        let (contents, bytes) = unless_stopped(making, "no backup was made").await?;
        self.report(context, &sealing, &contents, bytes)
    }

    fn report(
        &self,
        context: &Context,
        sealing: &Sealing,
        contents: &Contents,
        bytes: u64,
    ) -> Outcome {
        let file = Some(self.output.as_path()).filter(|path| *path != Path::new("-"));
        let made = Made {
            file,
            bytes,
            encrypted_to: sealing.told(),
            contents,
        };
        contents.print(&context.output, file, &made)?;
        context.output.note(format!(
            "The master key is not in it: keep a copy of {} apart from it, or nobody can use it.",
            crate::master_key::source(&context.place)
        ));
        Ok(())
    }
}

/// Copies the store, proves the copy, and writes it out; gives what is in it, and the backup's size.
async fn make(
    context: &Context,
    store: &Path,
    sealing: &Sealing,
    target: Target,
) -> Outcome<(Contents, u64)> {
    let scratch = Scratch::beside(store)?;
    let copy = scratch.file();
    Sqlite::copy_to(store, &copy).await?;
    let contents = contents::prove(context, &copy).await?;
    let mut file = File::open(&copy)?;
    let size = file.metadata()?.len();
    let mut writer = sealing.writer(target)?;
    let mut progress = Progress::new(&context.output, "MiB", Some(size));
    transfer(&mut file, &mut writer, |bytes| {
        progress.show(bytes >> 20, bytes);
    })
    .await?;
    progress.finish();
    let bytes = writer.finish()?.keep()?;
    Ok((contents, bytes))
}

/// Copies all there is to read, and lets a signal be heard in between; `progress` hears how much there
/// was.
pub async fn transfer(
    from: &mut impl Read,
    to: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Outcome<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(input::unreadable(&error)),
        };
        to.write_all(&chunk[..read])
            .map_err(|error| target::unwritable(&error))?;
        bytes += read as u64;
        progress(bytes);
        tokio::task::yield_now().await;
    }
}
