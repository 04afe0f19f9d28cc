//! Keys one by one: written, read, changed, found.

use sealgate_core::key::{Environment, KeyId, KeyPrefix, KeyRecord, KeyState};
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::rate::RateLimit;
use sealgate_core::secret::Secret;
use sealgate_core::store::{Commit, StoreError};

use super::records::{event, full_key, insert, key, states, update};
use super::{BIRTH, Engine, change};

/// The newest version of the schema.
pub const SCHEMA: u32 = 7;

pub async fn every_field_of_a_key_in_every_state_reads_back(engine: impl Engine) {
    let store = engine.open().await;
    for (number, state) in (0_u32..).zip(states()) {
        let another_window = KeyRecord {
            rate_limit: RateLimit::new(7, 2_592_000).ok(),
            ..key(10 * number + 2)
        };
        for record in [key(10 * number), full_key(10 * number + 1), another_window] {
            let record = KeyRecord {
                state: state.clone(),
                ..record
            };
            change(&*store, [insert(&record)]).await;
            assert_eq!(store.key(record.id).await.unwrap().unwrap(), record);
        }
    }
}

pub async fn a_key_that_is_not_there_is_nothing(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.key(key(1).id).await.unwrap(), None);
    assert_eq!(
        store
            .keys_with_prefixes(&[key(1).prefix])
            .await
            .unwrap()
            .records,
        []
    );
    assert_eq!(store.keys_after(None, 10).await.unwrap().records, []);
}

pub async fn an_update_writes_every_setting_but_the_uses_and_the_version_grows(
    engine: impl Engine,
) {
    let store = engine.open().await;
    let before = full_key(1);
    change(&*store, [insert(&before)]).await;
    for (version, state) in (1..).zip(states()) {
        let wanted = KeyRecord {
            state,
            token_secret: Secret::new([9; 32]),
            name: "Another".to_owned(),
            description: "Other".to_owned(),
            permissions: Permissions::parse("").unwrap(),
            is_admin: false,
            environment: Environment::Development,
            rate_limit: RateLimit::new(5, 60).ok(),
            allowed_ips: AllowList::parse(&["::1"]).unwrap(),
            expires_at: None,
            last_used_at: None,
            use_count: 3,
            version,
            ..before.clone()
        };
        change(&*store, [update(&wanted)]).await;
        let (last_used_at, use_count) = (before.last_used_at, before.use_count);
        let expected = KeyRecord {
            last_used_at,
            use_count,
            version: version + 1,
            ..wanted
        };
        assert_eq!(store.key(before.id).await.unwrap().unwrap(), expected);
    }
}

pub async fn an_update_of_a_stale_version_is_a_conflict(engine: impl Engine) {
    let store = engine.open().await;
    let read = key(1);
    change(&*store, [insert(&read)]).await;
    change(
        &*store,
        [update(&KeyRecord {
            name: "First".to_owned(),
            ..read.clone()
        })],
    )
    .await;
    let late = update(&KeyRecord {
        name: "Second".to_owned(),
        ..read.clone()
    });
    let refusal = store
        .commit(Commit {
            changes: vec![late],
            events: vec![],
        })
        .await;
    assert_eq!(refusal, Err(StoreError::Conflict));
    assert_eq!(store.key(read.id).await.unwrap().unwrap().name, "First");
}

pub async fn an_update_of_a_key_that_is_not_there_is_a_conflict(engine: impl Engine) {
    let store = engine.open().await;
    let refusal = store
        .commit(Commit {
            changes: vec![update(&key(1))],
            events: vec![],
        })
        .await;
    assert_eq!(refusal, Err(StoreError::Conflict));
}

pub async fn a_key_can_be_inserted_once(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert(&key(1))]).await;
    let again = KeyRecord {
        name: "Again".to_owned(),
        ..key(1)
    };
    let refusal = store
        .commit(Commit {
            changes: vec![insert(&again)],
            events: vec![],
        })
        .await;
    assert_eq!(refusal, Err(StoreError::Conflict));
    assert_eq!(store.key(again.id).await.unwrap().unwrap(), key(1));
}

pub async fn keys_are_found_by_any_of_some_names_oldest_first(engine: impl Engine) {
    let store = engine.open().await;
    let prefix = KeyPrefix::parse("same-_00").unwrap();
    let twins = [2, 1, 3].map(|number| KeyRecord {
        prefix,
        ..key(number)
    });
    let (alone, unwanted) = (key(4), key(5));
    let others = [&alone, &unwanted];
    change(&*store, twins.iter().chain(others).map(insert)).await;
    let [two, one, three] = twins;

    let with_prefixes = async |prefixes: &[KeyPrefix]| {
        let found = store.keys_with_prefixes(prefixes).await.unwrap();
        found.records
    };
    let other_case = KeyPrefix::parse("SAME-_00").unwrap();
    assert_eq!(with_prefixes(&[]).await, []);
    assert_eq!(with_prefixes(&[other_case]).await, []);
    let all = [one.clone(), two.clone(), three];
    assert_eq!(with_prefixes(&[prefix]).await, all);
    let [one_of_all, two_of_all, three_of_all] = all;
    assert_eq!(
        with_prefixes(&[alone.prefix, other_case, prefix, prefix]).await,
        [one_of_all, two_of_all, three_of_all, alone.clone()]
    );

    let with_ids = async |ids: &[KeyId]| store.keys_with_ids(ids).await.unwrap().records;
    assert_eq!(with_ids(&[]).await, []);
    assert_eq!(with_ids(&[key(9).id]).await, []);
    assert_eq!(
        with_ids(&[alone.id, key(9).id, two.id, one.id, one.id]).await,
        [one, two, alone]
    );
}

pub async fn all_keys_are_loaded_in_the_order_of_their_identifiers(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [5, 3, 1, 4, 2].map(|number| insert(&key(number)))).await;
    let (mut loaded, mut after) = (Vec::new(), None);
    for size in [2, 2, 1] {
        let page = store.keys_after(after, 2).await.unwrap();
        assert_eq!(page.records.len(), size);
        loaded.extend(page.records);
        after = page.next.map(|next| next.id);
    }
    assert_eq!(after, None);
    assert_eq!(loaded, [1, 2, 3, 4, 5].map(key));
}

pub async fn keys_past_their_expiry_are_found_until_that_is_recorded(engine: impl Engine) {
    let store = engine.open().await;
    let expiring = |number: u32, state: KeyState, after: i64| KeyRecord {
        state,
        expires_at: Some(BIRTH.plus_seconds(after)),
        ..key(number)
    };
    let due = [
        expiring(3, KeyState::Active, 50),
        expiring(1, KeyState::Active, 60),
    ];
    let at_the_moment = expiring(2, KeyState::Active, 100);
    let (later, never) = (expiring(4, KeyState::Active, 101), key(99));
    let ended = states().into_iter().skip(1).zip(5..);
    let ended = ended.map(|(state, number)| expiring(number, state, 10));
    let keys = due
        .iter()
        .chain([&at_the_moment, &later, &never])
        .cloned()
        .chain(ended);
    change(&*store, keys.map(|key| insert(&key))).await;

    let now = BIRTH.plus_seconds(100);
    let [first, second] = due;
    let found = store.keys_to_expire(now, 10).await.unwrap().records;
    assert_eq!(
        found,
        [first.clone(), second.clone(), at_the_moment.clone()]
    );
    assert_eq!(
        store.keys_to_expire(now, 1).await.unwrap().records,
        std::slice::from_ref(&first)
    );
    change(
        &*store,
        [update(&KeyRecord {
            state: KeyState::Expired,
            ..first
        })],
    )
    .await;
    assert_eq!(
        store.keys_to_expire(now, 10).await.unwrap().records,
        [second, at_the_moment]
    );
}

pub async fn health_counts_keys_active_admins_and_records(engine: impl Engine) {
    let store = engine.open().await;
    let admin = |number, state| KeyRecord {
        is_admin: true,
        state,
        ..key(number)
    };
    let keys = [
        key(1),
        admin(2, KeyState::Active),
        admin(3, KeyState::Disabled),
    ];
    let changes = keys.iter().map(insert).collect();
    store
        .commit(Commit {
            changes,
            events: vec![event(None, 1)],
        })
        .await
        .unwrap();
    let failing = Commit {
        changes: vec![insert(&key(4)), insert(&key(1))],
        events: vec![],
    };
    store.commit(failing).await.unwrap_err();
    let health = store.health().await.unwrap();
    assert_eq!(
        (health.keys, health.active_admins, health.audit_records),
        (3, 1, 2)
    );
    assert_eq!(health.schema, SCHEMA);
    assert!(
        health.engine.contains(char::is_numeric),
        "{}",
        health.engine
    );
}
