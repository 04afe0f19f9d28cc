//! Revocations: what is dead, until it is needed no more.

use sealgate_core::revocation::{Revocation, Subject};
use sealgate_core::store::{Change, Store};

use super::records::{revoked_token, revoked_user};
use super::{BIRTH, Engine, change};

pub async fn revocations_are_loaded_in_the_order_of_their_names(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(loaded(&*store, 3).await, []);
    let mut revocations: Vec<Revocation> = (0..7).map(|n| revoked_token(n, 60)).collect();
    revocations
        .extend(["zoë", "ada", "a:b", "ada@example.com"].map(|name| revoked_user(name, 5, 60)));
    revocations.push(revoked_user("eve", i64::MIN, -60));
    change(&*store, revocations.iter().cloned().map(Change::Revoke)).await;
    revocations.sort_by_key(|revocation| revocation.subject.name());
    for limit in [1, 5, 100] {
        assert_eq!(loaded(&*store, limit).await, revocations, "{limit}");
    }
}

pub async fn of_two_revocations_the_later_epoch_and_the_later_expiry_stay(engine: impl Engine) {
    let store = engine.open().await;
    for (first, second, merged) in [
        ((5, 60), (9, 50), (9, 60)),
        ((9, 50), (5, 60), (9, 60)),
        ((9, 60), (5, 50), (9, 60)),
        ((-9, 50), (-5, 60), (-5, 60)),
    ] {
        let name = format!("{first:?} {second:?}");
        let revoked = |(epoch, seconds)| revoked_user(&name, epoch, seconds);
        change(
            &*store,
            [first, second].map(|one| Change::Revoke(revoked(one))),
        )
        .await;
        let mut list = loaded(&*store, 100).await;
        list.retain(|revocation| revocation.subject.name().contains(&name));
        assert_eq!(list, [revoked(merged)]);
    }
}

pub async fn a_token_revoked_twice_is_dead_until_the_later_moment(engine: impl Engine) {
    let store = engine.open().await;
    for seconds in [60, 90, 30] {
        change(&*store, [Change::Revoke(revoked_token(1, seconds))]).await;
    }
    assert_eq!(loaded(&*store, 9).await, [revoked_token(1, 90)]);
}

pub async fn what_has_expired_is_forgotten_the_oldest_first(engine: impl Engine) {
    let store = engine.open().await;
    let revocations = [
        revoked_token(1, 30),
        revoked_user("ada", 5, 10),
        revoked_token(2, 20),
        revoked_token(3, 31),
        revoked_user("bob", 5, 90),
    ];
    change(&*store, revocations.clone().map(Change::Revoke)).await;
    let end = store.feed_position().await.unwrap();
    let now = BIRTH.plus_seconds(30);
    assert_eq!(store.forget_revocations(BIRTH, 9).await, Ok(0));
    assert_eq!(store.forget_revocations(now, 0).await, Ok(0));
    assert_eq!(store.forget_revocations(now, 2).await, Ok(2));
    let [first, _, _, third, bob] = revocations;
    assert_eq!(
        loaded(&*store, 9).await,
        [first, third.clone(), bob.clone()]
    );
    assert_eq!(store.forget_revocations(now, 2).await, Ok(1));
    assert_eq!(loaded(&*store, 9).await, [third, bob]);
    assert_eq!(
        store.feed_position().await.unwrap(),
        end,
        "nobody has to be told"
    );
}

pub async fn a_revocation_is_there_after_a_restart(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [Change::Revoke(revoked_token(1, 60))]).await;
    store.close().await;
    let store = engine.open().await;
    let list = loaded(&*store, 9).await;
    assert_eq!(list, [revoked_token(1, 60)]);
    assert!(matches!(list[0].subject, Subject::Token(_)));
}

/// All revocations, so many at once.
async fn loaded(store: &dyn Store, limit: u32) -> Vec<Revocation> {
    let (mut all, mut after): (Vec<Revocation>, _) = (Vec::new(), None::<String>);
    loop {
        let page = store
            .revocations_after(after.as_deref(), limit)
            .await
            .unwrap();
        assert!(page.len() <= limit as usize);
        after = page.last().map(|last| last.subject.name());
        if after.is_none() {
            return all;
        }
        all.extend(page);
    }
}
