//! Where the store is: the data directory, and the database file in it or elsewhere.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::env;
use crate::exit::{Failure, Outcome};
use crate::settings::Settings;

/// The database file's name in the data directory.
const DATABASE_NAME: &str = "sealgate.db";

/// The places that belong to one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    /// The data directory.
    pub path: PathBuf,
    /// The database file.
    pub database: PathBuf,
}

impl DataDir {
    /// Finds out where the store is or will be.
    ///
    /// # Errors
    /// If no directory can be told, or the database is of a kind that is not supported.
    pub fn of(settings: &Settings) -> Outcome<Self> {
        let path = settings.data_dir.clone().or_else(default_path).ok_or_else(|| {
            Failure::new("it is not known where the store is: neither a home directory nor $STATE_DIRECTORY is set")
                .with_hint("name it with --data-dir DIR or SEALGATE_DATA_DIR")
        })?;
        let database = match &settings.database_url {
            Some(url) => database_file(url)?,
            None => path.join(DATABASE_NAME),
        };
        Ok(Self { path, database })
    }

    /// Whether there is a store.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.database.exists()
    }

    /// Makes the data directory, open to its owner alone, if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(&self) -> Outcome {
        if self.path.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| {
                Failure::new(format!(
                    "the data directory {} cannot be made: {error}",
                    self.path.display()
                ))
                .with_hint("name another one with --data-dir DIR or SEALGATE_DATA_DIR")
            })
    }
}

/// Where the data directory is if nobody says.
pub fn default_path() -> Option<PathBuf> {
    if let Some(list) = env::value(env::STATE_DIRECTORY) {
        return std::env::split_paths(&list).next();
    }
    let data_home = env::value(env::XDG_DATA_HOME).map(PathBuf::from);
    let data_home = data_home
        .filter(|path| path.is_absolute())
        .or_else(|| Some(Path::new(&env::value(env::HOME)?).join(".local/share")));
    data_home.map(|path| path.join("sealgate"))
}

/// The file of a `sqlite:` URL. A URL that is not taken is not shown: it may hold a password.
fn database_file(url: &str) -> Outcome<PathBuf> {
    let hint = "write sqlite:PATH, such as sqlite:/var/lib/sealgate/sealgate.db";
    let Some(path) = url.strip_prefix("sqlite:") else {
        let message = match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => {
                "this version keeps its store in SQLite alone, not in PostgreSQL"
            }
            _ => "the database URL is of a kind that this version does not know",
        };
        return Err(Failure::usage(message).with_hint(hint));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        return Err(Failure::usage("the database URL names no file").with_hint(hint));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (url, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite:/var/a.db", "/var/a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite://a.db", "a.db"),
        ] {
            assert_eq!(database_file(url).unwrap(), Path::new(path));
        }
        for url in ["sqlite:", "sqlite::memory:", "sqlite:a?mode=ro", "a.db"] {
            assert!(database_file(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refused_url_is_not_shown() {
        let failure = database_file("postgres://ada:hunter2@db/sealgate").unwrap_err();
        assert!(failure.message().contains("not in PostgreSQL"));
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
}
