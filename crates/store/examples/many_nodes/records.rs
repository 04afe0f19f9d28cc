//! Keys that are made up, and the filling of a store with them.

use std::ops::Range;
use std::time::Instant;

use sealgate_core::audit::{Action, Actor, Event, Origin};
use sealgate_core::clock::{Clock as _, SystemClock, Timestamp};
use sealgate_core::key::{Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt};
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::random::{SystemRandom, array, uuid};
use sealgate_core::secret::Secret;
use sealgate_core::store::{Change, Commit};

use crate::{Bench, Outcome, shown};

const A_COMMIT: u64 = 1_000;
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Makes keys, as `sealgate create --from` writes them, and reads them as a node does that starts.
pub async fn fill(bench: &mut Bench, keys: u64) -> Outcome<()> {
    let node = bench.node().await?;
    let before = bench.database.processor_time()?;
    let begin = Instant::now();
    for first in (0..keys).step_by(usize::try_from(A_COMMIT)?) {
        node.commit(creation(first..keys.min(first + A_COMMIT)))
            .await?;
    }
    let (took, count) = (begin.elapsed().as_secs_f64(), keys as f64);
    let spent = bench.database.processor_time()? - before;
    bench.database.settle().await?;

    let begin = Instant::now();
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = node.keys_after(after, 5_000).await?;
        ids.extend(page.records.iter().map(|key| key.id));
        after = page.next.map(|next| next.id);
        if after.is_none() {
            break;
        }
    }
    let loading = begin.elapsed().as_secs_f64();
    bench.keys = ids.into();
    node.close().await;

    println!("\nA store with {keys} keys\n\n| what | measured |\n| --- | --- |");
    let per_second = shown(count / took);
    println!("| keys made a second, 1,000 a transaction, one writer | {per_second} |");
    let spent = shown(spent * 1e6 / count);
    println!("| … the database's processor time for each | {spent} µs |");
    let per_million = shown(loading * 1e6 / count);
    println!("| all keys read by one connection, for a million | {per_million} s |");
    for (table, what) in [
        ("api_key", "a key"),
        ("audit", "an audit record"),
        ("feed", "a row of the feed"),
    ] {
        let (data, indexes) = bench.database.size(table).await?;
        let (data, indexes) = (shown(data as f64 / count), shown(indexes as f64 / count));
        println!("| {what} in the database | {data} bytes, and {indexes} of indexes |");
    }
    Ok(())
}

fn creation(numbers: Range<u64>) -> Commit {
    let mut commit = Commit::default();
    for number in numbers {
        let key = key(number);
        let actor = Actor::CommandLine("root".into());
        let event = Event::new(key.created_at, Action::KeyCreated, Some(key.id), &actor);
        commit.events.push(event.with_details([
            ("name", key.name.clone().into()),
            ("permissions", "api:read api:write".into()),
        ]));
        commit.changes.push(Change::InsertKey(Box::new(key)));
    }
    commit
}

/// A key that nobody knows.
pub fn key(number: u64) -> KeyRecord {
    let random = &SystemRandom;
    let created_at = START.plus_millis((number / 20).cast_signed());
    let id = KeyId(uuid(random, created_at));
    let letters = array::<8>(random).map(|byte| char::from(b'a' + byte % 26));
    KeyRecord {
        id,
        prefix: KeyPrefix::parse(&String::from_iter(letters)).expect("eight letters"),
        salt: Salt(array(random)),
        hash: KeyHash::new(array(random)),
        token_secret: Secret::random(random),
        name: format!("Worker {number}"),
        description: String::new(),
        permissions: Permissions::parse("api:read api:write").expect("permissions"),
        is_admin: false,
        environment: Environment::Production,
        rate_limit: None,
        allowed_ips: AllowList::default(),
        state: KeyState::Active,
        created_at,
        expires_at: None,
        rotated_from: None,
        lineage: id,
        last_used_at: None,
        use_count: 0,
        version: 1,
    }
}

/// The record of a request, as `audit.requests = "all"` writes it.
pub fn request(key: KeyId) -> Event {
    let origin = Origin {
        address: Some([10, 0, 0, 1].into()),
        user_agent: Some("curl/8.5.0".to_owned()),
        method: Some("GET".to_owned()),
        path: Some("/api/auth/verify".to_owned()),
        request_id: None,
    };
    let event = Event::new(
        SystemClock.now(),
        Action::RequestServed,
        Some(key),
        &Actor::Key(key),
    );
    event.from(&origin).with_status(200)
}
