//! What stands up to somebody who can read the file, or write to it behind the store's back.

use sealgate_core::key::{KeyRecord, KeyState};
use sealgate_core::network::AllowList;
use sealgate_core::rate::RateLimit;
use sealgate_core::secret::Secret;
use sealgate_core::store::{
    Change, Commit, DataKey, KeyQuery, Keys, SigningKeyRecord, Store as _, StoreError,
};
use zeroize::Zeroizing;

use crate::conformance::BIRTH;
use crate::conformance::records::{data_key, event, insert, key, signing_key, update};
use crate::{Place, commit, is_unreadable};

#[tokio::test]
async fn no_secret_can_be_read_in_the_file() {
    let place = Place::new();
    let store = place.open().await;
    let planted = b"a planted secret of 32 bytes, ok";
    let keys = [key(1), key(2)].map(|key| KeyRecord {
        token_secret: Secret::new(*planted),
        ..key
    });
    let changes = [
        insert(&keys[0]),
        insert(&keys[1]),
        Change::InsertDataKey(DataKey {
            key: Secret::new(*planted),
            ..data_key(key(1).id, 1)
        }),
        Change::InsertSigningKey(SigningKeyRecord {
            pkcs8: Zeroizing::new(planted.to_vec()),
            ..signing_key(1)
        }),
    ];
    commit(&store, changes).await;
    commit(&store, [update(&keys[0])]).await;
    let holds = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|at| at == needle);
    let in_use = place.bytes();
    store.close().await;
    let closed = place.bytes();
    assert!(
        holds(&closed, keys[0].name.as_bytes()),
        "the search finds what is there"
    );
    assert!(!holds(&in_use, &planted[..12]));
    assert!(!holds(&closed, &planted[..12]));
}

#[tokio::test]
async fn an_encrypted_value_moved_to_another_row_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [insert(&key(1)), insert(&key(2))]).await;
    let (one, two) = (key(1).id, key(2).id);
    let moved = format!(
        "UPDATE api_key SET token_secret = (SELECT token_secret FROM api_key WHERE id = '{two}') \
         WHERE id = '{one}'"
    );
    assert_eq!(place.tamper(&moved).await, 1);
    is_unreadable(store.key(one).await, "token_secret");
    let loaded = store.keys_after(None, 10).await.unwrap();
    assert_eq!((loaded.records, loaded.damaged), (vec![key(2)], vec![one]));
    assert_eq!(store.key(two).await.unwrap(), Some(key(2)));
}

#[tokio::test]
async fn pages_go_on_past_damaged_keys_and_name_them() {
    let place = Place::new();
    let store = place.open().await;
    let position = store.feed_position().await.unwrap();
    commit(&store, (1..=6).map(|number| insert(&key(number)))).await;
    let damaged = [2, 3, 4].map(|number| key(number).id);
    for id in damaged {
        let sql = format!("UPDATE api_key SET permissions = '*' WHERE id = '{id}'");
        assert_eq!(place.tamper(&sql).await, 1);
    }
    let (mut loaded, mut after) = (Keys::default(), None);
    loop {
        let page = store.keys_after(after, 2).await.unwrap();
        loaded.records.extend(page.records);
        loaded.damaged.extend(page.damaged);
        after = page.next.map(|next| next.id);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(loaded.records, [1, 5, 6].map(key));
    assert_eq!(loaded.damaged, damaged);

    for name in [None, Some(String::new())] {
        let (mut listed, mut names) = (0, 0);
        let mut query = KeyQuery {
            name,
            limit: 1,
            ..KeyQuery::default()
        };
        loop {
            let page = store.keys(&query).await.unwrap();
            listed += page.records.len();
            names += page.damaged.len();
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!((listed, names), (3, 3));
    }
    let feed = store.feed_since(position, 100).await.unwrap();
    assert_eq!(
        (feed.keys.len(), feed.damaged.as_slice()),
        (3, &damaged[..])
    );
    let twin = store.keys_with_prefixes(&[key(2).prefix]).await.unwrap();
    assert!(twin.damaged.contains(&damaged[0]), "{twin:?}");
}

#[tokio::test]
async fn a_row_with_no_identifier_keeps_no_other_from_being_read() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, (1..=3).map(|number| insert(&key(number)))).await;
    let id = key(2).id;
    for garbage in ["'zzz'", "upper(id)", "''", "CAST(x'FF' AS TEXT)"] {
        place
            .tamper(&format!(
                "UPDATE api_key SET id = {garbage} WHERE created_at = \
                 (SELECT created_at FROM api_key WHERE id = '{id}')"
            ))
            .await;
        let loaded = store.keys_after(None, 2).await.unwrap();
        assert!(loaded.records.contains(&key(1)), "{garbage}");
    }
}

#[tokio::test]
async fn an_encrypted_value_moved_to_another_version_or_table_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let id = key(1).id;
    let data_keys = [1, 2].map(|version| Change::InsertDataKey(data_key(id, version)));
    commit(
        &store,
        data_keys
            .into_iter()
            .chain([Change::InsertSigningKey(signing_key(1))]),
    )
    .await;
    let first = "(SELECT key FROM lineage_key WHERE version = 1)";
    place
        .tamper(&format!(
            "UPDATE lineage_key SET key = {first} WHERE version = 2"
        ))
        .await;
    place
        .tamper(&format!("UPDATE signing_key SET pkcs8 = {first}"))
        .await;
    is_unreadable(store.data_keys(id).await, "lineage_key.key");
    is_unreadable(store.signing_keys().await, "signing_key.pkcs8");
}

#[tokio::test]
async fn a_flipped_byte_of_an_encrypted_value_is_an_error() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [insert(&key(1))]).await;
    let id = key(1).id;
    for damaged in [
        "x''",
        "x'00'",
        "x'00000001'",
        "zeroblob(64)",
        "substr(token_secret, 1, 63)",
    ] {
        place
            .tamper(&format!("UPDATE api_key SET token_secret = {damaged}"))
            .await;
        is_unreadable(store.key(id).await, "token_secret");
    }
}

#[tokio::test]
async fn a_damaged_value_is_an_error_that_names_its_column_and_not_the_value() {
    for (column, value) in [
        ("prefix", "'short'"),
        ("salt", "x'00'"),
        ("hash", "x''"),
        ("permissions", "'no permission'"),
        ("environment", "'moon'"),
        ("rate_limit", "-1"),
        ("rate_limit_window_seconds", "-1"),
        ("allowed_ips", "'10.0.0.0/99'"),
        ("status", "'undead'"),
        ("lineage", "'x'"),
        ("use_count", "-5"),
        ("version", "4294967296"),
    ] {
        let place = Place::new();
        let store = place.open().await;
        commit(&store, [insert(&key(1))]).await;
        place
            .tamper(&format!("UPDATE api_key SET {column} = {value}"))
            .await;
        let refusal = store.key(key(1).id).await;
        is_unreadable(refusal.clone(), column);
        let shown = refusal.unwrap_err().to_string();
        assert!(
            !shown.contains(value.trim_matches('\'')) || value == "-1",
            "{shown}"
        );
    }
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [insert(&key(1))]).await;
    place.tamper("UPDATE api_key SET status = 'revoked'").await;
    is_unreadable(store.key(key(1).id).await, "revoked");
}

#[tokio::test]
async fn nothing_is_written_after_an_altered_end_of_the_log() {
    for altered in [
        "UPDATE audit_head SET sequence = 1",
        "UPDATE audit_head SET hash = zeroblob(32)",
        "UPDATE audit_head SET seal = zeroblob(32)",
        "DELETE FROM audit_head",
    ] {
        let place = Place::new();
        let store = place.open().await;
        commit(&store, [insert(&key(1))]).await;
        assert_eq!(place.tamper(altered).await, 1);
        let changes = vec![insert(&key(2))];
        let refusal = store
            .commit(Commit {
                changes,
                events: vec![event(None, 2)],
            })
            .await;
        is_unreadable(refusal, "the audit log was altered");
        is_unreadable(store.commit(record()).await, "the audit log was altered");
        is_unreadable(
            store.close_uses(BIRTH, BIRTH, 1).await,
            "the audit log was altered",
        );
        assert_eq!(
            store.keys_after(None, 10).await.unwrap().records,
            [key(1)],
            "it can still be read"
        );
    }
}

#[tokio::test]
async fn a_record_slipped_in_after_the_end_of_the_log_is_noticed() {
    let place = Place::new();
    let store = place.open().await;
    place
        .tamper(
            "INSERT INTO audit SELECT 2, time, action, key_id, actor, address, user_agent, \
                  method, path, status, request_id, details, hash FROM audit",
        )
        .await;
    is_unreadable(store.commit(record()).await, "the audit log was altered");
}

#[tokio::test]
async fn a_record_slipped_in_while_others_are_written_is_noticed() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(record()).await.unwrap();
    place
        .tamper(
            "INSERT INTO audit SELECT 3, time, action, key_id, actor, address, user_agent, \
                  method, path, status, request_id, details, hash FROM audit WHERE sequence = 2",
        )
        .await;
    is_unreadable(store.commit(record()).await, "the audit log was altered");
}

/// A record and nothing else.
fn record() -> Commit {
    Commit {
        changes: vec![],
        events: vec![event(None, 2)],
    }
}

#[tokio::test]
async fn a_record_that_its_key_does_not_list_is_as_good_as_one_taken_away() {
    let place = Place::new();
    let store = place.open().await;
    let id = Some(key(1).id);
    for number in 2..=4 {
        let events = vec![event(id, number)];
        let changes = vec![];
        store.commit(Commit { changes, events }).await.unwrap();
    }
    place
        .tamper(
            "UPDATE meta SET audit_listed = 4; INSERT INTO audit_of_key \
             SELECT key_id, sequence FROM audit WHERE sequence IN (2, 4)",
        )
        .await;
    let found = store.audit_after(0, 10).await.unwrap();
    assert_eq!(found.len(), 2, "those before it can be read");
    let next = store.audit_after(2, 10).await;
    assert_eq!(next, Err(StoreError::DamagedRecord(3)));
    assert_eq!(store.audit_after(3, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_given_rights_or_life_behind_the_stores_back_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let alterations = [
        "is_admin = 1",
        "permissions = '*'",
        "environment = 'testing'",
        "allowed_ips = ''",
        "rate_limit = NULL",
        "rate_limit = 6",
        "rate_limit_window_seconds = 1",
        "rate_limit_window_seconds = 3600",
        "status = 'active', revoked_at = NULL",
        "expires_at = NULL",
        "expires_at = 9000000000000",
        "hash = zeroblob(32)",
        "salt = zeroblob(16)",
        "prefix = 'ZZZZZZZZ'",
        "version = version + 1",
        "lineage = '00000000-0000-7000-8000-000000000000'",
    ];
    for (n, alteration) in (1..).zip(alterations) {
        let key = KeyRecord {
            state: KeyState::Revoked {
                at: BIRTH,
                reason: None,
                rotated_to: None,
            },
            expires_at: Some(BIRTH.plus_days(1)),
            rate_limit: RateLimit::new(5, 60).ok(),
            allowed_ips: AllowList::parse(&["10.0.0.0/8"]).unwrap(),
            ..key(n)
        };
        commit(&store, [insert(&key)]).await;
        assert_eq!(store.key(key.id).await.unwrap().as_ref(), Some(&key));
        let id = key.id;
        let sql = format!("UPDATE api_key SET {alteration} WHERE id = '{id}'");
        assert_eq!(place.tamper(&sql).await, 1, "{alteration}");
        is_unreadable(store.key(id).await, "token_secret");
    }
}

#[tokio::test]
async fn a_retired_server_key_cannot_be_made_to_sign_again() {
    for alteration in [
        "verify_until = NULL",
        "verify_until = verify_until + 1",
        "signs_from = 0",
        "created_at = created_at + 1",
    ] {
        let place = Place::new();
        let store = place.open().await;
        let retire = Change::RetireSigningKeys {
            verify_until: BIRTH.plus_days(7),
        };
        commit(&store, [Change::InsertSigningKey(signing_key(1)), retire]).await;
        let sql = format!("UPDATE signing_key SET {alteration}");
        assert_eq!(place.tamper(&sql).await, 1, "{alteration}");
        is_unreadable(store.signing_keys().await, "signing_key.pkcs8");
    }
}
