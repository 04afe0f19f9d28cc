//! The signed list of what was revoked: what is on it and what is not, and when it is made.

mod support;

use sealgate_core::authority::{Authority, Settings};
use sealgate_core::error::{Error, Reason};
use sealgate_core::request::{KeyPatch, KeyRequest};
use sealgate_core::revocation::{Revocation, Subject};
use sealgate_core::store::{Change, Commit};
use sealgate_token::jwt::{Algorithm, KeySet, Policy, Signer, TrustedClaims, Untrusted};
use sealgate_token::paseto::{SessionKeySet, SessionPolicy, UntrustedSession};
use sealgate_token::revocations::RevocationList;
use support::{
    HERE, PASSWORD, Site, add_user, bear, create, log_in, operator, quick, reason, request,
};

/// What a verifier makes of the list of now.
async fn list(server: &Authority) -> RevocationList {
    let text = server.revocation_list().await.expect("a list");
    let keys = KeySet::parse(&server.jwk_set().to_string()).expect("a set");
    let now = server.now().as_seconds();
    RevocationList::verify(text.text(), &keys, "sealgate", now).expect("a good list")
}

async fn patch(server: &Authority, id: &str, patch: KeyPatch) {
    server
        .update(id, patch, &operator())
        .await
        .expect("changed");
}

fn switched(on: bool) -> KeyPatch {
    KeyPatch {
        is_active: Some(on),
        ..KeyPatch::default()
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_or_off_or_replaced_is_on_the_list_in_every_process() {
    let site = Site::new();
    let (here, there) = (site.server().await, site.server().await);
    let mut keys = Vec::new();
    for name in ["revoked", "off", "rotated", "untouched"] {
        keys.push(create(&here, name).await.record.id);
    }
    let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
    here.revoke(&ids[0], None, &operator()).await.unwrap();
    patch(&here, &ids[1], switched(false)).await;
    here.rotate(&ids[2], 0, None, &operator()).await.unwrap();
    there.sync().await.unwrap();
    let late = site.server().await;
    for process in [&here, &there, &late] {
        let (list, now) = (list(process).await, process.now().as_seconds());
        let dead: Vec<bool> = keys
            .iter()
            .map(|key| list.is_key_revoked(key.0, now))
            .collect();
        assert_eq!(dead, [true, true, true, false]);
        assert_eq!(list.len(), 3);
    }
    // What is switched on again is good again.
    patch(&here, &ids[1], switched(true)).await;
    assert_eq!(list(&here).await.len(), 2);
    // An hour and five minutes later no token of before can be alive.
    site.clock.advance_millis(3_900_000);
    for process in [&here, &there, &late] {
        process.sync().await.unwrap();
        process.forget_sessions().await.unwrap();
        assert!(list(process).await.is_empty());
    }
}

#[tokio::test]
async fn a_key_that_ends_when_it_was_to_end_is_not_on_the_list_and_one_that_ends_sooner_is() {
    let site = Site::new();
    let server = site.server().await;
    let of_a_day = KeyRequest {
        expires_in_days: Some(1),
        ..request("a day")
    };
    let short = server.create(of_a_day, &operator()).await.unwrap();
    let cut = create(&server, "cut short").await;
    let graceful = create(&server, "graceful").await;
    let ids = [cut.record.id, graceful.record.id];
    let in_ten_minutes = KeyPatch {
        expires_at: Some(Some(server.now().plus_seconds(600))),
        ..KeyPatch::default()
    };
    patch(&server, &ids[0].to_string(), in_ten_minutes).await;
    let id = ids[1].to_string();
    server.rotate(&id, 300, None, &operator()).await.unwrap();
    let told = list(&server).await;
    let now = server.now().as_seconds();
    for (id, seconds) in ids.iter().zip([600, 300]) {
        assert!(!told.is_key_revoked(id.0, now + seconds - 1));
        assert!(told.is_key_revoked(id.0, now + seconds));
    }
    assert_eq!(told.len(), 2);

    site.clock.advance_millis(86_400_000);
    server.sync().await.unwrap();
    server.record_expiries().await.unwrap();
    let told = list(&server).await;
    assert!(!told.is_key_revoked(short.record.id.0, server.now().as_seconds()));
    assert!(told.is_empty());
}

/// What a verifier makes of an access token.
fn trusted(server: &Authority, token: &str) -> TrustedClaims {
    let untrusted = Untrusted::parse(token).expect("a token");
    let Signer::Server { kid, .. } = untrusted.signer() else {
        panic!("not signed by a server key")
    };
    let keys = KeySet::parse(&server.jwk_set().to_string()).expect("a set");
    let (key, now) = (keys.find(kid).expect("a key"), server.now().as_seconds());
    let policy = Policy::new("sealgate");
    untrusted.verify_server(key, &policy, now).expect("its key")
}

#[tokio::test]
async fn a_list_answers_for_no_token_that_outlives_what_it_remembers() {
    let site = Site::new();
    let settings = |token_seconds| Settings {
        algorithm: Algorithm::EdDsa,
        token_seconds,
        ..Settings::default()
    };
    let long = site.server_with(site.store().await, settings(86_400)).await;
    let key = create(&long, "client").await;
    let token = key.grant.token.expose();
    long.revoke(&key.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    site.clock.advance_millis(7_200_000);
    // Restarted with a lower setting, or another server beside it.
    let short = site.server_with(site.store().await, settings(3_600)).await;
    long.sync().await.unwrap();
    let claims = trusted(&short, token);
    let now = short.now().as_seconds();
    assert!(list(&short).await.is_empty());
    assert!(!list(&short).await.vouches_for_token(&claims));
    let told = list(&long).await;
    assert!(told.vouches_for_token(&claims) && told.revokes_token(&claims, now));
    let another = create(&short, "another").await;
    let claims = trusted(&short, another.grant.token.expose());
    assert!(list(&short).await.vouches_for_token(&claims));
}

#[tokio::test]
async fn a_list_answers_for_no_session_that_outlives_what_it_remembers() {
    let site = Site::new();
    let settings = |max_seconds| {
        let mut settings = quick();
        settings.sessions.max_seconds = max_seconds;
        settings.sessions.idle_seconds = max_seconds;
        settings
    };
    let long = site.server_with(site.store().await, settings(86_400)).await;
    add_user(&long, "ada").await;
    let session = log_in(&long, ("ada", PASSWORD), None, HERE).await.unwrap();
    let published = serde_json::json!({"keys": long.session_key_views()});
    let keys = SessionKeySet::parse(&published.to_string()).unwrap();
    let untrusted = UntrustedSession::parse(session.token.expose()).unwrap();
    let now = long.now().as_seconds();
    let key = keys.find(untrusted.claimed_kid(), now).unwrap();
    let policy = SessionPolicy::new(
        &long.settings().sessions.audience,
        &long.settings().sessions.issuer,
    );
    let session = untrusted.verify(key, &policy, now).unwrap();
    long.log_out_user("ada", &operator()).await.unwrap();
    site.clock.advance_millis(7_200_000);
    let short = site.server_with(site.store().await, settings(3_600)).await;
    long.sync().await.unwrap();
    assert!(list(&short).await.is_empty());
    assert!(!list(&short).await.vouches_for_session(&session));
    let told = list(&long).await;
    assert!(told.vouches_for_session(&session) && told.revokes_session(&session));
}

#[tokio::test]
async fn ended_tokens_sessions_and_users_are_on_the_list() {
    let site = Site::new();
    let server = site.server_with(site.store().await, quick()).await;
    let key = create(&server, "client").await;
    let identity = bear(&server, key.grant.token.expose()).await.unwrap();
    let jti = identity.token().unwrap().jti();
    server.end_token(&identity, &operator()).await.unwrap();
    for name in ["ada", "bob"] {
        add_user(&server, name).await;
    }
    let session = log_in(&server, ("bob", PASSWORD), None, HERE)
        .await
        .unwrap();
    let token = session.token.expose();
    server.end_session(token, &support_origin()).await.unwrap();
    let epoch = server.user("ada").await.unwrap().epoch;
    server.log_out_user("ada", &operator()).await.unwrap();
    let list = list(&server).await;
    assert!(list.is_token_revoked(jti));
    assert!(list.is_user_revoked("Ada", epoch) && !list.is_user_revoked("bob", epoch));
    assert_eq!(list.len(), 3);
}

fn support_origin() -> sealgate_core::audit::Origin {
    sealgate_core::audit::Origin {
        address: Some(HERE),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_list_is_made_when_something_has_changed_or_half_of_its_life_is_over() {
    let site = Site::new();
    let server = site.server().await;
    let first = server.revocation_list().await.unwrap();
    site.clock.advance_millis(900);
    let again = server.revocation_list().await.unwrap();
    assert_eq!(first.tag(), again.tag());
    let key = create(&server, "client").await;
    let again = server.revocation_list().await.unwrap();
    assert_eq!(first.tag(), again.tag(), "a new key is no news");
    let id = key.record.id.to_string();
    server.revoke(&id, None, &operator()).await.unwrap();
    let second = server.revocation_list().await.unwrap();
    assert_ne!(first.tag(), second.tag());
    server.sync().await.unwrap();
    let again = server.revocation_list().await.unwrap();
    assert_eq!(second.tag(), again.tag(), "heard of twice");
    site.clock.advance_millis(1_800_000);
    let third = server.revocation_list().await.unwrap();
    assert_ne!(second.tag(), third.tag());
}

#[tokio::test]
async fn a_process_that_does_not_know_all_keys_tells_no_list() {
    let site = Site::new();
    let server = site.authority(site.store().await, Settings::default());
    server.start().await.unwrap();
    assert!(matches!(
        server.revocation_list().await,
        Err(Error::Unavailable(_))
    ));
    server.load_keys().await.unwrap();
    server.revocation_list().await.unwrap();
}

#[tokio::test]
async fn who_waited_for_a_list_while_the_keys_were_lost_gets_none_without_them() {
    let site = Site::new();
    let server = site.server().await;
    let key = create(&server, "client").await.record.id;
    server
        .revoke(&key.to_string(), None, &operator())
        .await
        .unwrap();
    revoke_tokens(&server, 0..2_000).await;
    server.sync().await.unwrap();
    let mut first = Box::pin(server.revocation_list());
    let mut second = Box::pin(server.revocation_list());
    // The first is long enough to be signed elsewhere, and the second waits for it.
    assert!(is_pending(&mut first).await && is_pending(&mut second).await);
    server.keyring().forget_all();
    // The first is too old by now for anybody else.
    site.clock.advance_millis(100);
    first.await.unwrap();
    assert!(matches!(second.await, Err(Error::Unavailable(_))));
}

async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(polled.is_pending())
    })
    .await
}

/// As if so many tokens had been ended, for a day.
async fn revoke_tokens(server: &Authority, tokens: std::ops::Range<u128>) {
    let last = server.now().plus_days(1);
    let revoked = tokens.map(|number| {
        let id = uuid::Uuid::from_u128(number);
        Change::Revoke(Revocation::new(Subject::Token(id), last))
    });
    let commit = Commit {
        changes: revoked.collect(),
        events: Vec::new(),
    };
    server.store().commit(commit).await.expect("a commit");
}

#[tokio::test]
async fn where_tokens_are_hs256_the_key_of_lists_verifies_no_token() {
    let site = Site::new();
    let hs256 = site.server().await;
    let keys = KeySet::parse(&hs256.jwk_set().to_string()).unwrap();
    let of_lists = keys.keys()[0].kid();
    let key = create(&hs256, "client").await;
    // A token by that very key: as if somebody had made the server sign one.
    let records = hs256.store().signing_keys().await.unwrap();
    let signing =
        sealgate_token::jwt::SigningKey::from_pkcs8(Algorithm::EdDsa, &records[0].pkcs8).unwrap();
    assert_eq!(signing.kid(), of_lists);
    let told = list(&hs256).await;
    assert!(!told.is_signer_honoured(&of_lists.to_string()));
    let now = hs256.now().as_seconds();
    let token = signing
        .issue(&sealgate_token::jwt::Claims {
            iss: "sealgate".to_owned(),
            sub: key.record.id.0,
            prefix: key.record.prefix.as_str().to_owned(),
            permissions: "api:read".to_owned(),
            is_admin: false,
            iat: now,
            exp: now + 60,
            auth_time: now,
            jti: uuid::Uuid::from_u128(7),
        })
        .unwrap();
    let refused = reason(bear(&hs256, &token).await);
    assert_eq!(refused, Reason::InvalidToken("unknown_signing_key"));
    // Nor where tokens are EdDSA: what signs them is another key.
    let settings = Settings {
        algorithm: Algorithm::EdDsa,
        ..Settings::default()
    };
    let eddsa = site.server_with(site.store().await, settings).await;
    let refused = reason(bear(&eddsa, &token).await);
    assert_eq!(refused, Reason::InvalidToken("unknown_signing_key"));
    let made = create(&eddsa, "another").await;
    let untrusted = Untrusted::parse(made.grant.token.expose()).unwrap();
    let Signer::Server { kid, .. } = untrusted.signer() else {
        panic!("not signed by a server key")
    };
    assert_ne!(kid, of_lists);
    // And a token of a managed key's secret stays what it was.
    bear(&hs256, key.grant.token.expose()).await.unwrap();
}

#[tokio::test]
async fn a_large_list_is_made_in_good_time() {
    let site = Site::new();
    let server = site.server().await;
    for batch in 0..10_u128 {
        revoke_tokens(&server, batch * 10_000..(batch + 1) * 10_000).await;
    }
    server.sync().await.unwrap();
    let signed = server.revocation_list().await.unwrap();
    assert!(
        signed.text().len() < 60 * 100_000,
        "{}",
        signed.text().len()
    );
    assert_eq!(list(&server).await.len(), 100_000);
    // One more is told after a fifth of a second.
    let key = create(&server, "client").await.record.id;
    server
        .revoke(&key.to_string(), None, &operator())
        .await
        .unwrap();
    let now = server.now().as_seconds();
    assert!(!list(&server).await.is_key_revoked(key.0, now));
    site.clock.advance_millis(200);
    assert!(list(&server).await.is_key_revoked(key.0, now));
}
