//! Puts the use cases together with their store, clock and randomness.

use std::path::PathBuf;
use std::sync::Arc;

use sealgate_core::authority::Authority;
use sealgate_core::clock::{Clock, SystemClock, Timestamp};
use sealgate_core::master::MasterKey;
use sealgate_core::random::{Random, SystemRandom};
use sealgate_core::shared_limits::{self, LimitKeeper};
use sealgate_core::store::Store;
use sealgate_store::{Postgres, Redis, Sqlite, SqliteOptions};
use zeroize::Zeroizing;

use crate::data_dir::{self, DataDir, Database};
use crate::directory::{self, Directory};
use crate::exit::{Failure, Outcome};
use crate::master_key::{self, Source};
use crate::settings::{Limits, Settings, WhenUnavailable};

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
    assemble(place, settings, missing, Outside::default()).await
}

/// Opens the store, with what else is outside: the directory that users come from, if they do, and the
/// server that counts requests with a limit.
///
/// # Errors
/// If there is none, it does not open, or the settings of something outside are of no use.
pub async fn open_with_outside(
    place: &DataDir,
    settings: &Settings,
    missing: Missing,
) -> Outcome<Opened> {
    let outside = Outside {
        directory: directory::of(&settings.identity)?,
        redis: redis(&settings.limits)?,
    };
    assemble(place, settings, missing, outside).await
}

/// What is used besides the store.
#[derive(Default)]
struct Outside {
    directory: Option<Directory>,
    redis: Option<Redis>,
}

/// The server that counts requests with a limit, if one is set. It is not asked yet.
fn redis(limits: &Limits) -> Outcome<Option<Redis>> {
    let url = match (&limits.redis_url, &limits.redis_url_file) {
        (Some(url), _) => Zeroizing::new(url.clone()),
        (None, Some(path)) => data_dir::first_line(path, "limits.redis_url_file")?,
        (None, None) => return Ok(None),
    };
    let redis = Redis::new(&url).map_err(|why| Failure::new(format!("limits.redis_url: {why}")))?;
    if !redis.is_private() {
        tracing::warn!(
            "who is between here and {redis} can alter what was used of limits: write rediss:// in \
             limits.redis_url, and let the server speak TLS"
        );
    }
    Ok(Some(redis))
}

async fn assemble(
    place: &DataDir,
    settings: &Settings,
    missing: Missing,
    outside: Outside,
) -> Outcome<Opened> {
    let (random, clock): (Arc<dyn Random>, Arc<dyn Clock>) =
        (Arc::new(SystemRandom), Arc::new(SystemClock));
    let source = master_key::source(place);
    let new_master_key = prepare(place, &source, missing, random.as_ref()).await?;
    let master = source.load()?;
    // In a box: it is twenty times as large as all futures around it.
    let opening = Box::pin(open_store(
        &place.database,
        missing == Missing::Create,
        &master,
        random.clone(),
        clock.clone(),
    ));
    let store = opening.await?;
    let keeper = match outside.redis {
        Some(redis) => Some(Arc::new(redis) as Arc<dyn LimitKeeper>),
        None => store.limit_keeper(),
    };
    let when = match settings.limits.when_unavailable {
        WhenUnavailable::Open => shared_limits::WhenUnavailable::Open,
        WhenUnavailable::Closed => shared_limits::WhenUnavailable::Closed,
    };
    let settings = settings.authority();
    let mut authority = Authority::new(store, clock, random, &master, settings);
    if let Some(keeper) = keeper {
        authority = authority.with_shared_limits(keeper, when);
    }
    let directory = outside.directory;
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

/// Whether there is a store already.
///
/// # Errors
/// If the database cannot be asked.
pub async fn has_store(database: &Database) -> Outcome<bool> {
    match database {
        Database::Sqlite(path) => Ok(path.exists()),
        Database::Postgres(options) => Ok(Postgres::is_in(options).await?),
    }
}

/// Makes what a new store needs, or says that there is none; gives the master key's file if it made it.
async fn prepare(
    place: &DataDir,
    source: &Source,
    missing: Missing,
    random: &dyn Random,
) -> Outcome<Option<PathBuf>> {
    let is_file = matches!(place.database, Database::Sqlite(_));
    match missing {
        Missing::Refuse => {
            // A server of PostgreSQL is asked when it is opened; without a key it never is.
            let must_ask = is_file || source.missing_file().is_some();
            if must_ask && !has_store(&place.database).await? {
                return Err(no_store(&place.database));
            }
            Ok(None)
        }
        Missing::Create => {
            let needs_key = source.missing_file().is_some() && !has_store(&place.database).await?;
            if is_file || needs_key {
                place.create()?;
            }
            if needs_key {
                source.create_if_missing(random)
            } else {
                Ok(None)
            }
        }
    }
}

async fn open_store(
    database: &Database,
    create: bool,
    master: &MasterKey,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
) -> Outcome<Arc<dyn Store>> {
    match database {
        Database::Sqlite(path) => {
            let path = path.clone();
            let options = SqliteOptions { path, create };
            let store = Sqlite::open(options, master, random, clock).await?;
            Ok(Arc::new(store))
        }
        Database::Postgres(options) => {
            if !create && !Postgres::is_in(options).await? {
                return Err(no_store(database));
            }
            let store = Postgres::open(options.clone(), create, master, random, clock).await?;
            Ok(Arc::new(store))
        }
    }
}

/// What is said where a store should be and none is.
pub fn no_store(database: &Database) -> Failure {
    Failure::new(format!("there is no store at {database}")).with_hint(
        "`sealgate create` and `sealgate serve` set one up; --data-dir names another place",
    )
}

/// The current time, for what has no authority at hand.
pub fn now() -> Timestamp {
    SystemClock.now()
}
