//! Files: the settings, the data directory, the master key, the database, and the room left.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Context, Finding};
use sealgate_store::PostgresOptions;

use crate::data_dir::{DataDir, Database};
use crate::master_key::{self, Source};
use crate::output::thousands;

/// Less room than this is worth a warning, and so much less a failure, in bytes.
const LITTLE: u64 = 1 << 30;
const TOO_LITTLE: u64 = 64 << 20;

/// Looks at what lies on disk.
pub fn examine(context: &Context) -> Vec<Finding> {
    let place = &context.place;
    let mut findings = vec![
        settings_file(context),
        data_directory(place),
        master_key(place),
    ];
    match &place.database {
        Database::Sqlite(path) => findings.extend([database_file(path), disk_space(path)]),
        Database::Postgres(options) => findings.push(database_server(options)),
    }
    findings
}

fn settings_file(context: &Context) -> Finding {
    Finding::ok(
        "settings",
        match &context.file {
            Some(path) => path.display().to_string(),
            None => "no settings file: the environment and the defaults count".to_owned(),
        },
    )
}

fn data_directory(place: &DataDir) -> Finding {
    const CHECK: &str = "data directory";
    let shown = place.path.display();
    match fs::metadata(&place.path) {
        Err(_) if may_be_new(place) => Finding::warn(
            CHECK,
            format!("{shown} is not there yet: `sealgate create` makes it"),
        ),
        Err(error) => Finding::fail(CHECK, format!("{shown}: {error}")),
        Ok(metadata) if metadata.mode() & 0o022 != 0 => Finding::fail(
            CHECK,
            format!("other accounts may write to {shown}: chmod 700 {shown}"),
        ),
        Ok(metadata) if metadata.mode() & 0o055 != 0 => Finding::warn(
            CHECK,
            format!("other accounts may look into {shown}: chmod 700 {shown}"),
        ),
        Ok(_) => Finding::ok(CHECK, shown.to_string()),
    }
}

fn master_key(place: &DataDir) -> Finding {
    const CHECK: &str = "master key";
    let source = master_key::source(place);
    if source.missing_file().is_some() && may_be_new(place) {
        return Finding::warn(CHECK, "there is none yet: the first start makes it");
    }
    if let Err(failure) = source.load() {
        return Finding::failed(CHECK, &failure);
    }
    Finding::ok(
        CHECK,
        match &source {
            Source::DataDir(path) if matches!(&place.database, Database::Sqlite(file) if file.parent() == path.parent()) =>
            {
                format!(
                    "{source}, beside the store: whoever copies the directory has both; \
             SEALGATE_MASTER_KEY_FILE can keep it elsewhere"
                )
            }
            Source::Variable => format!(
                "{source}: root can read it in /proc as long as the server runs; a file or a \
             credential of systemd does not show there"
            ),
            _ => source.to_string(),
        },
    )
}

/// Whether there may be no store yet: of a server it is not known here.
fn may_be_new(place: &DataDir) -> bool {
    match &place.database {
        Database::Sqlite(path) => !path.exists(),
        Database::Postgres(_) => true,
    }
}

fn database_server(options: &PostgresOptions) -> Finding {
    const CHECK: &str = "database";
    let shown = format!("PostgreSQL at {options}");
    if options.is_private() {
        return Finding::ok(CHECK, shown);
    }
    Finding::warn(
        CHECK,
        format!(
            "{shown}: who is between here and there can take its place, and read what is sent: add \
             sslmode=verify-full to the URL"
        ),
    )
}

fn database_file(path: &Path) -> Finding {
    const CHECK: &str = "database";
    let shown = path.display();
    match fs::metadata(path) {
        Err(_) => Finding::warn(
            CHECK,
            format!("there is no store at {shown} yet: `sealgate create` sets it up"),
        ),
        Ok(metadata) if metadata.mode() & 0o077 != 0 => Finding::fail(
            CHECK,
            format!("{shown} is open to other accounts: chmod 600 {shown}"),
        ),
        Ok(metadata) => Finding::ok(
            CHECK,
            format!("{shown}, {} KiB", thousands(metadata.len().div_ceil(1024))),
        ),
    }
}

fn disk_space(database: &Path) -> Finding {
    const CHECK: &str = "disk space";
    let directory = database.parent().unwrap_or(Path::new("."));
    let existing = directory.ancestors().find(|path| path.exists());
    let Ok(disk) = rustix::fs::statvfs(existing.unwrap_or(Path::new("."))) else {
        return Finding::warn(CHECK, "it cannot be told how much is left");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let message = format!("{} MiB left", thousands(free >> 20));
    match free {
        ..TOO_LITTLE => Finding::fail(CHECK, format!("{message}: changes will soon be refused")),
        TOO_LITTLE..LITTLE => Finding::warn(CHECK, format!("{message}: make room")),
        LITTLE.. => Finding::ok(CHECK, message),
    }
}
