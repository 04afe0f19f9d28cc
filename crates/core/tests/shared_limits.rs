//! Limits that several processes count together, as those who are limited meet them.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use sealgate_core::authority::{Authority, Created, Credential, Settings};
use sealgate_core::error::{Error, Reason};
use sealgate_core::key::{KeyId, Status};
use sealgate_core::rate::{Handed, Used};
use sealgate_core::request::KeyRequest;
use sealgate_core::shared_limits::{Ask, KeeperGone, LimitKeeper, WhenUnavailable};
use support::{
    HERE, PASSWORD, START, Site, add_user, log_in, operator, present, quick, reason, request,
};
use tokio::sync::Semaphore;

/// Keeps limits in memory, and answers when the test lets it.
struct Memory {
    used: Mutex<HashMap<KeyId, Used>>,
    turns: Semaphore,
    hands_out_ahead: bool,
}

impl Memory {
    fn new(hands_out_ahead: bool) -> Arc<Self> {
        Arc::new(Self {
            used: Mutex::default(),
            turns: Semaphore::new(1_000),
            hands_out_ahead,
        })
    }
}

#[async_trait]
impl LimitKeeper for Memory {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Handed>, KeeperGone> {
        self.turns.acquire().await.expect("open").forget();
        let mut used = self.used.lock().expect("what was used");
        let now = START.as_millis() * 1_000_000;
        let handed = asks.iter().map(|ask| {
            let used = used
                .entry(ask.lineage)
                .or_insert(Used::nothing_of(ask.limit));
            used.hand_out(ask.limit, ask.returned, ask.wanted, now)
        });
        Ok(handed.collect())
    }

    fn hands_out_ahead(&self) -> bool {
        self.hands_out_ahead
    }
}

async fn node(site: &Site, keeper: &Arc<Memory>, settings: Settings) -> Authority {
    let keeper = Arc::clone(keeper) as Arc<dyn LimitKeeper>;
    let node = site
        .authority(site.store().await, settings)
        .with_shared_limits(keeper, WhenUnavailable::Open);
    node.start().await.expect("starts");
    node.load_keys().await.expect("loads");
    node
}

async fn limited(node: &Authority, requests: u32, permissions: &str) -> Created {
    let request = KeyRequest {
        rate_limit: Some(requests),
        permissions: Some(permissions.to_owned()),
        ..request("limited")
    };
    node.create(request, &operator()).await.expect("a key")
}

#[tokio::test]
async fn a_key_and_its_tokens_have_one_limit_on_all_nodes() {
    let (site, keeper) = (Site::new(), Memory::new(true));
    let one = node(&site, &keeper, Settings::default()).await;
    let key = limited(&one, 10, "api:read").await;
    let other = node(&site, &keeper, Settings::default()).await;
    let mut passed = 0;
    for _ in 0..10 {
        for node in [&one, &other] {
            passed += usize::from(present(node, &key).await.is_ok());
        }
    }
    assert_eq!(passed, 10);
    for node in [&one, &other] {
        let refused = reason(present(node, &key).await);
        assert!(matches!(refused, Reason::RateLimited { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn what_has_to_be_asked_about_is_not_decided_from_memory_and_not_counted() {
    let (site, keeper) = (Site::new(), Memory::new(false));
    let node = node(&site, &keeper, Settings::default()).await;
    let key = limited(&node, 2, "api:read").await;
    let credential = Credential::Key(key.api_key.expose());
    for _ in 0..5 {
        assert!(node.authenticate_now(credential, HERE, START).is_none());
    }
    for remaining in [1, 0] {
        let identity = present(&node, &key).await.expect("passes");
        assert_eq!(identity.allowance().expect("a limit").remaining, remaining);
    }
    reason(present(&node, &key).await);
    let refused = node.authenticate_now(credential, HERE, START);
    assert!(refused.expect("it is known").is_err());
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_limit_is_asked_about_is_refused() {
    let (site, keeper) = (Site::new(), Memory::new(true));
    keeper.turns.forget_permits(1_000);
    let node = Arc::new(node(&site, &keeper, Settings::default()).await);
    let key = Arc::new(limited(&node, 10, "api:read").await);
    let asking = tokio::spawn({
        let (node, key) = (Arc::clone(&node), Arc::clone(&key));
        async move { present(&node, &key).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let id = key.record.id.to_string();
    node.revoke(&id, None, &operator()).await.expect("revoked");
    keeper.turns.add_permits(10);
    let refused = reason(asking.await.expect("an answer"));
    assert_eq!(refused, Reason::KeyIs(Status::Revoked));
}

#[tokio::test]
async fn a_session_charges_the_key_that_seals_it_on_whichever_node_it_is_opened() {
    let (site, keeper) = (Site::new(), Memory::new(true));
    let one = node(&site, &keeper, quick()).await;
    let key = limited(&one, 5, "session:seal").await;
    let other = node(&site, &keeper, quick()).await;
    add_user(&one, "ada").await;
    let seal_key = Some(key.api_key.expose());
    let session = log_in(&one, ("ada", PASSWORD), seal_key, HERE).await;
    let token = session.expect("logged in").token;
    let mut passed = 0;
    for _ in 0..4 {
        for node in [&one, &other] {
            let opened = node.open_session(token.expose(), seal_key, HERE).await;
            passed += usize::from(opened.is_ok());
        }
    }
    assert_eq!(passed, 4, "and the login");
}

#[tokio::test]
async fn a_key_beside_a_token_of_its_own_is_charged_once() {
    let (site, keeper) = (Site::new(), Memory::new(true));
    let node = node(&site, &keeper, Settings::default()).await;
    let key = limited(&node, 2, "api:read").await;
    let text = key.api_key.expose();
    for _ in 0..5 {
        let paid = Some(key.record.id);
        let beside = node.authenticate_beside(text, HERE, paid).await;
        assert!(beside.is_ok());
    }
    for passes in [true, true, false] {
        let beside: Result<_, Error> = node.authenticate_beside(text, HERE, None).await;
        assert_eq!(beside.is_ok(), passes);
    }
}
