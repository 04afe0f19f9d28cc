//! Where a backup is written to: standard output, or a file that appears under its name whole and
//! durable, or not at all.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::exit::{Failure, Outcome};

/// What a backup is written to.
pub struct Target {
    place: Place,
    bytes: u64,
}

enum Place {
    Stdout(io::Stdout),
    File {
        unfinished: NamedTempFile,
        path: PathBuf,
        replace: bool,
    },
}

impl Target {
    /// Finds out whether it can be written, before there is anything to write.
    ///
    /// # Errors
    /// If the file is there and is not to be replaced, or its directory takes none.
    pub fn begin(path: &Path, replace: bool) -> Outcome<Self> {
        let place = if path == Path::new("-") {
            let stdout = io::stdout();
            if stdout.is_terminal() {
                return Err(Failure::usage("a backup is nothing for a terminal")
                    .with_hint("name a file, or send standard output somewhere"));
            }
            Place::Stdout(stdout)
        } else {
            if !replace && path.symlink_metadata().is_ok() {
                return Err(there(path));
            }
            // Mode 0600: the file is made for its owner alone.
            let unfinished = tempfile::Builder::new()
                .prefix(".sealgate-backup-")
                .tempfile_in(directory(path))
                .map_err(|error| {
                    Failure::new(format!("{} cannot be written: {error}", path.display()))
                })?;
            let path = path.to_owned();
            Place::File {
                unfinished,
                path,
                replace,
            }
        };
        Ok(Self { place, bytes: 0 })
    }

    /// Lets the file appear under its name; gives its size.
    ///
    /// # Errors
    /// If it cannot, or is there meanwhile.
    pub fn keep(mut self) -> Outcome<u64> {
        self.flush().map_err(|error| unwritable(&error))?;
        if let Place::File {
            unfinished,
            path,
            replace,
        } = self.place
        {
            unfinished
                .as_file()
                .sync_all()
                .map_err(|error| unwritable(&error))?;
            let kept = if replace {
                unfinished.persist(&path)
            } else {
                unfinished.persist_noclobber(&path)
            };
            kept.map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => there(&path),
                _ => unwritable(&error.error),
            })?;
            File::open(directory(&path))?.sync_all()?;
        }
        Ok(self.bytes)
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.place {
            Place::Stdout(stdout) => stdout.write(bytes),
            Place::File { unfinished, .. } => unfinished.write(bytes),
        }?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Stdout(stdout) => stdout.flush(),
            Place::File { unfinished, .. } => unfinished.flush(),
        }
    }
}

/// The directory that a file is in.
pub fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The failure of a write. A reader that went away is told as well: its copy is not whole.
pub fn unwritable(error: &io::Error) -> Failure {
    Failure::new(format!("it could not be written to its end: {error}"))
}

fn there(path: &Path) -> Failure {
    Failure::new(format!("{} is there already", path.display()))
        .with_hint("--force replaces it once the new one is whole")
}
