//! Where the store is: the data directory, and the database in it or elsewhere.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sealgate_store::PostgresOptions;
use zeroize::Zeroizing;

use crate::env;
use crate::exit::{Failure, Outcome};
use crate::settings::Settings;

/// The database file's name in the data directory.
const DATABASE_NAME: &str = "sealgate.db";

/// The places that belong to one store.
#[derive(Clone, Debug)]
pub struct DataDir {
    /// The data directory.
    pub path: PathBuf,
    /// The database.
    pub database: Database,
}

/// Where the database is. It is shown without user and password.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A server of PostgreSQL.
    Postgres(PostgresOptions),
}

impl Database {
    /// The database of a URL. A URL that is not taken is not shown: it may hold a password.
    ///
    /// # Errors
    /// If it is none, or of a kind that is not supported.
    pub fn parse(url: &str, connections: u32) -> Outcome<Self> {
        let hint = "write sqlite:PATH, such as sqlite:/var/lib/sealgate/sealgate.db, or \
                    postgres://USER@HOST/DATABASE";
        let refuse = |message: String| Err(Failure::usage(message).with_hint(hint));
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return match PostgresOptions::parse(url) {
                Ok(options) => Ok(Database::Postgres(options.with_readers(connections))),
                Err(error) => refuse(error.to_string()),
            };
        }
        let Some(path) = url.strip_prefix("sqlite:") else {
            return refuse(
                "the database URL is of a kind that this version does not know".to_owned(),
            );
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return refuse("the database URL names no file".to_owned());
        }
        Ok(Database::Sqlite(PathBuf::from(path)))
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(options) => write!(f, "PostgreSQL at {options}"),
        }
    }
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
        let database = match url(settings)? {
            Some(url) => Database::parse(&url, settings.store.connections)?,
            None => Database::Sqlite(path.join(DATABASE_NAME)),
        };
        Ok(Self { path, database })
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

/// The URL of the database, if one is set: as it is, or in a file.
fn url(settings: &Settings) -> Outcome<Option<Zeroizing<String>>> {
    let Some(path) = &settings.database_url_file else {
        return Ok(settings.database_url.clone().map(Zeroizing::new));
    };
    first_line(path, "database_url_file").map(Some)
}

/// What the first line of a file says, which a setting names; it may be a secret.
///
/// # Errors
/// If there is none.
pub fn first_line(path: &Path, setting: &str) -> Outcome<Zeroizing<String>> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new(format!("{setting} {shown}: {error}")))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(Failure::new(format!("{setting} {shown} is empty"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Database::parse(url, 8).unwrap().to_string()
    }

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (url, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite:/var/a.db", "/var/a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite://a.db", "a.db"),
        ] {
            assert_eq!(shown(url), path);
        }
        for url in ["sqlite:", "sqlite::memory:", "sqlite:a?mode=ro", "a.db"] {
            assert!(Database::parse(url, 8).is_err(), "{url}");
        }
    }

    #[test]
    fn a_postgres_url_is_shown_without_user_and_password() {
        let url = "postgres://ada:hunter2@db.example/keys?sslmode=verify-full";
        assert_eq!(shown(url), "PostgreSQL at db.example:5432, database keys");
    }

    #[test]
    fn a_refused_url_is_not_shown() {
        for url in [
            "mysql://ada:hunter2@db/sealgate",
            "postgres://ada:hunter2@db:x/d",
        ] {
            let failure = Database::parse(url, 8).unwrap_err();
            assert!(!format!("{failure:?}").contains("hunter2"));
        }
    }
}
