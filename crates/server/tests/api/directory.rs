//! Users of a directory outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use sealgate_core::identity::{IdentityProvider, NotIdentified, UserData};
use sealgate_core::secret::SecretText;
use serde_json::{Map, json};
use tokio::sync::Semaphore;

use crate::support::{PASSWORD, World, get, log_in, post, token_of};

/// A directory that knows everybody by one password, answers by the name, and lets logins in when the
/// test says so.
struct Directory {
    came: AtomicUsize,
    door: Semaphore,
}

impl Directory {
    fn open() -> Arc<Self> {
        Arc::new(Self {
            came: AtomicUsize::new(0),
            door: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// Lets nobody in until somebody opens the door again.
    fn close(&self) {
        self.door.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until so many have come, from the start.
    async fn crowd(&self, size: usize) {
        while self.came.load(Ordering::Relaxed) < size {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl IdentityProvider for Directory {
    async fn identify(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<UserData, NotIdentified> {
        self.came.fetch_add(1, Ordering::Relaxed);
        let _entered = self.door.acquire().await;
        match username {
            "away" => Err(NotIdentified::Unavailable("connection refused".to_owned())),
            _ if password.expose() != PASSWORD => Err(NotIdentified::Refused),
            _ => {
                let length = if username == "talkative" { 5_000 } else { 3 };
                let told = json!("x".repeat(length));
                Ok(UserData(Map::from_iter([("told".to_owned(), told)])))
            }
        }
    }

    fn describe(&self) -> String {
        "a directory of this test".to_owned()
    }
}

#[tokio::test]
async fn what_the_directory_tells_is_sealed_as_it_is() {
    let world = World::with_directory(Directory::open()).await;
    let answer = log_in("Ada Lovelace", PASSWORD).send(&world).await;
    assert_eq!(answer.ok()["data"]["username"], "Ada Lovelace");
    let token = token_of(&answer);
    let profile = get("/api/profile").token(&token);
    assert_eq!(
        profile.send(&world).await.ok()["data"],
        json!({"told": "xxx"})
    );

    let logout = post("/api/users/ada%20lovelace/logout").key(&world.admin.text);
    logout.send(&world).await.ok();
    let profile = get("/api/profile").token(&token).send(&world).await;
    profile.error(401, "invalid_token");
    let answer = log_in("Ada Lovelace", "wrong").send(&world).await;
    assert_eq!(
        answer.error(401, "invalid_credentials"),
        "Invalid username or password"
    );
    let mut reasons = world.refusals().await;
    reasons.sort();
    assert_eq!(reasons, ["directory_refused", "sessions_ended"]);
}

#[tokio::test]
async fn no_user_is_made_here_while_users_come_from_elsewhere() {
    let world = World::with_directory(Directory::open()).await;
    let body = json!({"username": "ada", "password": PASSWORD});
    let request = post("/api/users").json(&body).key(&world.admin.text);
    let told = request.send(&world).await.error(409, "conflict");
    assert!(told.contains("users come from"), "{told}");
    let listed = get("/api/users").key(&world.admin.text).send(&world).await;
    assert_eq!(listed.ok()["users"], json!([]));
    let events = world.events().await;
    assert!(events.iter().all(|event| event["action"] != "user.created"));
}

#[tokio::test]
async fn a_directory_that_is_away_is_no_refusal() {
    let world = World::with_directory(Directory::open()).await;
    for name in ["away", "talkative"] {
        for _ in 0..10 {
            let answer = log_in(name, PASSWORD).send(&world).await;
            assert_eq!(
                answer.error(503, "directory_unavailable"),
                "The user directory cannot be used at the moment"
            );
            assert_eq!(answer.headers["retry-after"], "1");
            assert!(!answer.text().contains("refused"), "{}", answer.text());
        }
    }
    // It is recorded as what it is, and nobody has to wait for it.
    let reasons = world.refusals().await;
    assert!(!reasons.is_empty());
    assert!(
        reasons.iter().all(|it| it == "directory_unavailable"),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn more_logins_than_can_be_under_way_are_told_to_come_back_and_users_who_are_known_get_in() {
    /// As many as may be under way of users who were never logged in from there.
    const STRANGERS: usize = 48;
    let directory = Directory::open();
    let world = World::with_directory(directory.clone()).await;
    log_in("ada", PASSWORD).send(&world).await.ok();
    directory.close();
    let strangers = (0..STRANGERS).map(|n| {
        let login = log_in(&format!("user{n}"), PASSWORD);
        login.from(&format!("10.0.{n}.1")).send(&world)
    });
    let late = async {
        directory.crowd(1 + STRANGERS).await;
        let one_more = log_in("eve", PASSWORD).from("10.1.0.1");
        let one_more = one_more.send(&world).await;
        let opening = async {
            directory.crowd(2 + STRANGERS).await;
            directory.door.add_permits(1);
        };
        let (ada, ()) = tokio::join!(log_in("ada", PASSWORD).send(&world), opening);
        (one_more, ada)
    };
    let (answers, (one_more, ada)) = tokio::join!(join_all(strangers), late);
    assert_eq!(one_more.error(503, "busy"), "too much is asked for at once");
    assert_eq!(one_more.headers["retry-after"], "1");
    ada.ok();
    for answer in answers {
        answer.ok();
    }
}

#[tokio::test]
async fn a_proxy_is_told_a_name_outside_visible_ascii_percent_encoded() {
    let world = World::with_directory(Directory::open()).await;
    for (name, told) in [
        ("zoë", "zo%C3%AB"),
        ("Ada Lovelace", "Ada%20Lovelace"),
        ("ada,100%", "ada%2C100%25"),
    ] {
        let token = world.session(name, None).await;
        let answer = get("/api/auth/verify").token(&token).send(&world).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["x-auth-subject"], told);
    }
}
