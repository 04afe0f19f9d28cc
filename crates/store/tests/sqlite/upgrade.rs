//! A store of an earlier schema: it opens, and what was in it is whole.

use sealgate_core::audit::Query;
use sealgate_core::key::{KeyId, KeyRecord};
use sealgate_core::rate::RateLimit;
use sealgate_core::store::{Change, Commit, FeedPosition, Store};

use crate::conformance::keys::SCHEMA;
use crate::conformance::log::assert_whole;
use crate::conformance::records::{
    data_key, event, full_key, insert, insert_user, key, revoked_token, session_key, signing_key,
    update, user,
};
use crate::{Place, commit};

/// The tables of schema 1 but `meta`.
const TABLES_OF_1: [&str; 8] = [
    "data_encryption_key",
    "api_key",
    "audit",
    "audit_head",
    "feed",
    "uses",
    "lineage_key",
    "signing_key",
];

/// The tables that schema 2 added.
const TABLES_OF_2: [&str; 4] = ["user_account", "revocation", "session_key", "known_address"];

/// The columns that later schemas added to these tables.
const COLUMNS_SINCE_2: [&str; 5] = [
    "api_key.rate_limit_window_seconds",
    "signing_key.purpose",
    "signing_key.signs_from",
    "signing_key.verify_until",
    "session_key.signs_from",
];

const FIRST: &str = include_str!("../../migrations/sqlite/0001_first.sql");
const USERS: &str = include_str!("../../migrations/sqlite/0002_users.sql");

/// Builds a store of schema 1 from that version's own SQL, with the content of a newer one.
async fn schema_1_with_content_of(newer: &Place) -> Place {
    let meta = "(only, schema_version, key_count, feed_floor) SELECT 1, 1, key_count, feed_floor";
    older_with_content_of(newer, FIRST, &TABLES_OF_1, meta).await
}

/// Builds a store of schema 2 from that version's own SQL, with the content of a newer one.
async fn schema_2_with_content_of(newer: &Place) -> Place {
    let meta = "(only, schema_version, key_count, feed_floor, user_count) \
                SELECT 1, 2, key_count, feed_floor, user_count";
    let tables = [&TABLES_OF_1[..], &TABLES_OF_2].concat();
    older_with_content_of(newer, &format!("{FIRST} {USERS}"), &tables, meta).await
}

async fn older_with_content_of(newer: &Place, schema: &str, tables: &[&str], meta: &str) -> Place {
    let place = Place::new();
    for column in COLUMNS_SINCE_2 {
        let (table, column) = column.split_once('.').unwrap();
        let sql = format!("ALTER TABLE {table} DROP COLUMN {column}");
        newer.tamper(&sql).await;
    }
    let copies: Vec<String> = tables
        .iter()
        .map(|table| format!("INSERT INTO main.{table} SELECT * FROM newer.{table};"))
        .collect();
    let sql = format!(
        "PRAGMA journal_mode = WAL; {schema} ATTACH '{}' AS newer; {} \
         INSERT INTO main.meta {meta} FROM newer.meta;",
        newer.file().display(),
        copies.concat()
    );
    place.tamper(&sql).await;
    place
}

#[tokio::test]
async fn a_store_of_schema_1_keeps_its_keys_and_its_log() {
    let newer = Place::new();
    let store = newer.open().await;
    let server_keys = [
        Change::InsertDataKey(data_key(key(1).id, 1)),
        Change::InsertSigningKey(signing_key(1)),
    ];
    commit(&store, [insert(&key(1)), insert(&full_key(2))]).await;
    commit(&store, server_keys).await;
    store.close().await;
    let place = schema_1_with_content_of(&newer).await;

    let store = place.open().await;
    let health = store.health().await.unwrap();
    assert_eq!((health.schema, health.keys, health.users), (SCHEMA, 2, 0));
    assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
    assert_eq!(store.key(key(2).id).await.unwrap(), Some(full_key(2)));
    assert_eq!(
        store.data_keys(key(1).id).await.unwrap(),
        [data_key(key(1).id, 1)]
    );
    assert_eq!(store.signing_keys().await.unwrap(), [signing_key(1)]);
    assert_eq!(assert_whole(&store).await, 1 + 2);
    let feed = store.feed_since(FeedPosition(0), 100).await.unwrap();
    assert_eq!((feed.keys.len(), feed.lost), (2, false));

    let changes = [
        insert_user(&user(1)),
        Change::Revoke(revoked_token(1, 60)),
        Change::InsertSessionKey(session_key(1)),
    ];
    commit(&store, changes).await;
    assert_eq!(store.user("user-1").await.unwrap(), Some(user(1)));
    let feed = store.feed_since(feed.position, 100).await.unwrap();
    assert_eq!(feed.revocations, [revoked_token(1, 60)]);
    assert!(feed.session_keys);
    assert_eq!(assert_whole(&store).await, 1 + 3);
    store.close().await;

    let again = place.open().await;
    assert_eq!(assert_whole(&again).await, 1 + 3, "it upgrades once");
    assert_eq!(again.health().await.unwrap().users, 1);
}

#[tokio::test]
async fn a_process_of_schema_1_goes_on_working_after_the_upgrade() {
    let place = Place::new();
    let store = place.open().await;
    let begin = store.feed_position().await.unwrap();
    let revoked = Change::Revoke(revoked_token(1, 60));
    commit(&store, [insert(&key(1)), insert_user(&user(1)), revoked]).await;
    for written in [
        "UPDATE meta SET key_count = key_count + 1",
        "INSERT INTO feed (kind, subject) VALUES ('signing_key', 'x')",
    ] {
        assert_eq!(place.tamper(written).await, 1, "{written}");
    }
    // What it follows the feed and answers health checks with.
    for read in [
        "SELECT id, expires_at, feed_floor, (SELECT max(sequence) FROM feed), sequence, kind, \
         subject FROM meta LEFT JOIN feed ON sequence > 0 LEFT JOIN api_key ON id = subject \
         WHERE only = 1 ORDER BY sequence LIMIT 9",
        "SELECT sqlite_version(), schema_version, key_count FROM meta WHERE meta.only = 1",
    ] {
        place.tamper(read).await;
    }
    let feed = store.feed_since(begin, 100).await.unwrap();
    assert!(feed.signing_keys && feed.revocations == [revoked_token(1, 60)]);
    assert_eq!(store.health().await.unwrap().keys, 2);
}

/// The columns of a key in schema 2.
const KEY_OF_2: &str = "id, prefix, salt, hash, token_secret, name, name_folded, description, \
    permissions, is_admin, environment, rate_limit, allowed_ips, status, rotated_to, grace_until, \
    revoked_at, revoke_reason, created_at, expires_at, rotated_from, lineage, last_used_at, \
    use_count, version";

fn limited(number: u32, window_seconds: u32) -> KeyRecord {
    KeyRecord {
        rate_limit: RateLimit::new(5, window_seconds).ok(),
        ..key(number)
    }
}

#[tokio::test]
async fn the_limits_of_a_store_of_schema_2_are_of_an_hour_and_can_be_changed() {
    let newer = Place::new();
    let store = newer.open().await;
    let before = [key(1), limited(2, 3_600), full_key(3)];
    commit(&store, before.iter().map(insert)).await;
    commit(&store, [insert_user(&user(1))]).await;
    store.close().await;
    let place = schema_2_with_content_of(&newer).await;

    let store = place.open().await;
    let health = store.health().await.unwrap();
    assert_eq!((health.schema, health.keys, health.users), (SCHEMA, 3, 1));
    for key in &before {
        assert_eq!(store.key(key.id).await.unwrap().as_ref(), Some(key));
    }
    assert_eq!(store.user("user-1").await.unwrap(), Some(user(1)));
    assert_eq!(assert_whole(&store).await, 1 + 2);

    commit(&store, [update(&limited(2, 60)), insert(&limited(4, 1))]).await;
    let changed = KeyRecord {
        version: 2,
        ..limited(2, 60)
    };
    store.close().await;
    let again = place.open().await;
    assert_eq!(again.key(key(2).id).await.unwrap(), Some(changed));
    assert_eq!(again.key(key(4).id).await.unwrap(), Some(limited(4, 1)));
}

#[tokio::test]
async fn what_a_process_of_schema_2_writes_after_the_upgrade_is_read() {
    let place = Place::new();
    let store = place.open().await;
    let keys = [key(1), limited(2, 3_600)];
    commit(&store, keys.iter().map(insert)).await;
    // It names the columns it knows; the rows are those that it would have written.
    let sql = format!(
        "CREATE TEMP TABLE old AS SELECT {KEY_OF_2} FROM api_key; DELETE FROM api_key; \
         INSERT INTO api_key ({KEY_OF_2}) SELECT * FROM old;"
    );
    place.tamper(&sql).await;
    for key in keys {
        assert_eq!(store.key(key.id).await.unwrap(), Some(key));
    }
}

/// The places of a key's records, newest first.
async fn records_of(store: &dyn Store, key_id: KeyId) -> Vec<u64> {
    let query = Query {
        key_id: Some(key_id),
        before: None,
        limit: 10,
    };
    let records = store.audit(&query).await.unwrap();
    records.iter().map(|record| record.sequence).collect()
}

#[tokio::test]
async fn the_records_of_a_key_are_found_in_a_store_of_schema_2() {
    let newer = Place::new();
    let store = newer.open().await;
    let record = |id, number| Commit {
        changes: vec![],
        events: vec![event(Some(id), number)],
    };
    let (one, other) = (key(1).id, key(2).id);
    for (number, id) in (2..).zip([one, other, one]) {
        store.commit(record(id, number)).await.unwrap();
    }
    store.close().await;
    let place = schema_2_with_content_of(&newer).await;

    let store = place.open().await;
    store.commit(record(one, 5)).await.unwrap();
    assert_eq!(records_of(&store, one).await, [5, 4, 2]);
    assert_eq!(records_of(&store, other).await, [3]);
    assert_eq!(assert_whole(&store).await, 5);
}
