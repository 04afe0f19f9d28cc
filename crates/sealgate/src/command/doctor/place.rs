//! Files: the settings, the data directory, the master key, the database, and the room left.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Context, Finding};
use crate::data_dir::DataDir;
use crate::master_key::{self, Source};
use crate::output::thousands;

/// Less room than this is worth a warning, and so much less a failure, in bytes.
const LITTLE: u64 = 1 << 30;
const TOO_LITTLE: u64 = 64 << 20;

/// Looks at what lies on disk.
pub fn examine(context: &Context) -> Vec<Finding> {
    let place = &context.place;
    vec![
        settings_file(context),
        data_directory(place),
        master_key(place),
        database_file(place),
        disk_space(place),
    ]
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
        Err(_) if !place.has_store() => Finding::warn(
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
    if let Source::DataDir(path) = &source
        && !path.exists()
        && !place.has_store()
    {
        return Finding::warn(CHECK, "there is none yet: the first start makes it");
    }
    if let Err(failure) = source.load() {
        return Finding::failed(CHECK, &failure);
    }
    Finding::ok(
        CHECK,
        match &source {
            Source::DataDir(path) if place.database.parent() == path.parent() => format!(
                "{source}, beside the store: whoever copies the directory has both; \
             SEALGATE_MASTER_KEY_FILE can keep it elsewhere"
            ),
            Source::Variable => format!(
                "{source}: root can read it in /proc as long as the server runs; a file or a \
             credential of systemd does not show there"
            ),
            _ => source.to_string(),
        },
    )
}

fn database_file(place: &DataDir) -> Finding {
    const CHECK: &str = "database";
    let shown = place.database.display();
    match fs::metadata(&place.database) {
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

fn disk_space(place: &DataDir) -> Finding {
    const CHECK: &str = "disk space";
    let directory = place.database.parent().unwrap_or(Path::new("."));
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
