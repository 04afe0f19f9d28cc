//! Tests that every statement is answered from an index, in its order: with millions of rows
//! anything else would show.

#[path = "../../tests/support/postgres_server.rs"]
mod postgres_server;

use std::sync::Arc;

use sealgate_core::clock::{ManualClock, Timestamp};
use sealgate_core::key::{Environment, KeyId, Status};
use sealgate_core::master::MasterKey;
use sealgate_core::random::SystemRandom;
use sealgate_core::secret::Secret;
use sealgate_core::store::{Cursor, KeyQuery, Store as _, UserQuery};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use uuid::Uuid;

use self::postgres_server::PostgresServer;
use super::{
    Postgres, PostgresOptions, addresses, data_keys, feed, health, keys, limits, log, revocations,
    users, uses,
};
use crate::row::listing::{self, Ranges};

/// A connection to a new store, that plans as it would with many rows.
async fn planner() -> PgConnection {
    let url = PostgresServer::shared().database();
    let options = PostgresOptions::parse(&url).unwrap();
    let master = MasterKey::new(Secret::new([1; 32]));
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(0)));
    let store = Postgres::open(options, true, &master, Arc::new(SystemRandom), clock).await;
    store.unwrap().close().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let settings = "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off; \
                    SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(settings)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

async fn assert_indexed(connection: &mut PgConnection, what: &str, sql: &str, may_sort: bool) {
    let placeholders = (1..).take_while(|number| sql.contains(&format!("${number}")));
    let values = vec!["NULL"; placeholders.count()].join(", ");
    let execute = if values.is_empty() {
        "EXECUTE it".to_owned()
    } else {
        format!("EXECUTE it({values})")
    };
    let explain = format!("PREPARE it AS {sql}; EXPLAIN (COSTS OFF) {execute}");
    let steps = sqlx::raw_sql(AssertSqlSafe(explain))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get(0)).collect();
    for step in &steps {
        // A sort within a range is deeper than the one of them all.
        let depth = step.len() - step.trim_start().len();
        let slow = step.contains("Seq Scan") || step.contains("Sort") && (!may_sort || depth > 8);
        assert!(!slow, "{what}: {steps:#?}");
    }
    sqlx::raw_sql("DEALLOCATE it")
        .execute(connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_look_up_uses_an_index_in_its_order() {
    let mut connection = planner().await;
    for sql in [
        keys::BY_ID,
        keys::BY_PREFIXES,
        keys::BY_IDS,
        keys::AFTER,
        keys::TO_EXPIRE,
        feed::POSITION,
        feed::END,
        log::NEWEST,
        log::NEWEST_OF_KEY,
        log::AFTER,
        log::HEAD,
        log::LOCK_HEAD,
        uses::OPEN,
        uses::BEFORE,
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
        limits::PAGE_AFTER,
    ] {
        assert_indexed(&mut connection, sql, sql, false).await;
    }
    // As many rows as were asked for are sorted.
    for sql in [feed::SINCE, keys::LOCK, limits::LOCK, limits::FORGET] {
        assert_indexed(&mut connection, sql, sql, true).await;
    }
}

#[tokio::test]
async fn every_listing_is_a_range_of_an_index_in_its_order() {
    let mut connection = planner().await;
    let id = KeyId(Uuid::from_u128(1));
    let text = Some("a".to_owned());
    for name in [None, text.clone()] {
        for status in [None, Some(Status::Active)] {
            for environment in [None, Some(Environment::Testing)] {
                for after in [None, Some(id)] {
                    let after = after.map(|id| Cursor {
                        name: name.clone(),
                        id,
                    });
                    let query = KeyQuery {
                        name: name.clone(),
                        status,
                        environment,
                        created_before: None,
                        after,
                        limit: 9,
                    };
                    let (sql, _) = listing::keys(&query, Ranges::CutOff)
                        .into_parts(|number| format!("${number}"));
                    // The first rows of several ranges are sorted, each of which is in order.
                    let several = status.is_some() != environment.is_some();
                    let what = format!("{query:?}");
                    assert_indexed(&mut connection, &what, &sql, several).await;
                }
            }
        }
        for is_active in [None, Some(false)] {
            let query = UserQuery {
                name: name.clone(),
                is_active,
                after: text.clone(),
                limit: 9,
            };
            let (sql, _) = listing::users(&query).into_parts(|number| format!("${number}"));
            assert_indexed(&mut connection, &format!("{query:?}"), &sql, false).await;
        }
    }
}
