//! Measures a store of a million keys: how long it takes to make them, to load them, and to answer
//! each kind of page. `cargo run --release -p sealgate-store --example million [KEYS] [postgres://…]`

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "it reports what it measured")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use sealgate_core::audit::{self, Action, Actor, Event};
use sealgate_core::clock::{SystemClock, Timestamp};
use sealgate_core::key::{
    Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt, Status,
};
use sealgate_core::master::MasterKey;
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::random::{SystemRandom, array, uuid};
use sealgate_core::rate::RateLimit;
use sealgate_core::secret::Secret;
use sealgate_core::store::{Change, Commit, FeedPosition, KeyQuery, Store};
use sealgate_core::tally::{Count, Counted, Use};
use sealgate_store::{Postgres, PostgresOptions, Sqlite, SqliteOptions};

const START: i64 = 1_700_000_000_000;
const A_COMMIT: u64 = 1_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let keys = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |keys| keys.parse())?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("million.db");
    let store = open(std::env::args().nth(2), path.clone()).await?;
    let store = &*store;

    let begin = Instant::now();
    let is_filled = store.health().await?.keys > 0;
    for first in (if is_filled { keys } else { 0 }..keys).step_by(usize::try_from(A_COMMIT)?) {
        store
            .commit(commit(first..keys.min(first + A_COMMIT))?)
            .await?;
    }
    println!(
        "{keys} keys with audit and feed rows: {:?}",
        begin.elapsed()
    );
    if let Ok(file) = std::fs::metadata(path) {
        println!("file: {} MiB", file.len() >> 20);
    }

    let begin = Instant::now();
    let mut loaded = 0;
    let mut after = None;
    loop {
        let page = store.keys_after(after, 10_000).await?;
        loaded += page.records.len();
        after = page.next.map(|next| next.id);
        if after.is_none() {
            break;
        }
    }
    println!("{loaded} keys loaded: {:?}", begin.elapsed());
    pages(store).await?;
    uses(store, after_start(keys)).await?;
    store.close().await;
    Ok(())
}

async fn open(url: Option<String>, path: PathBuf) -> Outcome<Box<dyn Store>> {
    let master = &MasterKey::new(Secret::new([7; 32]));
    let (random, clock) = (Arc::new(SystemRandom), Arc::new(SystemClock));
    if let Some(url) = url {
        let options = PostgresOptions::parse(&url)?;
        let store = Postgres::open(options, true, master, random, clock).await?;
        return Ok(Box::new(store));
    }
    let options = SqliteOptions { path, create: true };
    let store = Sqlite::open(options, master, random, clock).await?;
    Ok(Box::new(store))
}

async fn pages(store: &dyn Store) -> Outcome<()> {
    let page = || KeyQuery {
        limit: 100,
        ..KeyQuery::default()
    };
    let named = |name: &str| KeyQuery {
        name: Some(name.to_owned()),
        ..page()
    };
    let (testing, revoked) = (Some(Environment::Testing), Some(Status::Revoked));
    for (what, query) in [
        ("newest", page()),
        (
            "active",
            KeyQuery {
                status: Some(Status::Active),
                ..page()
            },
        ),
        (
            "revoked (none)",
            KeyQuery {
                status: revoked,
                ..page()
            },
        ),
        (
            "testing",
            KeyQuery {
                environment: testing,
                ..page()
            },
        ),
        (
            "testing, revoked (none)",
            KeyQuery {
                environment: testing,
                status: revoked,
                ..page()
            },
        ),
        ("name", named("bulk key 9")),
        (
            "name, testing",
            KeyQuery {
                environment: testing,
                ..named("bulk")
            },
        ),
        (
            "name, revoked (none)",
            KeyQuery {
                status: revoked,
                ..named("bulk")
            },
        ),
        ("nothing by that name", named("zebra")),
    ] {
        let begin = Instant::now();
        let found = store.keys(&query).await?.records.len();
        println!("page of keys, {what}: {found} in {:?}", begin.elapsed());
    }
    let begin = Instant::now();
    let logs = store
        .audit(&audit::Query {
            limit: 100,
            ..audit::Query::default()
        })
        .await?;
    println!("page of the log: {} in {:?}", logs.len(), begin.elapsed());
    let query = audit::Query {
        key_id: logs[0].event.key_id,
        limit: 100,
        before: None,
    };
    let begin = Instant::now();
    let logs = store.audit(&query).await?;
    println!(
        "page of a key's log: {} in {:?}",
        logs.len(),
        begin.elapsed()
    );
    let end = store.feed_position().await?;
    let begin = Instant::now();
    for _ in 0..1_000 {
        store.feed_since(end, 1_000).await?;
    }
    println!("feed, nothing new: {:?}", begin.elapsed() / 1_000);
    let begin = Instant::now();
    let feed = store
        .feed_since(FeedPosition(end.0.saturating_sub(1_000)), 1_000)
        .await?;
    println!("feed, {} keys: {:?}", feed.keys.len(), begin.elapsed());
    let begin = Instant::now();
    let health = store.health().await?;
    println!("{health:?}: {:?}", begin.elapsed());
    Ok(())
}

async fn uses(store: &dyn Store, now: Timestamp) -> Outcome<()> {
    let keys = store.keys_after(None, 10_000).await?.records;
    let counted: Vec<Counted> = keys
        .iter()
        .map(|key| Counted {
            of: Use {
                minute: now.minute(),
                key_id: key.id,
                address: Some([192, 0, 2, 7].into()),
                route: "GET /api/encrypt".into(),
            },
            count: Count {
                requests: 3,
                last: now,
            },
        })
        .collect();
    let begin = Instant::now();
    store.add_uses(&counted).await?;
    println!("{} counts added: {:?}", counted.len(), begin.elapsed());
    let begin = Instant::now();
    let moved = store.close_uses(now.plus_seconds(60), now, 10_000).await?;
    println!("{moved} counts closed: {:?}", begin.elapsed());
    let begin = Instant::now();
    for key in keys.iter().take(100) {
        store
            .commit(Commit {
                changes: vec![Change::UpdateKey(key.clone().into())],
                events: vec![],
            })
            .await?;
    }
    println!("a change alone: {:?}", begin.elapsed() / 100);
    Ok(())
}

fn commit(numbers: std::ops::Range<u64>) -> Outcome<Commit> {
    let mut commit = Commit::default();
    for number in numbers {
        let key = key(number)?;
        commit.events.push(
            Event::new(
                key.created_at,
                Action::KeyCreated,
                Some(key.id),
                &Actor::CommandLine("root".into()),
            )
            .with_details([
                ("name", key.name.clone().into()),
                ("permissions", "api:read".into()),
            ]),
        );
        commit.changes.push(Change::InsertKey(Box::new(key)));
    }
    Ok(commit)
}

fn key(number: u64) -> Outcome<KeyRecord> {
    let random = &SystemRandom;
    let created_at = after_start(number);
    let id = KeyId(uuid(random, created_at));
    let letters = array::<8>(random).map(|byte| char::from(b'a' + byte % 26));
    Ok(KeyRecord {
        id,
        prefix: KeyPrefix::parse(&String::from_iter(letters)).ok_or("not a prefix")?,
        salt: Salt(array(random)),
        hash: KeyHash::new(array(random)),
        token_secret: Secret::random(random),
        name: format!("Bulk key {number}"),
        description: String::new(),
        permissions: Permissions::parse("api:read api:write")?,
        is_admin: number == 0,
        environment: if number.is_multiple_of(10) {
            Environment::Testing
        } else {
            Environment::Production
        },
        rate_limit: RateLimit::new(1_000, 3_600).ok(),
        allowed_ips: AllowList::default(),
        state: KeyState::Active,
        created_at,
        expires_at: Some(created_at.plus_days(365)),
        rotated_from: None,
        lineage: id,
        last_used_at: None,
        use_count: 0,
        version: 1,
    })
}

fn after_start(number: u64) -> Timestamp {
    Timestamp::from_millis(START).plus_millis(i64::try_from(number / 20).unwrap_or(0))
}
