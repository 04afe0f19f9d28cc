//! Limits of requests that several processes take from.

use std::sync::Arc;
use std::time::Duration;

use sealgate_core::key::KeyId;
use sealgate_core::rate::{Handed, RateLimit};
use sealgate_core::shared_limits::{Ask, LimitKeeper, MOST_ASKS};
use sealgate_core::store::Store as _;
use sealgate_store::Postgres;

use crate::Place;
use crate::conformance::records::key;
use crate::postgres_server::PostgresServer;

/// Nothing of it comes back during a test.
fn month(requests: u32) -> RateLimit {
    RateLimit::new(requests, 2_592_000).unwrap()
}

fn ask(lineage: KeyId, limit: RateLimit, wanted: u32) -> Ask {
    Ask {
        lineage,
        limit,
        returned: 0,
        wanted,
    }
}

/// A store, and who keeps its limits.
async fn keeper(place: &Place) -> (Postgres, Arc<dyn LimitKeeper>) {
    let store = place.open().await;
    let keeper = store.limit_keeper().unwrap();
    (store, keeper)
}

async fn take(keeper: &dyn LimitKeeper, ask: Ask) -> Handed {
    keeper.take(&[ask]).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_take_at_once_never_get_more_than_the_limits() {
    let place = Place::new();
    let keys: Vec<KeyId> = (1..=5).map(|number| key(number).id).collect();
    let takers = (0..6_usize).map(|taker| {
        let (place, keys) = (Place(place.0.clone()), keys.clone());
        tokio::spawn(async move {
            let (store, keeper) = keeper(&place).await;
            let mut taken = vec![0; keys.len()];
            for round in 0..40 {
                // In another order each time, so that they would wait for each other.
                let of = |place: usize| (place * (taker + 1) + round) % keys.len();
                let order: Vec<usize> = (0..keys.len()).map(of).collect();
                let asks: Vec<Ask> = order
                    .iter()
                    .map(|&at| ask(keys[at], month(100), 3))
                    .collect();
                for (at, handed) in order.into_iter().zip(keeper.take(&asks).await.unwrap()) {
                    taken[at] += handed.requests;
                }
            }
            store.close().await;
            taken
        })
    });
    let mut taken = vec![0; keys.len()];
    for taker in takers.collect::<Vec<_>>() {
        for (sum, more) in taken.iter_mut().zip(taker.await.unwrap()) {
            *sum += more;
        }
    }
    assert_eq!(taken, [100; 5]);
}

#[tokio::test]
async fn what_one_process_gives_back_another_can_have() {
    let place = Place::new();
    let ((one, keeper_of_one), (other, keeper_of_other)) =
        (keeper(&place).await, keeper(&place).await);
    let lineage = key(1).id;
    assert_eq!(
        take(&*keeper_of_one, ask(lineage, month(10), 10))
            .await
            .requests,
        10
    );
    assert_eq!(
        take(&*keeper_of_other, ask(lineage, month(10), 10))
            .await
            .requests,
        0
    );
    let share = 2_592_000_000_000_000 / 10;
    let back = Ask {
        returned: 4 * share,
        ..ask(lineage, month(10), 0)
    };
    take(&*keeper_of_one, back).await;
    assert_eq!(
        take(&*keeper_of_other, ask(lineage, month(10), 10))
            .await
            .requests,
        4
    );
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn of_a_limit_that_is_changed_the_same_share_remains_used_for_all() {
    let (store, keeper) = keeper(&Place::new()).await;
    let lineage = key(1).id;
    take(&*keeper, ask(lineage, month(10), 5)).await;
    let day = RateLimit::new(1_000, 86_400).unwrap();
    let handed = keeper
        .take(&[ask(lineage, day, 400), ask(lineage, month(10), 9)])
        .await
        .unwrap();
    assert_eq!((handed[0].requests, handed[1].requests), (400, 1));
    store.close().await;
}

#[tokio::test]
async fn the_time_is_the_databases_and_what_is_told_is_how_long() {
    let place = Place::new();
    let (store, keeper) = keeper(&place).await;
    let (lineage, limit) = (key(1).id, RateLimit::new(2, 3_600).unwrap());
    let first = take(&*keeper, ask(lineage, limit, 5)).await;
    assert_eq!((first.requests, first.missing), (2, 3_600_000_000_000));
    // Half an hour passes.
    place
        .tamper("UPDATE rate_limit SET full_again = full_again - 1800000000000")
        .await;
    let second = take(&*keeper, ask(lineage, limit, 5)).await;
    assert_eq!(second.requests, 1);
    assert!((3_590_000_000_000..=3_600_000_000_000).contains(&second.missing));
    store.close().await;
}

#[tokio::test]
async fn rows_are_removed_once_the_whole_limit_is_there_again_and_not_before() {
    let place = Place::new();
    let (store, keeper) = keeper(&place).await;
    let rows = "DELETE FROM rate_limit";
    take(&*keeper, ask(key(1).id, month(10), 1)).await;
    keeper.forget_whole().await.unwrap();
    assert_eq!(
        place.tamper("UPDATE rate_limit SET full_again = 0").await,
        1
    );
    take(&*keeper, ask(key(2).id, month(10), 1)).await;
    keeper.forget_whole().await.unwrap();
    assert_eq!(place.tamper(rows).await, 1);
    // A row that is gone was whole: it is made anew.
    assert_eq!(
        take(&*keeper, ask(key(2).id, month(10), 20)).await.requests,
        10
    );
    store.close().await;
}

#[tokio::test]
async fn as_many_limits_as_may_be_asked_for_at_once_are_taken_at_once() {
    let (store, keeper) = keeper(&Place::new()).await;
    let most = u32::try_from(MOST_ASKS).unwrap();
    let asks: Vec<Ask> = (0..most)
        .map(|number| ask(key(number).id, month(10), 1))
        .collect();
    for _ in 0..3 {
        let handed = keeper.take(&asks).await.unwrap();
        assert!(handed.iter().all(|handed| handed.requests == 1));
    }
    store.close().await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_soon_and_asked_again_once_it_is_back() {
    let server = PostgresServer::start();
    let place = Place(server.database());
    let (store, keeper) = keeper(&place).await;
    let asked = [ask(key(1).id, month(10), 1)];
    keeper.take(&asked).await.unwrap();
    server.stop_service();
    let soon = Duration::from_secs(2);
    let gone = tokio::time::timeout(soon, keeper.take(&asked))
        .await
        .unwrap();
    assert!(gone.is_err(), "{gone:?}");
    server.resume_service();
    assert_eq!(
        take(&*keeper, ask(key(1).id, month(10), 20)).await.requests,
        9
    );
    server.freeze();
    let late = tokio::time::timeout(soon, keeper.take(&asked))
        .await
        .unwrap();
    server.thaw();
    assert!(late.unwrap_err().to_string().contains("in time"));
    assert_eq!(
        take(&*keeper, ask(key(1).id, month(10), 20)).await.requests,
        0
    );
    store.close().await;
}
