//! Puts the use cases together with their store, clock and randomness.

use std::path::PathBuf;
use std::sync::Arc;

use sealgate_core::authority::Authority;
use sealgate_core::clock::{Clock, SystemClock, Timestamp};
use sealgate_core::random::{Random, SystemRandom};
use sealgate_store::{Sqlite, SqliteOptions};

use crate::data_dir::DataDir;
use crate::directory::{self, Directory};
use crate::exit::{Failure, Outcome};
use crate::master_key;
use crate::settings::Settings;

/// What to do where there is no store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Set one up.
    Create,
    /// Say so.
    Refuse,
}

/// An opened store.
#[derive(Debug)]
pub struct Opened {
    /// What can be done with it.
    pub authority: Arc<Authority>,
    /// The master key's file, if it was made just now: whoever started this has to hear of it.
    pub new_master_key: Option<PathBuf>,
    /// Whether users' passwords travel to a directory outside in the clear.
    pub is_directory_plaintext: bool,
}

/// Opens the store for what needs no directory outside: a key can be revoked while that one is
/// misconfigured.
///
/// # Errors
/// If there is none, or it does not open.
pub async fn open(place: &DataDir, settings: &Settings, missing: Missing) -> Outcome<Opened> {
    assemble(place, settings, missing, None).await
}

/// Opens the store, with the directory outside that users come from, if they do.
///
/// # Errors
/// If there is none, it does not open, or the directory's settings are of no use.
pub async fn open_with_directory(
    place: &DataDir,
    settings: &Settings,
    missing: Missing,
) -> Outcome<Opened> {
    let directory = directory::of(&settings.identity)?;
    assemble(place, settings, missing, directory).await
}

async fn assemble(
    place: &DataDir,
    settings: &Settings,
    missing: Missing,
    directory: Option<Directory>,
) -> Outcome<Opened> {
    if missing == Missing::Refuse && !place.has_store() {
        let message = format!("there is no store at {}", place.database.display());
        return Err(Failure::new(message).with_hint(
            "`sealgate create` and `sealgate serve` set one up; --data-dir names another place",
        ));
    }
    let (random, clock): (Arc<dyn Random>, Arc<dyn Clock>) =
        (Arc::new(SystemRandom), Arc::new(SystemClock));
    let source = master_key::source(place);
    let new_master_key = match missing {
        Missing::Create => {
            place.create()?;
            source.create_if_new(place, random.as_ref())?
        }
        Missing::Refuse => None,
    };
    let master = source.load()?;
    let options = SqliteOptions {
        path: place.database.clone(),
        create: missing == Missing::Create,
    };
    // In a box: it is twenty times as large as all futures around it.
    let opening = Box::pin(Sqlite::open(
        options,
        &master,
        random.clone(),
        clock.clone(),
    ));
    let store = opening.await?;
    let settings = settings.authority();
    let mut authority = Authority::new(Arc::new(store), clock, random, &master, settings);
    let is_directory_plaintext = directory.as_ref().is_some_and(|it| it.is_plaintext);
    if let Some(directory) = directory {
        authority = authority.with_directory(directory.provider);
    }
    Ok(Opened {
        authority: Arc::new(authority),
        new_master_key,
        is_directory_plaintext,
    })
}

/// The current time, for what has no authority at hand.
pub fn now() -> Timestamp {
    SystemClock.now()
}
