//! Fills the audit log of a store with records of made-up refusals, spread over its keys, to measure
//! against: `fill_log DATA_DIR RECORDS`.

use std::path::Path;
use std::sync::Arc;

use sealgate_core::audit::{Action, Actor, Event, Origin};
use sealgate_core::clock::{Clock, SystemClock};
use sealgate_core::key::KeyId;
use sealgate_core::master::MasterKey;
use sealgate_core::random::SystemRandom;
use sealgate_core::store::{Commit, Store};
use sealgate_store::{Sqlite, SqliteOptions};

const STEP: usize = 10_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(records)) = (arguments.next(), arguments.next()) else {
        panic!("usage: fill_log DATA_DIR RECORDS");
    };
    let folder = Path::new(&folder);
    let records: usize = records.parse().expect("a number of records");
    let master = std::fs::read_to_string(folder.join("master.key")).expect("a master key");
    let master = MasterKey::from_hex(&master).expect("64 hexadecimal digits");
    let options = SqliteOptions {
        path: folder.join("sealgate.db"),
        create: false,
    };
    let store = Sqlite::open(
        options,
        &master,
        Arc::new(SystemRandom),
        Arc::new(SystemClock),
    );
    let store = store.await.expect("a store");
    let keys = every_key(&store).await;

    for start in (0..records).step_by(STEP) {
        let now = SystemClock.now();
        let events = (start..records.min(start + STEP)).map(|n| {
            // A stride that visits every key before any of them twice.
            let key = keys[n.wrapping_mul(7_919) % keys.len()];
            let origin = Origin {
                address: Some([10, 0, 0, 1].into()),
                user_agent: Some("fill_log".to_owned()),
                method: Some("GET".to_owned()),
                path: Some("/api/encrypt".to_owned()),
                request_id: None,
            };
            Event::new(now, Action::RequestRefused, Some(key), &Actor::Key(key))
                .from(&origin)
                .with_status(403)
                .with_details([("reason", "missing_permission".into())])
        });
        let commit = Commit {
            changes: Vec::new(),
            events: events.collect(),
        };
        store.commit(commit).await.expect("written");
    }
    store.close().await;
    println!("{records} records over {} keys", keys.len());
}

async fn every_key(store: &Sqlite) -> Vec<KeyId> {
    let mut keys: Vec<KeyId> = Vec::new();
    loop {
        let page = store
            .keys_after(keys.last().copied(), 10_000)
            .await
            .expect("readable")
            .records;
        if page.is_empty() {
            return keys;
        }
        keys.extend(page.into_iter().map(|key| key.id));
    }
}
