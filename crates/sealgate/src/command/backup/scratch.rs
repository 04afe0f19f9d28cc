//! A directory beside a store for what is not finished, which is cleared away whatever happens.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::target::directory;
use crate::exit::{Failure, Outcome};

const PREFIX: &str = ".sealgate-unfinished-";

/// A directory for its owner alone. It goes away with this; what a process leaves that is killed, the
/// next one takes away.
pub struct Scratch {
    directory: TempDir,
    /// Tells others that it is in use.
    _lock: File,
}

impl Scratch {
    /// Makes one beside a database file, so that what is finished in it only needs another name.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn beside(database: &Path) -> Outcome<Self> {
        let parent = directory(database);
        Self::make(parent).map_err(|error| {
            Failure::new(format!(
                "nothing can be made in {}: {error}",
                parent.display()
            ))
        })
    }

    fn make(parent: &Path) -> io::Result<Self> {
        clear_abandoned(parent)?;
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let lock = File::open(directory.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// The file in it.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("copy.db")
    }
}

/// Removes the directories that no process uses any more.
fn clear_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        // Another process may remove it at the same time.
        let Ok(lock) = File::open(entry.path()) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_cleared_away_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}x"));
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("copy.db"), "half").unwrap();
        let database = parent.path().join("sealgate.db");
        let used = Scratch::beside(&database).unwrap();
        assert!(!abandoned.exists());
        let second = Scratch::beside(&database).unwrap();
        let path = used.file().parent().unwrap().to_owned();
        assert!(path.exists());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop((used, second));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
