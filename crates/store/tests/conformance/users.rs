//! Users: written, read, listed and removed.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::{Change, Commit, Store, StoreError, UserQuery};
use sealgate_core::user::{UserProfile, UserRecord, Username};

use super::records::{
    full_user, insert_user, know_address, password, update_user, user, user_named,
};
use super::{BIRTH, Engine, change};

pub async fn every_field_of_a_user_reads_back(engine: impl Engine) {
    let store = engine.open().await;
    let users = [
        user(1),
        full_user(2),
        UserRecord {
            is_active: false,
            epoch: i64::MIN,
            ..user(3)
        },
    ];
    change(&*store, users.iter().map(insert_user)).await;
    for user in users {
        assert_eq!(found(&*store, &user.username).await, Some(user));
    }
}

pub async fn a_user_that_is_not_there_is_nothing(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert_user(&user(1))]).await;
    for name in ["", "user", "user-0010", "user-2"] {
        assert_eq!(store.user(name).await.unwrap(), None, "{name}");
    }
}

pub async fn names_that_differ_in_case_alone_are_one_user(engine: impl Engine) {
    let store = engine.open().await;
    let ada = user_named(1, "Ada");
    change(&*store, [insert_user(&ada)]).await;
    assert_eq!(store.user("ada").await.unwrap(), Some(ada.clone()));
    for other in [
        user_named(2, "ADA"),
        user_named(2, "Ada"),
        user_named(1, "bob"),
    ] {
        assert_eq!(
            attempt(&*store, insert_user(&other)).await,
            Err(StoreError::Conflict)
        );
    }
    assert_eq!(store.user("ada").await.unwrap(), Some(ada));
    assert_eq!(store.health().await.unwrap().users, 1);
}

pub async fn an_update_writes_every_setting_but_the_last_login(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [insert_user(&user(1)), insert_user(&user(2))]).await;
    let changed = UserRecord {
        username: user(1).username,
        id: user(1).id,
        is_active: false,
        password: password(7),
        last_login_at: Some(BIRTH),
        version: 1,
        ..full_user(3)
    };
    change(&*store, [update_user(&changed)]).await;
    let written = UserRecord {
        last_login_at: None,
        version: 2,
        ..changed
    };
    assert_eq!(
        found(&*store, &written.username).await,
        Some(written.clone())
    );
    assert_eq!(found(&*store, &user(2).username).await, Some(user(2)));
    change(&*store, [update_user(&written)]).await;
    assert_eq!(
        found(&*store, &written.username).await.unwrap().version,
        3,
        "it grows with each"
    );
}

pub async fn a_change_of_a_stale_version_is_a_conflict(engine: impl Engine) {
    let store = engine.open().await;
    change(
        &*store,
        [
            insert_user(&user(1)),
            know_address("user-1", "192.0.2.1", 0),
        ],
    )
    .await;
    change(&*store, [update_user(&user(1))]).await;
    let (id, absent) = (user(1).id, user(9));
    for stale in [
        update_user(&user(1)),
        Change::RemoveUser { id, version: 1 },
        Change::RemoveUser { id, version: 3 },
        update_user(&absent),
        Change::RemoveUser {
            id: absent.id,
            version: 1,
        },
    ] {
        assert_eq!(
            attempt(&*store, stale.clone()).await,
            Err(StoreError::Conflict),
            "{stale:?}"
        );
    }
    assert_eq!(store.health().await.unwrap().users, 1);
    assert_eq!(store.known_addresses("user-1").await.unwrap().len(), 1);
}

pub async fn a_removed_user_is_gone_with_its_addresses(engine: impl Engine) {
    let store = engine.open().await;
    let ada = user_named(1, "Ada");
    change(&*store, [insert_user(&ada), insert_user(&user(2))]).await;
    let known = ["ada", "user-2"].map(|account| know_address(account, "192.0.2.1", 0));
    change(&*store, known).await;
    let removal = Change::RemoveUser {
        id: ada.id,
        version: 1,
    };
    change(&*store, [removal]).await;
    assert_eq!(store.user("ada").await.unwrap(), None);
    assert!(store.known_addresses("ada").await.unwrap().is_empty());
    assert_eq!(store.known_addresses("user-2").await.unwrap().len(), 1);
    assert_eq!(store.health().await.unwrap().users, 1);
    change(&*store, [insert_user(&user_named(3, "ADA"))]).await;
    assert_eq!(store.health().await.unwrap().users, 2);
}

pub async fn a_login_is_noted_in_its_epoch_alone(engine: impl Engine) {
    let store = engine.open().await;
    let (user, disabled) = (
        user(1),
        UserRecord {
            is_active: false,
            ..user(2)
        },
    );
    change(&*store, [insert_user(&user), insert_user(&disabled)]).await;
    let at = BIRTH.plus_seconds(5);
    let login = |user: &UserRecord, epoch, at| Change::NoteLogin {
        id: user.id,
        epoch,
        at,
    };
    change(&*store, [login(&user, user.epoch, at)]).await;
    for refused in [
        login(&user, user.epoch - 1, BIRTH),
        login(&user, user.epoch + 1, BIRTH),
        login(&disabled, disabled.epoch, BIRTH),
        login(&full_user(3), user.epoch, BIRTH),
    ] {
        assert_eq!(attempt(&*store, refused).await, Err(StoreError::Conflict));
    }
    let noted = UserRecord {
        last_login_at: Some(at),
        ..user
    };
    assert_eq!(found(&*store, &noted.username).await, Some(noted.clone()));
    change(&*store, [update_user(&noted)]).await;
    let after = found(&*store, &noted.username).await.unwrap();
    assert_eq!((after.last_login_at, after.version), (Some(at), 2));
    assert_eq!(
        found(&*store, &disabled.username).await,
        Some(disabled),
        "nothing was noted"
    );
}

pub async fn pages_of_users_have_no_gaps_and_no_repeats(engine: impl Engine) {
    let store = engine.open().await;
    let names = [
        "b", "Ab", "abc", "a", "abd", "aa", "AC", "a.b", "a-b", "a_b", "a@b", "1a", "z", "ab.c",
    ];
    let users: Vec<UserRecord> = (0..)
        .zip(names)
        .map(|(number, name)| UserRecord {
            is_active: number % 3 != 0,
            ..user_named(number, name)
        })
        .collect();
    change(&*store, users.iter().map(insert_user)).await;
    for name in [
        None,
        Some(""),
        Some("a"),
        Some("AB"),
        Some("abc"),
        Some("x"),
    ] {
        for is_active in [None, Some(true), Some(false)] {
            let mut expected: Vec<String> = users
                .iter()
                .filter(|user| is_active.is_none_or(|is_active| user.is_active == is_active))
                .map(|user| user.username.folded())
                .filter(|folded| folded.starts_with(&name.unwrap_or_default().to_lowercase()))
                .collect();
            expected.sort();
            for limit in [1, 3, 100] {
                let query = UserQuery {
                    name: name.map(str::to_owned),
                    is_active,
                    after: None,
                    limit,
                };
                assert_eq!(paged(&*store, query.clone()).await, expected, "{query:?}");
            }
        }
    }
}

pub async fn wildcards_in_the_beginning_of_a_user_name_are_plain_text(engine: impl Engine) {
    let store = engine.open().await;
    change(
        &*store,
        [
            insert_user(&user_named(1, "a_b")),
            insert_user(&user_named(2, "axb")),
        ],
    )
    .await;
    for (name, found) in [
        ("a_", vec!["a_b"]),
        ("%", vec![]),
        ("'", vec![]),
        ("\u{10ffff}", vec![]),
    ] {
        let query = UserQuery {
            name: Some(name.to_owned()),
            limit: 9,
            ..UserQuery::default()
        };
        assert_eq!(paged(&*store, query).await, found, "{name}");
    }
}

pub async fn a_large_profile_reads_back(engine: impl Engine) {
    let store = engine.open().await;
    let attributes = [("note".to_owned(), "ä".repeat(50_000).into())];
    let user = UserRecord {
        profile: UserProfile {
            attributes: attributes.into_iter().collect(),
            ..UserProfile::default()
        },
        created_at: Timestamp::from_millis(-1),
        ..user(1)
    };
    change(&*store, [insert_user(&user)]).await;
    assert_eq!(found(&*store, &user.username).await, Some(user));
}

async fn found(store: &dyn Store, name: &Username) -> Option<UserRecord> {
    store.user(&name.folded()).await.unwrap()
}

async fn attempt(store: &dyn Store, change: Change) -> Result<(), StoreError> {
    store
        .commit(Commit {
            changes: vec![change],
            events: vec![],
        })
        .await
}

/// The folded names of all users that fit, page by page.
async fn paged(store: &dyn Store, mut query: UserQuery) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let page = store.users(&query).await.unwrap();
        assert!(page.records.len() <= query.limit as usize && page.damaged.is_empty());
        names.extend(page.records.iter().map(|user| user.username.folded()));
        query.after = page.next;
        if query.after.is_none() {
            return names;
        }
    }
}
