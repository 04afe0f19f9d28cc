//! Managed keys that seal users' sessions: who may, and what ends the sessions with them.

mod support;

use sealgate_core::authority::{Authority, Session};
use sealgate_core::error::{Error, Reason};
use sealgate_core::request::KeyPatch;

use support::{HERE, PASSWORD, Site, add_user, log_in, operator, quick, reason};

const ADA: (&str, &str) = ("ada", PASSWORD);

async fn server(site: &Site) -> Box<Authority> {
    let store = site.store().await;
    Box::new(Box::pin(site.server_with(store, quick())).await)
}

async fn token(authority: &Authority, seal_key: Option<&str>) -> String {
    let logged_in = log_in(authority, ADA, seal_key, HERE).await;
    logged_in.expect("logs in").token.expose().to_owned()
}

async fn open(authority: &Authority, token: &str, key: Option<&str>) -> Result<Session, Error> {
    authority.open_session(token, key, HERE).await
}

#[tokio::test]
async fn a_managed_key_seals_if_it_is_honoured_and_may() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    let key = support::create(&authority, "App").await;
    let text = key.api_key.expose();
    let denied = reason(log_in(&authority, ADA, Some(text), HERE).await);
    assert_eq!(denied, Reason::MissingPermission("session:seal".to_owned()));

    let permissions = |permissions: &str| KeyPatch {
        permissions: Some(permissions.to_owned()),
        ..KeyPatch::default()
    };
    let id = key.record.id.to_string();
    let may = permissions("session:seal");
    authority
        .update(&id, may.clone(), &operator())
        .await
        .unwrap();
    let token = token(&authority, Some(text)).await;
    for _ in 0..2 {
        open(&authority, &token, Some(text)).await.unwrap();
    }
    let may_not = permissions("api:read");
    authority.update(&id, may_not, &operator()).await.unwrap();
    let denied = reason(open(&authority, &token, Some(text)).await);
    assert_eq!(denied, Reason::MissingPermission("session:seal".to_owned()));
    authority.update(&id, may, &operator()).await.unwrap();
    open(&authority, &token, Some(text)).await.unwrap();

    let there = server(&site).await;
    open(&there, &token, Some(text)).await.unwrap();
    authority.revoke(&id, None, &operator()).await.unwrap();
    there.sync().await.unwrap();
    for process in [&authority, &there] {
        for _ in 0..2 {
            let refused = reason(open(process, &token, Some(text)).await);
            assert_eq!(refused.slug(), "key_revoked");
        }
        assert_eq!(
            reason(log_in(process, ADA, Some(text), HERE).await).slug(),
            "key_revoked"
        );
    }
}

#[tokio::test]
async fn a_rotated_seal_key_s_sessions_live_until_its_grace_ends() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    let mut request = support::request("App");
    request.permissions = Some("session:seal".to_owned());
    let key = authority.create(request, &operator()).await.unwrap();
    let token = token(&authority, Some(key.api_key.expose())).await;
    let id = key.record.id.to_string();
    let rotated = authority.rotate(&id, 60, None, &operator()).await.unwrap();
    open(&authority, &token, Some(key.api_key.expose()))
        .await
        .unwrap();
    let new = rotated.new.api_key.expose();
    let wrong = reason(open(&authority, &token, Some(new)).await);
    assert!(matches!(wrong, Reason::WrongSealKey { .. }));
    self::token(&authority, Some(new)).await;
    site.clock.advance_millis(60_000);
    authority.sync().await.unwrap();
    let over = reason(open(&authority, &token, Some(key.api_key.expose())).await);
    assert_eq!(over.slug(), "key_rotated");
}
