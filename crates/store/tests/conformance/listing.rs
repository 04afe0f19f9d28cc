//! Listings: every filter, page by page.

use sealgate_core::key::{Environment, KeyId, KeyRecord, Status};
use sealgate_core::store::{KeyQuery, Store, fold};

use super::records::{insert, key, states};
use super::{BIRTH, Engine, change};

pub async fn pages_have_no_gaps_and_no_repeats_under_every_filter(engine: impl Engine) {
    let store = engine.open().await;
    let keys = assorted_keys();
    change(&*store, keys.iter().map(insert)).await;
    let names = [
        None,
        Some(""),
        Some("a"),
        Some("AL"),
        Some("beta 1"),
        Some("zeta"),
    ];
    let statuses = [None].into_iter().chain(Status::ALL.map(Some));
    let environments: Vec<_> = [None]
        .into_iter()
        .chain(Environment::ALL.map(Some))
        .collect();
    for status in statuses {
        for &environment in &environments {
            for name in names {
                for created_before in [None, Some(BIRTH.plus_seconds(60))] {
                    let name = name.map(str::to_owned);
                    let limit = 7;
                    let query = KeyQuery {
                        name,
                        status,
                        environment,
                        created_before,
                        after: None,
                        limit,
                    };
                    assert_eq!(
                        paged(&*store, &query).await,
                        expected(&keys, &query),
                        "{query:?}"
                    );
                }
            }
        }
    }
}

pub async fn names_are_found_by_their_beginning_in_either_case(engine: impl Engine) {
    let store = engine.open().await;
    let names = [
        "Ärger",
        "ärmel",
        "Ar",
        "ARM",
        "армия",
        "🔑 one",
        "🔑",
        "z",
        "\u{10FFFF}x",
    ];
    for (number, name) in (1..).zip(names) {
        change(&*store, [insert(&named(number, name))]).await;
    }
    for (search, found) in [
        ("är", vec!["Ärger", "ärmel"]),
        ("ÄRG", vec!["Ärger"]),
        ("ar", vec!["Ar", "ARM"]),
        ("АРМ", vec!["армия"]),
        ("🔑", vec!["🔑", "🔑 one"]),
        ("\u{10FFFF}", vec!["\u{10FFFF}x"]),
        ("r", vec![]),
    ] {
        assert_eq!(search_names(&*store, search).await, found, "{search}");
    }
    assert_eq!(search_names(&*store, "").await.len(), names.len());
}

pub async fn wildcards_and_quotes_in_a_name_are_plain_text(engine: impl Engine) {
    let store = engine.open().await;
    let names = [
        "%",
        "_",
        "100% sure",
        "a_b",
        "aXb",
        "'; DROP TABLE api_key; --",
        "\\%",
        "[a-z]",
    ];
    for (number, name) in (1..).zip(names) {
        change(&*store, [insert(&named(number, name))]).await;
    }
    for (search, found) in [
        ("%", vec!["%"]),
        ("_", vec!["_"]),
        ("100%", vec!["100% sure"]),
        ("a_", vec!["a_b"]),
        ("'", vec!["'; DROP TABLE api_key; --"]),
        ("\\", vec!["\\%"]),
        ("[", vec!["[a-z]"]),
        ("?", vec![]),
    ] {
        assert_eq!(search_names(&*store, search).await, found, "{search}");
    }
}

pub async fn many_keys_of_one_name_are_paged_by_their_identifiers(engine: impl Engine) {
    let store = engine.open().await;
    let keys: Vec<_> = (1..=20).map(|number| named(number, "Same")).collect();
    change(&*store, keys.iter().map(insert)).await;
    let query = KeyQuery {
        name: Some("same".to_owned()),
        limit: 3,
        ..KeyQuery::default()
    };
    assert_eq!(
        paged(&*store, &query).await,
        keys.iter().map(|key| key.id).collect::<Vec<_>>()
    );
}

/// Keys of all states, environments and a few names, that repeat.
fn assorted_keys() -> Vec<KeyRecord> {
    let states = states();
    let names = [
        "Alpha",
        "alpine",
        "Beta 1",
        "beta 10",
        "BETA 1",
        "al%",
        "Ångström",
    ];
    let keys = (0..120_u32).map(|number| {
        let pick = number as usize;
        KeyRecord {
            state: states[pick % states.len()].clone(),
            environment: Environment::ALL[(pick / 2) % 3],
            name: names[(pick * 5 + pick / 7) % names.len()].to_owned(),
            ..key(number)
        }
    });
    keys.collect()
}

/// What a query should list, page after page.
fn expected(keys: &[KeyRecord], query: &KeyQuery) -> Vec<KeyId> {
    let mut fitting: Vec<&KeyRecord> = keys
        .iter()
        .filter(|key| {
            query
                .status
                .is_none_or(|status| key.state.status() == status)
        })
        .filter(|key| {
            query
                .environment
                .is_none_or(|wanted| key.environment == wanted)
        })
        .filter(|key| {
            query
                .created_before
                .is_none_or(|time| key.created_at < time)
        })
        .filter(|key| {
            query
                .name
                .as_deref()
                .is_none_or(|name| fold(&key.name).starts_with(&fold(name)))
        })
        .collect();
    if query.name.is_some() {
        fitting.sort_by_key(|key| (fold(&key.name), key.id));
    } else {
        fitting.sort_by_key(|key| std::cmp::Reverse(key.id));
    }
    fitting.into_iter().map(|key| key.id).collect()
}

async fn paged(store: &dyn Store, query: &KeyQuery) -> Vec<KeyId> {
    let mut query = query.clone();
    let mut listed = Vec::new();
    loop {
        let page = store.keys(&query).await.unwrap();
        assert!(page.records.len() <= query.limit as usize);
        assert!(page.next.is_none() || page.records.len() == query.limit as usize);
        listed.extend(page.records.iter().map(|key| key.id));
        query.after = page.next;
        if query.after.is_none() {
            return listed;
        }
    }
}

async fn search_names(store: &dyn Store, search: &str) -> Vec<String> {
    let query = KeyQuery {
        name: Some(search.to_owned()),
        limit: 100,
        ..KeyQuery::default()
    };
    store
        .keys(&query)
        .await
        .unwrap()
        .records
        .into_iter()
        .map(|key| key.name)
        .collect()
}

fn named(number: u32, name: &str) -> KeyRecord {
    KeyRecord {
        name: name.to_owned(),
        ..key(number)
    }
}
