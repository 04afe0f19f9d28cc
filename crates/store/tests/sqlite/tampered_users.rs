//! Users, revocations and session keys against somebody who can read the file, or write to it behind
//! the store's back.

use sealgate_core::secret::Secret;
use sealgate_core::store::{Change, FeedPosition, SessionKeyRecord, Store as _, UserQuery};
use sealgate_core::user::{UserProfile, UserRecord};

use crate::conformance::BIRTH;
use crate::conformance::records::{
    full_user, insert_user, password, revoked_token, revoked_user, session_key, update_user, user,
    user_named,
};
use crate::{Place, commit, is_unreadable};

#[tokio::test]
async fn no_password_hash_profile_or_session_key_can_be_read_in_the_file() {
    let place = Place::new();
    let store = place.open().await;
    let planted = *b"a planted secret, which has a length of 64 bytes and not one more";
    let secret: [u8; 64] = planted[..64].try_into().unwrap();
    let user = UserRecord {
        password: password(123_456),
        profile: UserProfile {
            display_name: Some("Ada Lovelace".to_owned()),
            email: Some("ada@planted.example".to_owned()),
            ..UserProfile::default()
        },
        ..user(1)
    };
    let key = SessionKeyRecord {
        secret: Secret::new(secret),
        ..session_key(1)
    };
    commit(&store, [insert_user(&user), Change::InsertSessionKey(key)]).await;
    commit(&store, [update_user(&user)]).await;
    let retire = Change::RetireSessionKeys {
        verify_until: BIRTH,
    };
    commit(&store, [retire]).await;
    let in_use = place.bytes();
    store.close().await;
    for bytes in [in_use, place.bytes()] {
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|at| at == needle);
        assert!(holds(b"user-1"), "the search finds what is there");
        for secret in [
            &planted[..12],
            b"argon2id",
            b"123456AA",
            b"Lovelace",
            b"planted.example",
        ] {
            assert!(!holds(secret));
        }
    }
}

#[tokio::test]
async fn a_user_given_life_or_another_name_behind_the_stores_back_is_refused() {
    let alterations = [
        "is_active = 1",
        "epoch = epoch - 1",
        "epoch = epoch + 1",
        "username = 'USER-1'",
        "username = 'user-2'",
        "created_at = 0",
        "password_changed_at = password_changed_at + 1",
        "version = version + 1",
        "id = '00000000-0000-7000-8000-000000000000'",
        "password = x''",
        "password = zeroblob(64)",
        "profile = x'00000001'",
        "profile = password",
        "password = profile",
        "id = upper(id)",
        "username = '-'",
    ];
    for alteration in alterations {
        let place = Place::new();
        let store = place.open().await;
        let disabled = UserRecord {
            is_active: false,
            ..user(1)
        };
        commit(&store, [insert_user(&disabled), insert_user(&user(3))]).await;
        let sql = format!("UPDATE user_account SET {alteration} WHERE username_folded = 'user-1'");
        assert_eq!(place.tamper(&sql).await, 1, "{alteration}");
        is_unreadable(store.user("user-1").await, "");
        let users = store.users(&everyone(9)).await.unwrap();
        assert_eq!(users.records, [user(3)], "{alteration}");
        assert_eq!(users.damaged, ["user-1"], "{alteration}");
    }
}

#[tokio::test]
async fn a_user_cannot_be_found_under_another_name() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [insert_user(&user_named(1, "Ada"))]).await;
    place
        .tamper("UPDATE user_account SET username_folded = 'admin'")
        .await;
    is_unreadable(store.user("admin").await, "user_account.password");
    assert_eq!(store.user("ada").await.unwrap(), None);
}

#[tokio::test]
async fn a_password_and_a_profile_belong_to_their_user() {
    for column in ["password", "profile"] {
        let place = Place::new();
        let store = place.open().await;
        commit(&store, [insert_user(&user(1)), insert_user(&full_user(2))]).await;
        let moved = format!(
            "UPDATE user_account SET {column} = \
             (SELECT {column} FROM user_account WHERE username_folded = 'user-2') \
             WHERE username_folded = 'user-1'"
        );
        assert_eq!(place.tamper(&moved).await, 1);
        is_unreadable(
            store.user("user-1").await,
            &format!("user_account.{column}"),
        );
        assert_eq!(store.user("user-2").await.unwrap(), Some(full_user(2)));
    }
}

#[tokio::test]
async fn neither_an_earlier_password_nor_an_earlier_profile_comes_back() {
    for column in ["password", "profile"] {
        let place = Place::new();
        let store = place.open().await;
        commit(&store, [insert_user(&user(1))]).await;
        place
            .tamper("CREATE TABLE kept AS SELECT password, profile FROM user_account")
            .await;
        let changed = UserRecord {
            password: password(2),
            epoch: user(1).epoch + 1,
            ..user(1)
        };
        commit(&store, [update_user(&changed)]).await;
        let put_back = format!("UPDATE user_account SET {column} = (SELECT {column} FROM kept)");
        place.tamper(&put_back).await;
        let place_of_it = format!("user_account.{column}");
        is_unreadable(store.user("user-1").await, &place_of_it);
    }
}

#[tokio::test]
async fn pages_go_on_past_damaged_users_and_name_them() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, (1..=6).map(|number| insert_user(&user(number)))).await;
    place
        .tamper("UPDATE user_account SET epoch = 0 WHERE username_folded IN ('user-2', 'user-3', 'user-4')")
        .await;
    let (mut names, mut damaged) = (Vec::new(), Vec::new());
    let mut query = everyone(2);
    loop {
        let page = store.users(&query).await.unwrap();
        names.extend(page.records.into_iter().map(|user| user.username.folded()));
        damaged.extend(page.damaged);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["user-1", "user-5", "user-6"]);
    assert_eq!(damaged, ["user-2", "user-3", "user-4"]);
}

#[tokio::test]
async fn a_row_with_no_name_keeps_no_other_user_from_being_read() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, (1..=3).map(|number| insert_user(&user(number)))).await;
    place
        .tamper("UPDATE user_account SET username_folded = CAST(x'75FF' AS TEXT) WHERE username = 'user-2'")
        .await;
    let users = store.users(&everyone(9)).await.unwrap();
    assert_eq!(users.records, [user(1), user(3)]);
}

#[tokio::test]
async fn one_damaged_revocation_is_an_error_for_all() {
    for damage in [
        "subject = 'token:' || upper(substr(subject, 7))",
        "subject = 'token:1'",
        "subject = 'key:1'",
        "subject = 'x'",
        "subject = CAST(x'FF' AS TEXT)",
        "epoch = 5",
        "subject = 'user:eve'",
    ] {
        let place = Place::new();
        let store = place.open().await;
        let revoked = [revoked_user("ada", 5, 60), revoked_token(1, 60)];
        commit(&store, revoked.map(Change::Revoke)).await;
        let sql = format!("UPDATE revocation SET {damage} WHERE subject LIKE 'token:%'");
        assert_eq!(place.tamper(&sql).await, 1, "{damage}");
        is_unreadable(store.revocations_after(None, 9).await, "");
    }
}

#[tokio::test]
async fn the_feed_stops_at_a_damaged_revocation() {
    let place = Place::new();
    let store = place.open().await;
    let revoked = [revoked_user("ada", 5, 60), revoked_token(1, 60)];
    commit(&store, revoked.map(Change::Revoke)).await;
    place.tamper("UPDATE revocation SET epoch = NULL").await;
    is_unreadable(
        store.feed_since(FeedPosition(0), 9).await,
        "a revocation is damaged",
    );
}

#[tokio::test]
async fn a_revocation_deleted_behind_the_stores_back_is_missed_by_whoever_loads_it_later() {
    let place = Place::new();
    let store = place.open().await;
    commit(&store, [Change::Revoke(revoked_token(1, 60))]).await;
    assert_eq!(place.tamper("DELETE FROM revocation").await, 1);
    assert_eq!(store.revocations_after(None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_retired_session_key_cannot_be_made_to_sign_again() {
    for alteration in [
        "verify_until = NULL",
        "verify_until = verify_until + 1",
        "signs_from = 0",
        "created_at = created_at + 1",
        "kid = 'k4.pid.2'",
        "secret = zeroblob(96)",
    ] {
        let place = Place::new();
        let store = place.open().await;
        let retire = Change::RetireSessionKeys {
            verify_until: BIRTH.plus_days(7),
        };
        commit(&store, [Change::InsertSessionKey(session_key(1)), retire]).await;
        let sql = format!("UPDATE session_key SET {alteration}");
        assert_eq!(place.tamper(&sql).await, 1, "{alteration}");
        assert_eq!(store.session_keys().await.unwrap(), [], "{alteration}");
    }
}

fn everyone(limit: u32) -> UserQuery {
    UserQuery {
        limit,
        ..UserQuery::default()
    }
}

#[tokio::test]
async fn a_damaged_session_key_takes_no_other_down_with_it() {
    let place = Place::new();
    let store = place.open().await;
    let keys = [session_key(1), session_key(2)];
    commit(&store, keys.clone().map(Change::InsertSessionKey)).await;
    let damage = format!(
        "UPDATE session_key SET created_at = created_at + 1 WHERE kid = '{}'",
        keys[0].kid
    );
    assert_eq!(place.tamper(&damage).await, 1);
    assert_eq!(store.session_keys().await.unwrap(), [keys[1].clone()]);
    let retire = Change::RetireSessionKeys {
        verify_until: BIRTH,
    };
    commit(&store, [retire]).await;
    let left = store.session_keys().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].verify_until, Some(BIRTH));
}
