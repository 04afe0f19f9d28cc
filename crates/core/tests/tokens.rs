//! Access tokens: exchange, renewal, what ends them, and the algorithms they are signed with.

mod support;

use sealgate_core::audit::Query;
use sealgate_core::authority::{Authority, Settings};
use sealgate_core::error::Reason;
use sealgate_core::key::Status;
use sealgate_core::request::{KeyPatch, KeyRequest};
use sealgate_token::jwt::Algorithm;
use support::{Site, bear, create, operator, present, reason, request};

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_of_an_hour_with_its_rights() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "client").await;
    let identity = present(&server, &created).await.unwrap();
    let grant = server.exchange(&identity, &operator()).await.unwrap();
    assert_eq!(grant.expires_in, 3_600);
    assert_eq!(grant.permissions, "api:read api:write");
    let token = grant.token.expose();
    assert!(
        token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."),
        "{token}"
    );
    let claims = bear(&server, token).await.unwrap();
    let claims = claims.token().unwrap();
    assert_eq!(claims.key_id(), created.record.id.0);
    assert_eq!(claims.prefix(), created.record.prefix.as_str());

    site.clock.advance_millis(3_599_999);
    assert!(bear(&server, token).await.is_ok());
    site.clock.advance_millis(1);
    assert_eq!(
        reason(bear(&server, token).await),
        Reason::InvalidToken("expired")
    );
}

#[tokio::test]
async fn a_token_verified_before_is_still_held_to_expiry_state_and_permissions() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "client").await;
    let token = created.grant.token.expose();
    for _ in 0..3 {
        assert!(bear(&server, token).await.is_ok());
    }
    let id = created.record.id.to_string();
    let off = KeyPatch {
        is_active: Some(false),
        ..KeyPatch::default()
    };
    server.update(&id, off, &operator()).await.unwrap();
    assert_eq!(
        reason(bear(&server, token).await),
        Reason::KeyIs(Status::Disabled)
    );
    let on = KeyPatch {
        is_active: Some(true),
        ..KeyPatch::default()
    };
    server.update(&id, on, &operator()).await.unwrap();
    assert!(bear(&server, token).await.is_ok());
    site.clock.advance_millis(3_600_000);
    assert_eq!(
        reason(bear(&server, token).await),
        Reason::InvalidToken("expired")
    );
}

#[tokio::test]
async fn renewal_moves_the_expiry_on_and_never_past_the_longest_lifetime() {
    let site = Site::new();
    let settings = Settings {
        token_max_seconds: 5_400,
        ..Settings::default()
    };
    let server = site.server_with(site.store().await, settings).await;
    let created = create(&server, "client").await;
    site.clock.advance_millis(3_000_000);
    let renewed = renew(&server, created.grant.token.expose()).await.unwrap();
    assert_eq!(renewed.expires_in, 2_400);
    site.clock.advance_millis(2_000_000);
    let again = renew(&server, renewed.token.expose()).await.unwrap();
    assert_eq!(again.expires_in, 400);
    assert_eq!(again.permissions, renewed.permissions);
    site.clock.advance_millis(400_000);
    let late = renew(&server, again.token.expose()).await;
    assert_eq!(reason(late), Reason::InvalidToken("expired"));
}

async fn renew(
    server: &Authority,
    token: &str,
) -> Result<sealgate_core::authority::Grant, sealgate_core::error::Error> {
    let identity = bear(server, token).await?;
    server.renew(&identity, &operator()).await
}

#[tokio::test]
async fn a_token_does_not_outlive_its_keys_expiry_or_grace() {
    let site = Site::new();
    let server = site.server().await;
    let short = KeyRequest {
        expires_in_days: Some(1),
        ..request("short")
    };
    let short = server.create(short, &operator()).await.unwrap();
    site.clock.advance_millis(86_400_000 - 100_000);
    let identity = present(&server, &short).await.unwrap();
    assert_eq!(
        server
            .exchange(&identity, &operator())
            .await
            .unwrap()
            .expires_in,
        100
    );

    let old = create(&server, "rotating").await;
    server
        .rotate(&old.record.id.to_string(), 60, None, &operator())
        .await
        .unwrap();
    let identity = present(&server, &old).await.unwrap();
    assert_eq!(
        server
            .exchange(&identity, &operator())
            .await
            .unwrap()
            .expires_in,
        60
    );
}

#[tokio::test]
async fn keys_are_not_renewed_and_tokens_are_not_exchanged() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "client").await;
    let key = present(&server, &created).await.unwrap();
    assert_eq!(
        reason(server.renew(&key, &operator()).await),
        Reason::NoCredential
    );
    let token = bear(&server, created.grant.token.expose()).await.unwrap();
    assert_eq!(
        reason(server.exchange(&token, &operator()).await),
        Reason::NoCredential
    );
}

#[tokio::test]
async fn every_token_issued_or_renewed_is_in_the_log() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "client").await;
    let identity = present(&server, &created).await.unwrap();
    let grant = server.exchange(&identity, &operator()).await.unwrap();
    renew(&server, grant.token.expose()).await.unwrap();
    let query = Query {
        key_id: Some(created.record.id),
        limit: 10,
        ..Query::default()
    };
    let log = server.store().audit(&query).await.unwrap();
    let actions: Vec<_> = log
        .iter()
        .map(|record| record.event.action.as_str())
        .collect();
    assert_eq!(actions, ["token.renewed", "token.issued", "key.created"]);
}

#[tokio::test]
async fn another_keys_secret_does_not_make_a_token_for_this_one() {
    let site = Site::new();
    let server = site.server().await;
    let (a, b) = (create(&server, "a").await, create(&server, "b").await);
    let (head, tail) = a.grant.token.expose().rsplit_once('.').unwrap();
    let (_, foreign) = b.grant.token.expose().rsplit_once('.').unwrap();
    let swapped = bear(&server, &format!("{head}.{foreign}")).await;
    assert_eq!(reason(swapped), Reason::InvalidToken("bad_signature"));
    assert!(bear(&server, &format!("{head}.{tail}")).await.is_ok());
}

#[tokio::test]
async fn server_keys_sign_when_set_so_and_are_published_and_found_by_every_process() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let site = Site::new();
        let hs256 = site.server().await;
        let before = create(&hs256, "before").await;
        let lists = hs256.jwk_set()["keys"][0]["kid"].clone();

        let settings = Settings {
            algorithm,
            ..Settings::default()
        };
        let signing = site.server_with(site.store().await, settings.clone()).await;
        let created = create(&signing, "client").await;
        let token = created.grant.token.expose();
        assert!(bear(&signing, token).await.is_ok());
        // What was issued before the setting changed is good until it expires.
        assert!(bear(&signing, before.grant.token.expose()).await.is_ok());

        let set = signing.jwk_set();
        let (jwk, other) = (&set["keys"][0], &set["keys"][1]);
        assert_eq!(other["kid"], lists, "the key of lists stays published");
        assert_eq!(jwk["alg"], algorithm.to_string());
        assert!(jwk.get("d").is_none(), "a private key was published");

        // A process that knew no server key hears of it through the feed.
        hs256.sync().await.unwrap();
        assert!(bear(&hs256, token).await.is_ok());

        // A second process uses the key that is there.
        let second = site.server_with(site.store().await, settings).await;
        assert_eq!(second.jwk_set(), signing.jwk_set());
        let id = created.record.id.to_string();
        second.revoke(&id, None, &operator()).await.unwrap();
        assert_eq!(
            reason(bear(&second, token).await),
            Reason::KeyIs(Status::Revoked)
        );
    }
}

#[tokio::test]
async fn tokens_of_another_issuer_are_refused() {
    let site = Site::new();
    let settings = Settings {
        issuer: "elsewhere".into(),
        ..Settings::default()
    };
    let elsewhere = site.server_with(site.store().await, settings).await;
    let created = create(&elsewhere, "client").await;
    let server = site.server().await;
    let refused = bear(&server, created.grant.token.expose()).await;
    assert_eq!(reason(refused), Reason::InvalidToken("wrong_issuer"));
}
