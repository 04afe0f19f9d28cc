//! Limits of requests on a server of Redis.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::Duration;

use sealgate_core::key::KeyId;
use sealgate_core::rate::{Handed, RateLimit, Used};
use sealgate_core::shared_limits::{Ask, LimitKeeper as _, MOST_ASKS};
use sealgate_store::Redis;
use uuid::Uuid;

use self::redis_server::{PASSWORD, RedisServer};

/// Nothing of it comes back during a test.
fn month(requests: u32) -> RateLimit {
    RateLimit::new(requests, 2_592_000).unwrap()
}

fn ask(lineage: u128, limit: RateLimit, wanted: u32) -> Ask {
    Ask {
        lineage: KeyId(Uuid::from_u128(lineage)),
        limit,
        returned: 0,
        wanted,
    }
}

async fn take(redis: &Redis, ask: Ask) -> Handed {
    redis.take(&[ask]).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_take_at_once_get_exactly_the_limit() {
    let server = RedisServer::start();
    let takers = (0..6).map(|_| {
        let redis = Redis::new(&server.url()).unwrap();
        tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..40 {
                taken += take(&redis, ask(1, month(100), 3)).await.requests;
            }
            taken
        })
    });
    let mut taken = 0;
    for taker in takers.collect::<Vec<_>>() {
        taken += taker.await.unwrap();
    }
    assert_eq!(taken, 100);
}

/// Whatever is asked, the server answers what the rule answers here.
#[tokio::test]
async fn the_script_is_the_rule() {
    let server = RedisServer::start();
    let redis = Redis::new(&server.url()).unwrap();
    let limits = [
        month(1),
        month(7),
        month(1_000_003),
        month(u32::MAX),
        RateLimit::new(13, 86_400).unwrap(),
        RateLimit::new(2_000, 2_000_000).unwrap(),
    ];
    let mut asks = Vec::new();
    for (place, limit) in (0_u32..).zip(limits) {
        for round in 0..40_u32 {
            let wanted = limit.requests() / 30 * (round % 5) + round % 4;
            let share =
                i64::from(limit.window_seconds()) * 1_000_000_000 / i64::from(limit.requests());
            let returned = if round % 3 == 2 {
                share / 2 * i64::from(round)
            } else {
                0
            };
            asks.push(Ask {
                returned,
                // Some are of one key, whose limit is changed.
                ..ask(u128::from(place.min(4)), limit, wanted)
            });
        }
    }
    let mut used = std::collections::HashMap::new();
    let handed = redis.take(&asks).await.unwrap();
    for (ask, handed) in asks.iter().zip(handed) {
        let used = used
            .entry(ask.lineage)
            .or_insert(Used::nothing_of(ask.limit));
        let expected = used.hand_out(ask.limit, ask.returned, ask.wanted, 0);
        // Some milliseconds pass there, in which a limit of many is given back a bit.
        let close = u32::try_from(u64::from(ask.limit.requests()) / 10_000_000).unwrap();
        assert!(
            handed.requests.abs_diff(expected.requests) <= close,
            "{ask:?}: {handed:?}, {expected:?}"
        );
        let apart = (handed.missing - expected.missing).abs();
        assert!(apart < 60_000_000_000, "{ask:?}: {handed:?}, {expected:?}");
    }
}

#[tokio::test]
async fn time_is_the_servers_and_what_is_whole_again_is_forgotten() {
    let server = RedisServer::start();
    let redis = Redis::new(&server.url()).unwrap();
    let second = RateLimit::new(5, 1).unwrap();
    let handed = take(&redis, ask(1, second, 9)).await;
    assert_eq!((handed.requests, handed.missing), (5, 1_000_000_000));
    assert_eq!(take(&redis, ask(1, second, 9)).await.requests, 0);
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert!((2..=4).contains(&take(&redis, ask(1, second, 9)).await.requests));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: usize = redis::cmd("DBSIZE")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn as_many_limits_as_may_be_asked_for_at_once_are_taken_at_once() {
    let server = RedisServer::start();
    let redis = Redis::new(&server.url()).unwrap();
    let asks: Vec<Ask> = (0..MOST_ASKS as u128)
        .map(|key| ask(key, month(10), 1))
        .collect();
    for _ in 0..3 {
        let handed = redis.take(&asks).await.unwrap();
        assert!(handed.iter().all(|handed| handed.requests == 1));
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_soon_and_asked_again_once_it_is_back() {
    let mut server = RedisServer::start();
    let redis = Arc::new(Redis::new(&server.url()).unwrap());
    take(&redis, ask(1, month(10), 1)).await;
    server.stop_service();
    let soon = Duration::from_secs(1);
    for asks in [&[ask(1, month(10), 1)][..]; 2] {
        let gone = tokio::time::timeout(soon, redis.take(asks)).await.unwrap();
        let gone = gone.unwrap_err().to_string();
        assert!(gone.contains("cannot be reached"), "{gone}");
    }
    server.resume_service();
    assert_eq!(take(&redis, ask(1, month(10), 20)).await.requests, 10);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() {
    let server = RedisServer::start();
    let url = server.url();
    for wrong in [
        url.replace(PASSWORD, "wr0ng-secret"),
        url.replace(&format!(":{PASSWORD}@"), ""),
    ] {
        let redis = Redis::new(&wrong).unwrap();
        let refusal = redis.take(&[ask(1, month(1), 1)]).await.unwrap_err();
        assert!(
            refusal.to_string().contains("check user and password"),
            "{refusal}"
        );
        let shown = format!("{redis:?} {redis} {refusal:?}");
        assert!(!shown.contains("wr0ng-secret"), "{shown}");
    }
    for wrong in [
        "s3cret",
        "http://s3cret",
        "redis://h:s3cret",
        "rediss://h/#insecure",
        "unix:/s3cret",
    ] {
        let refusal = Redis::new(wrong).unwrap_err();
        assert!(
            !format!("{refusal} {refusal:?}").contains("s3cret"),
            "{wrong}"
        );
    }
}
