//! What can be asked about a token by who does not hold it, and how such a one revokes it.

mod support;

use std::net::IpAddr;

use sealgate_core::audit::{Actor, Origin};
use sealgate_core::authority::{
    ActiveToken, Authority, Caller, Created, Credential, Introspection, Revoked, Settings,
    TokenKind,
};
use sealgate_core::error::{Error, Reason};
use sealgate_core::key::{Environment, KeyId};
use sealgate_core::request::{KeyPatch, KeyRequest};
use sealgate_core::user::UserPatch;
use sealgate_token::jwt::TrustedClaims;
use support::{
    HERE, PASSWORD, START, Site, add_user, bear, create, log_in, operator, present, quick, reason,
    request,
};

const KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";

async fn server(site: &Site) -> Box<Authority> {
    let store = site.store().await;
    Box::new(Box::pin(site.server_with(store, quick())).await)
}

async fn session_of(authority: &Authority, name: &str) -> String {
    let logged_in = log_in(authority, (name, PASSWORD), Some(KEY), HERE).await;
    logged_in.expect("logs in").token.expose().to_owned()
}

#[track_caller]
fn active(introspection: Introspection) -> ActiveToken {
    match introspection {
        Introspection::Active(token) => *token,
        Introspection::Inactive => panic!("it is not active"),
    }
}

async fn is_active(authority: &Authority, token: &str) -> bool {
    authority.introspect(token).await.expect("an answer") != Introspection::Inactive
}

fn token_of(created: &Created) -> &str {
    created.grant.token.expose()
}

/// A service that asks, or revokes.
fn service(key_id: KeyId) -> Caller {
    Caller {
        actor: Actor::Key(key_id),
        origin: Origin::default(),
        status: Some(200),
    }
}

#[tokio::test]
async fn an_access_token_is_told_with_its_key_its_times_and_what_it_allows_now() {
    let site = Site::new();
    let server = server(&site).await;
    let key = create(&server, "App").await;
    let identity = bear(&server, token_of(&key)).await.unwrap();
    let told = active(server.introspect(token_of(&key)).await.unwrap());
    let expected = ActiveToken {
        kind: TokenKind::Access,
        scope: Some("api:read api:write".to_owned()),
        client_id: Some(key.record.id),
        username: None,
        subject: key.record.id.to_string(),
        issuer: "sealgate".to_owned(),
        audience: None,
        issued_at: Some(START.as_seconds()),
        not_before: None,
        expires_at: Some(START.as_seconds() + 3_600),
        jti: identity.token().map(TrustedClaims::jti),
    };
    assert_eq!(told, expected);

    let narrower = KeyPatch {
        permissions: Some("api:read other:thing".to_owned()),
        ..KeyPatch::default()
    };
    let id = key.record.id.to_string();
    server.update(&id, narrower, &operator()).await.unwrap();
    let told = active(server.introspect(token_of(&key)).await.unwrap());
    assert_eq!(told.scope.as_deref(), Some("api:read"));
}

#[tokio::test]
async fn an_administrator_may_do_everything_for_as_long_as_it_is_one() {
    let site = Site::new();
    let server = server(&site).await;
    let request = KeyRequest {
        is_admin: true,
        ..request("Operations")
    };
    let admin = server.create(request, &operator()).await.unwrap();
    for token in [token_of(&admin), admin.api_key.expose()] {
        let told = active(server.introspect(token).await.unwrap());
        assert_eq!(told.scope.as_deref(), Some("*"));
    }
    let plain = create(&server, "App").await;
    let told = active(server.introspect(plain.api_key.expose()).await.unwrap());
    assert_eq!(told.scope.as_deref(), Some("api:read api:write"));
}

#[tokio::test]
async fn a_session_is_told_without_its_seal_key_and_its_data_stays_sealed() {
    let site = Site::new();
    let server = server(&site).await;
    add_user(&server, "ada").await;
    let token = session_of(&server, "ada").await;
    let told = active(server.introspect(&token).await.unwrap());
    let session = server.open_session(&token, Some(KEY), HERE).await.unwrap();
    let expected = ActiveToken {
        kind: TokenKind::Session,
        scope: None,
        client_id: None,
        username: Some("ada".to_owned()),
        subject: "ada".to_owned(),
        issuer: "gomaluum".to_owned(),
        audience: Some("gomaluum".to_owned()),
        issued_at: Some(START.as_seconds()),
        not_before: Some(START.as_seconds()),
        expires_at: Some(START.as_seconds() + 28_800),
        jti: Some(session.token().jti()),
    };
    assert_eq!(told, expected);
    let shown = format!("{told:?}");
    assert!(!shown.contains("Lovelace") && !shown.contains("v4.local"));
}

#[tokio::test]
async fn a_managed_key_is_told_with_its_end_if_it_has_one() {
    let site = Site::new();
    let server = server(&site).await;
    let forever = create(&server, "App").await;
    let told = active(server.introspect(forever.api_key.expose()).await.unwrap());
    let expected = ActiveToken {
        kind: TokenKind::Key,
        scope: Some("api:read api:write".to_owned()),
        client_id: Some(forever.record.id),
        username: None,
        subject: forever.record.id.to_string(),
        issuer: "sealgate".to_owned(),
        audience: None,
        issued_at: Some(START.as_seconds()),
        not_before: None,
        expires_at: None,
        jti: None,
    };
    assert_eq!(told, expected);

    site.clock.advance_millis(500);
    let short = KeyRequest {
        expires_in_days: Some(1),
        ..request("Short")
    };
    let short = server.create(short, &operator()).await.unwrap();
    let text = short.api_key.expose();
    let told = active(server.introspect(text).await.unwrap());
    assert_eq!(told.expires_at, Some(START.as_seconds() + 86_401));
    site.clock.advance_millis(86_399_999);
    assert!(is_active(&server, text).await);
    site.clock.advance_millis(1);
    assert!(!is_active(&server, text).await);
}

#[tokio::test]
async fn in_its_grace_a_key_that_was_replaced_is_told_to_end_with_it_and_so_is_its_token() {
    let site = Site::new();
    let server = server(&site).await;
    let key = create(&server, "App").await;
    let id = key.record.id.to_string();
    server.rotate(&id, 60, None, &operator()).await.unwrap();
    for token in [key.api_key.expose(), token_of(&key)] {
        let told = active(server.introspect(token).await.unwrap());
        assert_eq!(told.expires_at, Some(START.as_seconds() + 60));
    }
}

#[tokio::test]
async fn what_is_no_token_or_nobodys_is_not_active() {
    let site = Site::new();
    let server = server(&site).await;
    let elsewhere = Site::new();
    let far = self::server(&elsewhere).await;
    let stranger = create(&far, "App").await;
    let (key, other) = (create(&server, "A").await, create(&server, "B").await);
    let mistyped = key.api_key.expose().replace('.', "x");
    let (head, _) = token_of(&key).rsplit_once('.').unwrap();
    let (_, foreign) = token_of(&other).rsplit_once('.').unwrap();
    let forged = format!("{head}.{foreign}");
    let mut swapped = key.api_key.expose().to_owned();
    let last = if swapped.pop() == Some('a') { 'b' } else { 'a' };
    swapped.push(last);
    let long = "a".repeat(20_000);
    for token in [
        "",
        " ",
        "nonsense",
        "v4.public.",
        "v4.public.nonsense",
        "v4.local.nonsense",
        "..",
        "\u{0}",
        &mistyped,
        &swapped,
        &forged,
        &long,
        stranger.api_key.expose(),
        token_of(&stranger),
    ] {
        assert!(!is_active(&server, token).await, "{token}");
        let caller = service(other.record.id);
        server.revoke_presented(token, &caller).await.unwrap();
    }
    let listed = server.store().revocations_after(None, 10).await.unwrap();
    assert!(listed.is_empty());
}

#[tokio::test]
async fn key_and_token_are_not_active_while_the_key_is_not_honoured() {
    let site = Site::new();
    let server = server(&site).await;
    let key = create(&server, "App").await;
    let id = key.record.id.to_string();
    let switched = |is_active| KeyPatch {
        is_active: Some(is_active),
        ..KeyPatch::default()
    };
    for (is_on, patch) in [(false, switched(false)), (true, switched(true))] {
        server.update(&id, patch, &operator()).await.unwrap();
        for token in [key.api_key.expose(), token_of(&key)] {
            assert_eq!(is_active(&server, token).await, is_on);
        }
    }
    server.revoke(&id, None, &operator()).await.unwrap();
    let testing = KeyRequest {
        environment: Some(Environment::Testing),
        ..request("Elsewhere")
    };
    let testing = server.create(testing, &operator()).await.unwrap();
    let replaced = create(&server, "Replaced").await;
    let replaced_id = replaced.record.id.to_string();
    let rotated = server.rotate(&replaced_id, 0, None, &operator()).await;
    for key in [&key, &testing, &replaced] {
        for token in [key.api_key.expose(), token_of(key)] {
            assert!(!is_active(&server, token).await);
        }
    }
    assert!(is_active(&server, rotated.unwrap().new.api_key.expose()).await);
}

#[tokio::test]
async fn expired_and_logged_out_tokens_and_sessions_that_are_over_are_not_active() {
    let site = Site::new();
    let server = server(&site).await;
    let key = create(&server, "App").await;
    let identity = bear(&server, token_of(&key)).await.unwrap();
    server.end_token(&identity, &operator()).await.unwrap();
    assert!(!is_active(&server, token_of(&key)).await);

    add_user(&server, "ada").await;
    add_user(&server, "bob").await;
    let ended = session_of(&server, "ada").await;
    let origin = Origin::default();
    server.end_session(&ended, &origin).await.unwrap();
    let of_disabled = session_of(&server, "bob").await;
    let off = UserPatch {
        is_active: Some(false),
        ..UserPatch::default()
    };
    server.update_user("bob", off, &operator()).await.unwrap();
    let expiring = session_of(&server, "ada").await;
    for (token, is_good) in [(&ended, false), (&of_disabled, false), (&expiring, true)] {
        assert_eq!(is_active(&server, token).await, is_good);
    }
    let other = create(&server, "Other").await;
    site.clock.advance_millis(3_600_000);
    server.sync().await.unwrap();
    assert!(!is_active(&server, token_of(&other)).await);
    site.clock.advance_millis(25_200_000);
    server.sync().await.unwrap();
    assert!(!is_active(&server, &expiring).await);
}

#[tokio::test]
async fn to_be_asked_about_is_no_use_and_takes_nothing_off_a_limit_from_wherever_it_is_asked() {
    let site = Site::new();
    let server = server(&site).await;
    let request = KeyRequest {
        rate_limit: Some(2),
        allowed_ips: vec!["192.0.2.0/24".to_owned()],
        ..request("App")
    };
    let key = server.create(request, &operator()).await.unwrap();
    for _ in 0..5 {
        for token in [key.api_key.expose(), token_of(&key)] {
            assert!(is_active(&server, token).await);
        }
    }
    let refused = reason(present(&server, &key).await);
    assert_eq!(refused, Reason::AddressNotAllowed);
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let credential = Credential::Key(key.api_key.expose());
    let identity = server.authenticate(credential, address).await.unwrap();
    assert_eq!(identity.allowance().unwrap().remaining, 1);
    server.write_uses().await.unwrap();
    let record = server.key(&key.record.id.to_string()).await.unwrap();
    assert_eq!((record.use_count, record.last_used_at), (0, None));
}

#[tokio::test]
async fn a_key_that_another_process_made_is_found() {
    let site = Site::new();
    let server = server(&site).await;
    let made = create(&site.command_line().await, "App").await;
    assert!(is_active(&server, made.api_key.expose()).await);
    let made = create(&site.command_line().await, "App").await;
    assert!(is_active(&server, token_of(&made)).await);
}

#[tokio::test]
async fn a_store_out_of_reach_is_an_error_and_not_an_inactive_token() {
    let site = Site::new();
    let server = server(&site).await;
    let key = create(&server, "App").await;
    server.store().close().await;
    site.clock.advance_millis(1_001);
    let asked = server.introspect(token_of(&key)).await;
    assert!(matches!(asked, Err(Error::Unavailable(_))), "{asked:?}");
    let caller = service(key.record.id);
    let revoked = server.revoke_presented(token_of(&key), &caller).await;
    assert!(matches!(revoked, Err(Error::Unavailable(_))), "{revoked:?}");
}

#[tokio::test]
async fn a_revoked_access_token_is_dead_everywhere_and_its_key_and_other_tokens_are_not() {
    let site = Site::new();
    let (here, there) = (server(&site).await, server(&site).await);
    let (key, asking) = (create(&here, "App").await, create(&here, "Gateway").await);
    let identity = present(&here, &key).await.unwrap();
    let spared = here.exchange(&identity, &operator()).await.unwrap();
    let caller = service(asking.record.id);
    let revoked = here.revoke_presented(token_of(&key), &caller).await;
    assert_eq!(revoked.unwrap(), Revoked::Token);
    there.sync().await.unwrap();
    for process in [&here, &there] {
        assert!(!is_active(process, token_of(&key)).await);
        let over = reason(bear(process, token_of(&key)).await);
        assert_eq!(over, Reason::InvalidToken("token_revoked"));
        assert!(is_active(process, spared.token.expose()).await);
        present(process, &key).await.unwrap();
    }
    let again = here.revoke_presented(token_of(&key), &caller).await;
    assert_eq!(again.unwrap(), Revoked::Nothing);
    let [event] = &newest(&here, "token.revoked").await[..] else {
        panic!("there is one record");
    };
    assert_eq!(event["actor"], format!("key:{}", asking.record.id));
    assert_eq!(event["key_id"], key.record.id.to_string());
    assert_eq!(event["status"], 200);
}

#[tokio::test]
async fn a_revoked_session_token_ends_its_whole_session_and_the_log_tells_whose_and_by_whom() {
    let site = Site::new();
    let (here, there) = (server(&site).await, server(&site).await);
    let asking = create(&here, "Gateway").await;
    add_user(&here, "ada").await;
    let first = session_of(&here, "ada").await;
    let spared = session_of(&here, "ada").await;
    let origin = Origin::default();
    let renewed = here.renew_session(&first, Some(KEY), HERE, &origin).await;
    let renewed = renewed.unwrap().token;
    let caller = service(asking.record.id);
    let revoked = here.revoke_presented(renewed.expose(), &caller).await;
    assert_eq!(revoked.unwrap(), Revoked::Session);
    there.sync().await.unwrap();
    for process in [&here, &there] {
        for token in [&first, renewed.expose()] {
            assert!(!is_active(process, token).await);
        }
        assert!(is_active(process, &spared).await);
    }
    let again = here.revoke_presented(&first, &caller).await;
    assert_eq!(again.unwrap(), Revoked::Nothing);
    let [event] = &newest(&here, "session.ended").await[..] else {
        panic!("there is one record");
    };
    assert_eq!(event["actor"], format!("key:{}", asking.record.id));
    assert_eq!(event["details"]["username"], "ada");
    assert!(event["details"]["sid"].is_string());
}

#[tokio::test]
async fn a_token_that_is_revoked_while_its_key_is_off_does_not_come_back_with_it() {
    let site = Site::new();
    let server = server(&site).await;
    let (key, asking) = (create(&server, "App").await, create(&server, "B").await);
    let id = key.record.id.to_string();
    let switched = |is_active| KeyPatch {
        is_active: Some(is_active),
        ..KeyPatch::default()
    };
    let off = server.update(&id, switched(false), &operator()).await;
    off.unwrap();
    let caller = service(asking.record.id);
    let revoked = server.revoke_presented(token_of(&key), &caller).await;
    assert_eq!(revoked.unwrap(), Revoked::Token);
    let on = server.update(&id, switched(true), &operator()).await;
    on.unwrap();
    assert!(is_active(&server, key.api_key.expose()).await);
    assert!(!is_active(&server, token_of(&key)).await);
}

#[tokio::test]
async fn a_managed_key_is_not_revoked_as_a_token() {
    let site = Site::new();
    let server = server(&site).await;
    let key = create(&server, "App").await;
    let caller = service(key.record.id);
    let revoked = server
        .revoke_presented(key.api_key.expose(), &caller)
        .await
        .unwrap();
    assert_eq!(revoked, Revoked::ManagedKey);
    present(&server, &key).await.unwrap();
}

#[tokio::test]
async fn tokens_of_another_issuer_are_neither_active_nor_revoked() {
    let site = Site::new();
    let settings = Settings {
        issuer: "elsewhere".into(),
        ..quick()
    };
    let elsewhere = Box::pin(site.server_with(site.store().await, settings)).await;
    let key = create(&elsewhere, "App").await;
    let server = server(&site).await;
    assert!(is_active(&elsewhere, token_of(&key)).await);
    assert!(!is_active(&server, token_of(&key)).await);
    let caller = service(key.record.id);
    let revoked = server.revoke_presented(token_of(&key), &caller).await;
    assert_eq!(revoked.unwrap(), Revoked::Nothing);
}

/// The records of an action, newest first, as the API shows them.
async fn newest(authority: &Authority, action: &str) -> Vec<serde_json::Value> {
    let page = authority.logs(None, None, Some(100)).await;
    let page = page.expect("a page");
    let events = page.events.iter();
    let events = events.map(|event| serde_json::to_value(event).expect("JSON"));
    events.filter(|event| event["action"] == action).collect()
}
