//! The database file, and how connections to it are set up: one that writes, a few that read.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealgate_core::store::StoreError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::error::{Failure, is_busy};

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The same, of whoever wants a file for itself.
const ALONE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a refused switch to the write-ahead log is tried again, and after how long.
const SWITCHES: u32 = 200;
const SWITCH_PAUSE: Duration = Duration::from_millis(50);
/// Connections that read.
const READERS: u32 = 4;
/// Rows on their way from SQLite's thread to the task that decodes them, so that neither waits for
/// the other while a million are loaded.
const ROWS_ON_THE_WAY: usize = 256;

/// Finds the database file, or makes it, readable by its owner alone.
///
/// SQLite gives the files of the write-ahead log the mode of the database file.
pub fn database_file(path: &Path, create: bool) -> Result<PathBuf, StoreError> {
    let shown = path.display();
    // SQLite takes a name that begins with `file:` for a URI with options; no absolute path does.
    let path = std::path::absolute(path)
        .map_err(|error| StoreError::Unavailable(format!("{shown}: {error}")))?;
    if create {
        match create_private(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                let why = format!("{shown} cannot be created: {error}");
                return Err(StoreError::Unavailable(why));
            }
            _ => {}
        }
    } else if !path.exists() {
        return Err(StoreError::Unavailable(format!("there is none at {shown}")));
    }
    Ok(path)
}

fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens the connection that writes, and puts the file into write-ahead mode if it is new.
pub async fn writer(path: &Path) -> Result<SqliteConnection, Failure> {
    let options = common(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // A commit of a thousand keys touches most pages of its indexes: they should stay in memory.
        .pragma("cache_size", "-65536")
        // 64 MiB: many commits in a row write the same pages, which then enter the file once.
        .pragma("wal_autocheckpoint", "16000")
        .pragma("journal_size_limit", "67108864");
    let mut tries = 0;
    loop {
        match options.connect().await {
            // The busy timeout does not apply to the switch, and two processes may open a new
            // file at once.
            Err(error) if is_busy(&error) && tries < SWITCHES => {
                tries += 1;
                tokio::time::sleep(SWITCH_PAUSE).await;
            }
            result => return Ok(result?),
        }
    }
}

/// Opens a connection that changes nothing of how the file is set up.
pub async fn plain(path: &Path) -> Result<SqliteConnection, Failure> {
    Ok(common(path).connect().await?)
}

/// Opens a connection that keeps every other process out until it is closed; nothing if one is there.
pub async fn alone(path: &Path) -> Result<Option<SqliteConnection>, Failure> {
    let options = common(path)
        .busy_timeout(ALONE_TIMEOUT)
        .locking_mode(SqliteLockingMode::Exclusive);
    let opened = async {
        let mut connection = options.connect().await?;
        // The first one to read or write with this mode of locking is when the file is locked.
        sqlx::query("BEGIN EXCLUSIVE")
            .execute(&mut connection)
            .await?;
        Ok(connection)
    };
    match opened.await {
        Ok(connection) => Ok(Some(connection)),
        Err(error) if is_busy(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the connections that read, as they are needed.
pub fn readers(path: &Path) -> SqlitePool {
    let options = common(path)
        .row_buffer_size(ROWS_ON_THE_WAY)
        .pragma("query_only", "ON");
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

fn common(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", "268435456")
        .disable_statement_logging()
}

/// Closes the connection that wrote. The last one that closes a database folds its write-ahead log
/// into the file; while another process has it open, that process will.
pub async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database was not closed in an orderly way");
    }
}
