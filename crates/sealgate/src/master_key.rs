//! Where the master key comes from, and how it is made on the first start.
//!
//! In this order: `SEALGATE_MASTER_KEY`, the file that `SEALGATE_MASTER_KEY_FILE` names, systemd's
//! credential `sealgate-master-key`, the file `master.key` in the data directory. Only the last is
//! ever made, and only where there is no database yet: a new key cannot read an old store.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sealgate_core::master::MasterKey;
use sealgate_core::random::Random;
use sealgate_core::secret::Secret;
use zeroize::Zeroizing;

use crate::data_dir::DataDir;
use crate::env;
use crate::exit::{Failure, Outcome};

/// The file in the data directory.
const FILE_NAME: &str = "master.key";
/// systemd's name for it.
const CREDENTIAL_NAME: &str = "sealgate-master-key";
/// The permissions of group and others.
const OTHERS: u32 = 0o077;

/// Where the master key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In `SEALGATE_MASTER_KEY`.
    Variable,
    /// In a file that the operator names.
    File(PathBuf),
    /// In a file that systemd lays out for this service alone.
    Credential(PathBuf),
    /// In the data directory.
    DataDir(PathBuf),
}

/// Finds out where the master key is or will be.
#[must_use]
pub fn source(place: &DataDir) -> Source {
    if env::value(env::MASTER_KEY).is_some() {
        return Source::Variable;
    }
    if let Some(path) = env::value(env::MASTER_KEY_FILE) {
        return Source::File(path.into());
    }
    let credential = env::value(env::CREDENTIALS_DIRECTORY)
        .map(|directory| Path::new(&directory).join(CREDENTIAL_NAME))
        .filter(|path| path.exists());
    credential.map_or_else(
        || Source::DataDir(place.path.join(FILE_NAME)),
        Source::Credential,
    )
}

impl Source {
    /// Reads the master key.
    ///
    /// # Errors
    /// If it is not there, is no key, or others can read it.
    pub fn load(&self) -> Outcome<MasterKey> {
        let text = match self {
            Self::Variable => env::value(env::MASTER_KEY)
                .and_then(|text| text.into_string().ok())
                .map(Zeroizing::new)
                .unwrap_or_default(),
            Self::File(path) | Self::Credential(path) | Self::DataDir(path) => {
                self.check_permissions()?;
                let text = fs::read_to_string(path).map_err(|error| self.unreadable(&error))?;
                Zeroizing::new(text)
            }
        };
        MasterKey::from_hex(&text).ok_or_else(|| {
            Failure::new(format!("{self} does not hold a master key"))
                .with_hint("a master key is 64 hexadecimal digits, as `openssl rand -hex 32` makes")
        })
    }

    /// The file in which a master key would be made, if it is not there yet.
    pub fn missing_file(&self) -> Option<&Path> {
        match self {
            Self::DataDir(path) if !path.exists() => Some(path),
            _ => None,
        }
    }

    /// Makes the master key where it is not there, for a store that is new and needs no other; gives the
    /// file it made.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create_if_missing(&self, random: &dyn Random) -> Outcome<Option<PathBuf>> {
        let Some(path) = self.missing_file() else {
            return Ok(None);
        };
        let was_made = create(path, random).map_err(|error| {
            Failure::new(format!("{} cannot be written: {error}", path.display()))
        })?;
        Ok(was_made.then(|| path.to_owned()))
    }

    /// Refuses a file that others can read. What systemd lays out is the service's alone.
    ///
    /// # Errors
    /// If group or others may read or write it.
    pub fn check_permissions(&self) -> Outcome {
        let (Self::File(path) | Self::DataDir(path)) = self else {
            return Ok(());
        };
        let metadata = fs::metadata(path).map_err(|error| self.unreadable(&error))?;
        let mode = metadata.mode() & 0o7777;
        if mode & OTHERS == 0 {
            return Ok(());
        }
        let shown = path.display();
        Err(Failure::new(format!(
            "the master key in {shown} is open to other accounts (mode {mode:04o})"
        ))
        .with_hint(format!(
            "close it: chmod 600 {shown} (or mount it with mode 0400); if somebody may have read \
             it, everything in the store is to be replaced"
        )))
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        match (self, error.kind()) {
            (Self::DataDir(path), ErrorKind::NotFound) => Failure::new(format!(
                "there is a store, and its master key is not there: {} is missing",
                path.display()
            ))
            .with_hint(
                "bring the file back from its backup, or say where the key is with \
                 SEALGATE_MASTER_KEY_FILE; a new key could not read the store",
            ),
            _ => Failure::new(format!("{self} cannot be read: {error}")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(env::MASTER_KEY),
            Self::File(path) => write!(f, "{} ({})", path.display(), env::MASTER_KEY_FILE),
            Self::Credential(path) => write!(f, "{} (systemd's credential)", path.display()),
            Self::DataDir(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Makes a master key file; says whether it was this call that made it.
///
/// The file appears under its name whole and durable, or not at all: another process that starts at
/// the same time, or a power cut, must not leave half a key.
fn create(path: &Path, random: &dyn Random) -> io::Result<bool> {
    let key = MasterKey::new(Secret::random(random));
    let unfinished = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    let written = writeln!(file, "{}", key.to_hex().expose()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&unfinished, path));
    fs::remove_file(&unfinished)?;
    match linked {
        Ok(()) => {
            if let Some(directory) = path.parent() {
                File::open(directory)?.sync_all()?;
            }
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// What whoever made a master key has to hear.
#[must_use]
pub fn notice(path: &Path) -> String {
    format!(
        "made a master key in {}: back it up somewhere else than the store, for whoever loses it \
         loses every secret in the store",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::Database;
    use sealgate_core::random::SeededRandom;

    fn place(directory: &Path) -> DataDir {
        DataDir {
            path: directory.join("data"),
            database: Database::Sqlite(directory.join("data/sealgate.db")),
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        place.create().unwrap();
        let path = place.path.join(FILE_NAME);
        let source = Source::DataDir(path.clone());
        let random = SeededRandom::new(1);
        assert_eq!(source.create_if_missing(&random).unwrap(), Some(path));
        let key = source.load().unwrap();
        assert_eq!(source.create_if_missing(&random).unwrap(), None);
        assert_eq!(source.load().unwrap(), key);
        let permissions = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(permissions(&place.path.join(FILE_NAME)), 0o600);
        assert_eq!(permissions(&place.path), 0o700);
        assert_eq!(fs::read_dir(&place.path).unwrap().count(), 1);
    }

    #[test]
    fn a_second_process_takes_the_key_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        assert!(create(&path, &SeededRandom::new(1)).unwrap());
        let first = fs::read_to_string(&path).unwrap();
        assert!(!create(&path, &SeededRandom::new(2)).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
    }

    #[test]
    fn a_key_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::DataDir(directory.path().join(FILE_NAME));
        let failure = source.load().unwrap_err();
        assert!(failure.message().contains("is missing"), "{failure:?}");
    }
}
