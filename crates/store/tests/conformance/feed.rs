//! The change feed, as a process that follows it sees it.

use sealgate_core::key::{KeyRecord, KeyState};
use sealgate_core::store::{Change, FeedPosition};

use super::records::{
    counted, data_key, insert, insert_user, key, know_address, revoked_token, revoked_user,
    session_key, signing_key, update, update_user, user,
};
use super::{BIRTH, Engine, change};

pub async fn a_changed_key_comes_once_and_as_it_is_now(engine: impl Engine) {
    let store = engine.open().await;
    let begin = store.feed_position().await.unwrap();
    change(&*store, [insert(&key(1)), insert(&key(2))]).await;
    let disabled = KeyRecord {
        state: KeyState::Disabled,
        ..key(1)
    };
    change(&*store, [update(&disabled)]).await;
    let renamed = KeyRecord {
        name: "Renamed".to_owned(),
        version: 2,
        ..disabled
    };
    change(&*store, [update(&renamed)]).await;
    let feed = store.feed_since(begin, 100).await.unwrap();
    assert_eq!(
        feed.keys,
        [
            KeyRecord {
                version: 3,
                ..renamed
            },
            key(2)
        ]
    );
    assert_eq!(feed.position, store.feed_position().await.unwrap());
    assert!(!feed.more && !feed.lost && !feed.signing_keys);
}

pub async fn what_another_process_changes_is_seen(engine: impl Engine) {
    let (server, command_line) = (engine.open().await, engine.open().await);
    change(&*server, [insert(&key(1))]).await;
    let begin = server.feed_position().await.unwrap();
    let disabled = KeyRecord {
        state: KeyState::Disabled,
        ..key(1)
    };
    change(&*command_line, [update(&disabled)]).await;
    let feed = server.feed_since(begin, 100).await.unwrap();
    assert_eq!(
        feed.keys,
        [KeyRecord {
            version: 2,
            ..disabled
        }]
    );
}

pub async fn nothing_new_leaves_the_position_where_it_was(engine: impl Engine) {
    let store = engine.open().await;
    let empty = store.feed_since(FeedPosition(0), 100).await.unwrap();
    assert_eq!(empty.position, store.feed_position().await.unwrap());
    change(&*store, [insert(&key(1))]).await;
    let end = store.feed_position().await.unwrap();
    assert!(end > empty.position);
    let feed = store.feed_since(end, 100).await.unwrap();
    assert_eq!((feed.position, feed.keys.len()), (end, 0));
    assert!(!feed.more && !feed.lost && !feed.signing_keys);
}

pub async fn a_feed_longer_than_asked_for_comes_in_portions(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, (1..=7).map(|number| insert(&key(number)))).await;
    let mut position = FeedPosition(0);
    for (portion, more) in [
        (vec![1, 2, 3], true),
        (vec![4, 5, 6], true),
        (vec![7], false),
    ] {
        let feed = store.feed_since(position, 3).await.unwrap();
        assert_eq!(feed.keys, portion.into_iter().map(key).collect::<Vec<_>>());
        assert_eq!(feed.more, more);
        position = feed.position;
    }
    let whole = store.feed_since(FeedPosition(0), 7).await.unwrap();
    assert!(!whole.more);
    assert_eq!(whole.position, position);
}

pub async fn a_new_server_key_is_told_and_a_data_key_is_not(engine: impl Engine) {
    let store = engine.open().await;
    let begin = store.feed_position().await.unwrap();
    change(&*store, [Change::InsertDataKey(data_key(key(1).id, 1))]).await;
    assert_eq!(store.feed_position().await.unwrap(), begin);
    change(
        &*store,
        [Change::InsertSigningKey(signing_key(1)), insert(&key(1))],
    )
    .await;
    let feed = store.feed_since(begin, 100).await.unwrap();
    assert!(feed.signing_keys);
    assert_eq!(feed.keys, [key(1)]);
}

pub async fn uses_do_not_enter_the_feed(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert(&key(1))]).await;
    let end = store.feed_position().await.unwrap();
    store
        .add_uses(&[counted(key(1).id, 0, None, 1)])
        .await
        .unwrap();
    assert_eq!(store.feed_position().await.unwrap(), end);
}

pub async fn a_position_beyond_the_end_is_lost(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert(&key(1))]).await;
    let end = store.feed_position().await.unwrap();
    // As after a restore of an older copy of the store under a process that goes on running.
    let feed = store
        .feed_since(FeedPosition(end.0 + 5), 100)
        .await
        .unwrap();
    assert!(feed.lost);
    assert_eq!(feed.position, end);
}

pub async fn a_revocation_is_told_once_and_as_it_is_now(engine: impl Engine) {
    let store = engine.open().await;
    let begin = store.feed_position().await.unwrap();
    let revoked = [
        revoked_user("ada", 5, 60),
        revoked_token(1, 60),
        revoked_user("ada", 9, 50),
    ];
    change(&*store, revoked.map(Change::Revoke)).await;
    let feed = store.feed_since(begin, 100).await.unwrap();
    assert_eq!(
        feed.revocations,
        [revoked_user("ada", 9, 60), revoked_token(1, 60)]
    );
    assert!(feed.keys.is_empty() && feed.damaged.is_empty());
    assert!(!feed.session_keys && !feed.signing_keys);
    let nothing = store.feed_since(feed.position, 100).await.unwrap();
    assert!(nothing.revocations.is_empty());
}

pub async fn a_revocation_that_was_forgotten_is_not_told(engine: impl Engine) {
    let store = engine.open().await;
    let begin = store.feed_position().await.unwrap();
    let revoked = [revoked_token(1, 10), revoked_token(2, 90)];
    change(&*store, revoked.map(Change::Revoke)).await;
    let now = BIRTH.plus_seconds(10);
    assert_eq!(store.forget_revocations(now, 9).await, Ok(1));
    let feed = store.feed_since(begin, 100).await.unwrap();
    assert_eq!(feed.revocations, [revoked_token(2, 90)]);
    assert_eq!(feed.position, store.feed_position().await.unwrap());
}

pub async fn another_process_learns_of_revocations_keys_and_session_keys_together(
    engine: impl Engine,
) {
    let (server, command_line) = (engine.open().await, engine.open().await);
    let begin = server.feed_position().await.unwrap();
    let changes = [
        insert(&key(1)),
        Change::Revoke(revoked_user("ada", 5, 60)),
        Change::InsertSessionKey(session_key(1)),
        Change::Revoke(revoked_token(1, 60)),
    ];
    change(&*command_line, changes).await;
    let feed = server.feed_since(begin, 100).await.unwrap();
    assert_eq!(feed.keys, [key(1)]);
    assert_eq!(
        feed.revocations,
        [revoked_user("ada", 5, 60), revoked_token(1, 60)]
    );
    assert!(feed.session_keys && !feed.signing_keys);

    let first = server.feed_since(begin, 2).await.unwrap();
    assert_eq!(
        (first.keys.len(), first.revocations.len(), first.more),
        (1, 1, true)
    );
    let rest = server.feed_since(first.position, 2).await.unwrap();
    assert_eq!(
        (rest.keys.len(), rest.revocations.len(), rest.more),
        (0, 1, false)
    );
}

pub async fn a_change_of_session_keys_is_told_if_there_was_one(engine: impl Engine) {
    let store = engine.open().await;
    let retire = |seconds| Change::RetireSessionKeys {
        verify_until: BIRTH.plus_seconds(seconds),
    };
    let remove = |seconds| Change::RemoveSessionKeys {
        now: BIRTH.plus_seconds(seconds),
    };
    for (change_made, is_told) in [
        (retire(50), false),
        (Change::InsertSessionKey(session_key(1)), true),
        (remove(900), false),
        (retire(50), true),
        (retire(60), false),
        (remove(49), false),
        (remove(50), true),
        (remove(50), false),
    ] {
        let begin = store.feed_position().await.unwrap();
        change(&*store, [change_made.clone()]).await;
        let feed = store.feed_since(begin, 100).await.unwrap();
        assert_eq!(feed.session_keys, is_told, "{change_made:?}");
        assert_eq!(feed.position > begin, is_told, "{change_made:?}");
    }
}

pub async fn users_and_addresses_do_not_enter_the_feed(engine: impl Engine) {
    let store = engine.open().await;
    let begin = store.feed_position().await.unwrap();
    let account = "ada".to_owned();
    let changes = [
        insert_user(&user(1)),
        Change::NoteLogin {
            id: user(1).id,
            epoch: user(1).epoch,
            at: BIRTH,
        },
        update_user(&user(1)),
        know_address("ada", "192.0.2.1", 0),
        Change::ForgetAddresses { account },
        Change::RemoveUser {
            id: user(1).id,
            version: 2,
        },
    ];
    change(&*store, changes).await;
    assert_eq!(store.feed_position().await.unwrap(), begin);
}
