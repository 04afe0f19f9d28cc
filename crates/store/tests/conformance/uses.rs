//! Counts of served requests, until they stand in the log.

use sealgate_core::audit::Record;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyRecord;
use sealgate_core::tally::{Count, Counted};

use super::log::assert_whole;
use super::records::{counted, first_minute, insert, key};
use super::{Engine, change};

/// After the first five minutes that are counted.
fn later() -> Timestamp {
    first_minute().plus_seconds(5 * 60)
}

pub async fn counts_of_one_minute_add_up(engine: impl Engine) {
    let store = engine.open().await;
    let (one, other) = (key(1).id, key(2).id);
    let here = Some([192, 0, 2, 1]);
    store
        .add_uses(&[counted(one, 0, here, 7), counted(one, 1, None, 5)])
        .await
        .unwrap();
    store
        .add_uses(&[
            counted(one, 0, here, 3),
            counted(one, 0, None, 1),
            counted(other, 0, here, 9),
            counted(one, 0, Some([192, 0, 2, 2]), 2),
        ])
        .await
        .unwrap();
    let mut open = store.open_uses(one).await.unwrap();
    assert!(open.is_sorted_by_key(|counted| std::cmp::Reverse(counted.of.minute)));
    open.sort_by_key(|counted| (counted.of.minute, counted.of.address));
    let sum = counted(one, 0, here, 10).of;
    let sum = Counted {
        of: sum,
        count: Count {
            requests: 10,
            last: first_minute().plus_seconds(7),
        },
    };
    let apart = [
        counted(one, 0, None, 1),
        sum,
        counted(one, 0, Some([192, 0, 2, 2]), 2),
    ];
    assert_eq!(
        open,
        apart
            .into_iter()
            .chain([counted(one, 1, None, 5)])
            .collect::<Vec<_>>()
    );
}

pub async fn uses_of_a_key_add_up_and_leave_its_version(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert(&key(1)), insert(&key(2))]).await;
    let id = key(1).id;
    store
        .add_uses(&[counted(id, 0, None, 7), counted(id, 1, None, 5)])
        .await
        .unwrap();
    store.add_uses(&[counted(id, 2, None, 2)]).await.unwrap();
    let last_used_at = Some(counted(id, 2, None, 2).count.last);
    let used = KeyRecord {
        use_count: 14,
        last_used_at,
        ..key(1)
    };
    assert_eq!(
        store.keys_after(None, 10).await.unwrap().records,
        [used, key(2)]
    );
}

pub async fn an_older_use_does_not_move_the_last_one_back(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert(&key(1))]).await;
    let id = key(1).id;
    store.add_uses(&[counted(id, 3, None, 1)]).await.unwrap();
    store.add_uses(&[counted(id, 0, None, 1)]).await.unwrap();
    let used = store.key(id).await.unwrap().unwrap();
    assert_eq!(used.last_used_at, Some(counted(id, 3, None, 1).count.last));
    assert_eq!(used.use_count, 2);
}

pub async fn minutes_that_are_over_move_into_the_log(engine: impl Engine) {
    let store = engine.open().await;
    let (one, other) = (key(1).id, key(2).id);
    let over = [
        counted(one, 0, Some([192, 0, 2, 1]), 4),
        counted(other, 1, None, 2),
    ];
    let open = counted(one, 2, None, 3);
    store
        .add_uses(&[over[0].clone(), over[1].clone(), open.clone()])
        .await
        .unwrap();
    let minute = open.of.minute;
    assert_eq!(store.close_uses(minute, later(), 100).await.unwrap(), 2);
    assert_eq!(store.close_uses(minute, later(), 100).await.unwrap(), 0);
    let logged = store.audit_after(1, 10).await.unwrap();
    let events: Vec<_> = logged
        .into_iter()
        .map(|record: Record| record.event)
        .collect();
    assert_eq!(events, over.map(|counted| counted.into_event(later())));
    assert_eq!(store.open_uses(one).await.unwrap(), [open]);
    assert_eq!(store.open_uses(other).await.unwrap(), []);
    assert_eq!(assert_whole(&*store).await, 3);
}

pub async fn at_most_so_many_counts_are_closed_at_once_the_oldest_first(engine: impl Engine) {
    let store = engine.open().await;
    let id = key(1).id;
    let minutes: Vec<_> = (0..5).map(|minute| counted(id, minute, None, 1)).collect();
    store.add_uses(&minutes).await.unwrap();
    assert_eq!(store.close_uses(later(), later(), 2).await.unwrap(), 2);
    let mut open = store.open_uses(id).await.unwrap();
    open.reverse();
    assert_eq!(open, minutes[2..]);
    assert_eq!(store.close_uses(later(), later(), 100).await.unwrap(), 3);
    assert_eq!(store.open_uses(id).await.unwrap(), []);
}

pub async fn a_late_count_of_a_closed_minute_gets_its_own_record(engine: impl Engine) {
    let store = engine.open().await;
    let id = key(1).id;
    for _ in 0..2 {
        store.add_uses(&[counted(id, 0, None, 3)]).await.unwrap();
        assert_eq!(store.close_uses(later(), later(), 100).await.unwrap(), 1);
    }
    let logged = store.audit_after(1, 10).await.unwrap();
    assert_eq!(logged.len(), 2);
    assert_eq!(logged[0].event, logged[1].event);
}

pub async fn of_many_open_counts_the_newest_thousand_are_told(engine: impl Engine) {
    let store = engine.open().await;
    let id = key(1).id;
    let counts: Vec<Counted> = (0..1_010)
        .map(|minute| counted(id, minute, None, 1))
        .collect();
    store.add_uses(&counts).await.unwrap();
    let open = store.open_uses(id).await.unwrap();
    assert_eq!(open.len(), 1_000);
    assert_eq!(open[0].of.minute, counts[1_009].of.minute);
}
