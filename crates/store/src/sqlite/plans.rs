//! Tests that every statement is answered from an index, in its order: with millions of rows
//! anything else would show.

use sealgate_core::clock::Timestamp;
use sealgate_core::key::{Environment, KeyId, Status};
use sealgate_core::store::{Cursor, KeyQuery, UserQuery};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::fixture::Fixture;
use super::{addresses, data_keys, feed, health, keys, log, revocations, use_batch, users, uses};
use crate::row::listing::{self, Ranges};

async fn assert_indexed(fixture: &Fixture, what: &str, sql: &str) {
    let mut connection = fixture.connect().await;
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps = sqlx::query(explain)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    assert!(
        steps.iter().any(|step| step.starts_with("SEARCH")),
        "{what}: {steps:#?}"
    );
    for step in &steps {
        // The partial index has the active administrators alone; the others are what was bound.
        let few = step.contains("api_key_active_admin")
            || step.starts_with("SCAN added")
            || step.starts_with("SCAN json_each");
        let slow = step.starts_with("SCAN") && !few || step.contains("TEMP B-TREE");
        assert!(!slow || step.contains("CONSTANT ROW"), "{what}: {steps:#?}");
    }
}

#[tokio::test]
async fn every_look_up_uses_an_index_in_its_order() {
    let fixture = Fixture::new().await;
    let added = uses::ADD_TO_KEYS.sql(3);
    for sql in [
        keys::BY_ID,
        keys::BY_PREFIXES,
        keys::BY_IDS,
        keys::AFTER,
        keys::TO_EXPIRE,
        feed::POSITION,
        feed::SINCE,
        log::NEWEST,
        log::NEWEST_OF_KEY,
        log::AFTER,
        log::HEAD,
        uses::OPEN,
        uses::BEFORE,
        uses::DELETE_UP_TO,
        use_batch::OLDEST,
        use_batch::DELETE,
        use_batch::SET_ASIDE,
        &added,
        data_keys::DATA_KEYS,
        health::FACTS,
        users::BY_NAME,
        users::UPDATE,
        users::REMOVE,
        users::NOTE_LOGIN,
        revocations::AFTER,
        revocations::FORGET,
        addresses::NEWEST,
        addresses::KEEP_NEWEST,
        addresses::FORGET,
        addresses::FORGET_OF_USER,
    ] {
        assert_indexed(&fixture, sql, sql).await;
    }
}

#[tokio::test]
async fn every_listing_is_a_range_of_an_index_in_its_order() {
    let fixture = Fixture::new().await;
    let time = Timestamp::from_seconds(1);
    let id = KeyId(Uuid::from_u128(1));
    let name = Some("a".to_owned());
    for name in [None, name.clone()] {
        for status in [None, Some(Status::Active)] {
            for environment in [None, Some(Environment::Testing)] {
                for created_before in [None, Some(time)] {
                    for after in [
                        None,
                        Some(Cursor {
                            name: name.clone(),
                            id,
                        }),
                    ] {
                        let name = name.clone();
                        let query = KeyQuery {
                            name,
                            status,
                            environment,
                            created_before,
                            after,
                            limit: 9,
                        };
                        let (sql, _) =
                            listing::keys(&query, Ranges::Merged).into_parts(|_| "?".to_owned());
                        let what = format!("{query:?}");
                        assert_indexed(&fixture, &what, &sql).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn every_listing_of_users_is_a_range_of_an_index_in_its_order() {
    let fixture = Fixture::new().await;
    let text = Some("a".to_owned());
    for name in [None, text.clone()] {
        for is_active in [None, Some(false)] {
            for after in [None, text.clone()] {
                let query = UserQuery {
                    name: name.clone(),
                    is_active,
                    after,
                    limit: 9,
                };
                let (sql, _) = listing::users(&query).into_parts(|_| "?".to_owned());
                let what = format!("{query:?}");
                assert_indexed(&fixture, &what, &sql).await;
            }
        }
    }
}
