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
    waiting: AtomicUsize,
    door: Semaphore,
}

impl Directory {
    fn open() -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
            door: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn closed() -> Arc<Self> {
        Arc::new(Self {
            waiting: AtomicUsize::new(0),
            door: Semaphore::new(0),
        })
    }
}

#[async_trait]
impl IdentityProvider for Directory {
    async fn identify(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<UserData, NotIdentified> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
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
    assert!(world.refusals().await.is_empty());
}

#[tokio::test]
async fn more_logins_than_can_be_under_way_are_told_to_come_back() {
    let directory = Directory::closed();
    let world = World::with_directory(directory.clone()).await;
    let logins = (0..64).map(|n| {
        let login = log_in(&format!("user{n}"), PASSWORD);
        login.from(&format!("10.0.{n}.1")).send(&world)
    });
    let one_more = async {
        while directory.waiting.load(Ordering::Relaxed) < 64 {
            tokio::task::yield_now().await;
        }
        let answer = log_in("ada", PASSWORD).send(&world).await;
        directory.door.add_permits(64);
        answer
    };
    let (answers, one_more) = tokio::join!(join_all(logins), one_more);
    assert_eq!(one_more.error(503, "busy"), "too much is asked for at once");
    assert_eq!(one_more.headers["retry-after"], "1");
    for answer in answers {
        answer.ok();
    }
}
