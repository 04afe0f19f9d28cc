//! Users' sessions through their life: sealed, opened, renewed, ended, and what ends them from outside.

mod support;

use sealgate_core::audit::Origin;
use sealgate_core::authority::{Authority, Session, SessionSettings, Settings};
use sealgate_core::error::{Error, LoginFailure, Reason};
use sealgate_core::user::UserPatch;
use sealgate_core::view::SigningState;

use support::{HERE, PASSWORD, Site, add_user, log_in, operator, quick, reason};

const KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";
const OTHER_KEY: &str = "gml_1703123456_ffffffffffffffffffffffffffffffffffffffff";
const ADA: (&str, &str) = ("ada", PASSWORD);

async fn server(site: &Site) -> Box<Authority> {
    server_with(site, quick()).await
}

async fn server_with(site: &Site, settings: Settings) -> Box<Authority> {
    let store = site.store().await;
    Box::new(Box::pin(site.server_with(store, settings)).await)
}

/// A server with ada, and a token of hers sealed with [`KEY`].
async fn logged_in(site: &Site) -> (Box<Authority>, String) {
    let authority = server(site).await;
    add_user(&authority, "ada").await;
    let token = token(&authority, Some(KEY)).await;
    (authority, token)
}

async fn token(authority: &Authority, seal_key: Option<&str>) -> String {
    let logged_in = log_in(authority, ADA, seal_key, HERE).await;
    logged_in.expect("logs in").token.expose().to_owned()
}

async fn open(authority: &Authority, token: &str, key: Option<&str>) -> Result<Session, Error> {
    authority.open_session(token, key, HERE).await
}

#[tokio::test]
async fn the_login_s_key_opens_what_the_directory_told() {
    let site = Site::new();
    let (authority, token) = logged_in(&site).await;
    assert!(
        token.starts_with("v4.public.eyJhdWQiOiJnb21hbHV1bSIs"),
        "{token}"
    );
    for _ in 0..2 {
        let session = open(&authority, &token, Some(KEY)).await.unwrap();
        assert_eq!(session.username(), "ada");
        let data: serde_json::Value = serde_json::from_str(session.data()).unwrap();
        assert_eq!(data["display_name"], "Ada Lovelace");
        assert_eq!(data["roles"], serde_json::json!(["student"]));
        assert_eq!(data["email"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn no_other_key_opens_it_whether_or_not_it_was_opened_before() {
    let site = Site::new();
    let (authority, token) = logged_in(&site).await;
    let wrong = Reason::WrongSealKey {
        username: "ada".to_owned(),
    };
    for _ in 0..2 {
        assert_eq!(
            reason(open(&authority, &token, Some(OTHER_KEY)).await),
            wrong
        );
        assert_eq!(reason(open(&authority, &token, None).await), wrong);
        open(&authority, &token, Some(KEY)).await.unwrap();
    }
    let malformed = open(&authority, &token, Some("nonsense")).await;
    assert_eq!(reason(malformed), Reason::MalformedSealKey);
}

#[tokio::test]
async fn any_altered_byte_of_a_token_is_refused_though_the_token_was_opened_before() {
    let site = Site::new();
    let (authority, token) = logged_in(&site).await;
    open(&authority, &token, Some(KEY)).await.unwrap();
    for place in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        match reason(open(&authority, &altered, Some(KEY)).await) {
            Reason::InvalidToken(_) => {}
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_renewed_and_at_the_longest_lifetime_at_last() {
    let site = Site::new();
    let settings = Settings {
        sessions: SessionSettings {
            idle_seconds: 60,
            max_seconds: 150,
            ..SessionSettings::default()
        },
        ..quick()
    };
    let authority = server_with(&site, settings).await;
    add_user(&authority, "ada").await;
    let first = token(&authority, Some(KEY)).await;
    let renew = async |token: &str| {
        authority
            .renew_session(token, Some(KEY), HERE, &Origin::default())
            .await
            .map(|it| it.token.expose().to_owned())
    };
    site.clock.advance_millis(59_000);
    authority.sync().await.unwrap();
    let second = renew(&first).await.unwrap();
    site.clock.advance_millis(1_000);
    authority.sync().await.unwrap();
    assert_eq!(
        reason(open(&authority, &first, Some(KEY)).await),
        Reason::InvalidToken("expired")
    );
    open(&authority, &second, Some(KEY)).await.unwrap();

    site.clock.advance_millis(58_000);
    authority.sync().await.unwrap();
    let third = renew(&second).await.unwrap();
    let session = open(&authority, &third, Some(KEY)).await.unwrap();
    assert_eq!(
        session.token().expires_at() - session.token().auth_time(),
        150
    );
    site.clock.advance_millis(32_000);
    authority.sync().await.unwrap();
    assert!(matches!(
        reason(renew(&third).await),
        Reason::InvalidToken(_)
    ));
}

#[tokio::test]
async fn a_renewal_keeps_the_data_and_takes_the_same_key_alone() {
    let site = Site::new();
    let (authority, token) = logged_in(&site).await;
    let wrong = authority
        .renew_session(&token, Some(OTHER_KEY), HERE, &Origin::default())
        .await;
    assert!(matches!(reason(wrong), Reason::WrongSealKey { .. }));
    let renewed = authority
        .renew_session(&token, Some(KEY), HERE, &Origin::default())
        .await
        .unwrap();
    let old = open(&authority, &token, Some(KEY)).await.unwrap();
    let new = open(&authority, renewed.token.expose(), Some(KEY))
        .await
        .unwrap();
    assert_eq!(old.data(), new.data());
    assert_ne!(old.token().jti(), new.token().jti());
    assert_eq!(old.token().auth_time(), new.token().auth_time());
}

#[tokio::test]
async fn a_logout_is_effective_in_every_process_and_after_a_restart() {
    let site = Site::new();
    let (here, token) = logged_in(&site).await;
    let there = server(&site).await;
    let spared = self::token(&here, Some(KEY)).await;
    open(&there, &token, Some(KEY)).await.unwrap();

    here.end_session(&token, &Origin::default()).await.unwrap();
    let over = Reason::InvalidToken("session_ended");
    assert_eq!(reason(open(&here, &token, Some(KEY)).await), over);
    there.sync().await.unwrap();
    assert_eq!(reason(open(&there, &token, Some(KEY)).await), over);
    let again = server(&site).await;
    assert_eq!(reason(open(&again, &token, Some(KEY)).await), over);
    for process in [&here, &there, &again] {
        open(process, &spared, Some(KEY)).await.unwrap();
    }
    assert_eq!(
        reason(here.end_session(&token, &Origin::default()).await),
        over
    );
}

#[tokio::test]
async fn a_logout_ends_every_token_of_its_session_and_no_other_session() {
    let site = Site::new();
    let (authority, first) = logged_in(&site).await;
    let other = token(&authority, Some(KEY)).await;
    let mut tokens = vec![first];
    for _ in 0..3 {
        let newest = tokens.last().unwrap();
        let renewed = authority
            .renew_session(newest, Some(KEY), HERE, &Origin::default())
            .await
            .unwrap();
        tokens.push(renewed.token.expose().to_owned());
    }
    authority
        .end_session(&tokens[1], &Origin::default())
        .await
        .unwrap();
    for token in &tokens {
        let over = reason(open(&authority, token, Some(KEY)).await);
        assert_eq!(over, Reason::InvalidToken("session_ended"));
    }
    open(&authority, &other, Some(KEY)).await.unwrap();
    let listed = authority.store().revocations_after(None, 10).await;
    assert_eq!(listed.unwrap().len(), 1);
}

#[tokio::test]
async fn what_ends_a_user_s_sessions_ends_all_of_them_everywhere() {
    type Ending =
        for<'a> fn(&'a Authority) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    let endings: [(&str, Ending); 4] = [
        ("password", |authority| {
            Box::pin(async {
                let password =
                    sealgate_core::secret::SecretText::new("another good password".into());
                let caller = operator();
                let changed = authority.set_password("Ada", password, &caller);
                changed.await.unwrap();
            })
        }),
        ("disable", |authority| {
            Box::pin(async {
                let patch = UserPatch {
                    is_active: Some(false),
                    ..UserPatch::default()
                };
                authority
                    .update_user("ada", patch, &operator())
                    .await
                    .unwrap();
            })
        }),
        ("log out", |authority| {
            Box::pin(async { authority.log_out_user("ada", &operator()).await.unwrap() })
        }),
        ("delete", |authority| {
            Box::pin(async { drop(authority.delete_user("ada", &operator()).await.unwrap()) })
        }),
    ];
    for (name, end) in endings {
        let site = Site::new();
        let (here, token) = logged_in(&site).await;
        let there = server(&site).await;
        add_user(&here, "bob").await;
        let bobs = log_in(&here, ("bob", PASSWORD), Some(KEY), HERE)
            .await
            .unwrap();
        open(&there, &token, Some(KEY)).await.unwrap();
        // At the command line, which serves nobody.
        end(&site.command_line_with(quick()).await).await;
        for process in [&here, &there] {
            process.sync().await.unwrap();
            let ended = reason(open(process, &token, Some(KEY)).await);
            assert_eq!(ended, Reason::InvalidToken("sessions_ended"), "{name}");
            open(process, bobs.token.expose(), Some(KEY)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_user_who_comes_back_under_the_same_name_gets_none_of_the_old_sessions() {
    let site = Site::new();
    let (authority, old) = logged_in(&site).await;
    authority.delete_user("ada", &operator()).await.unwrap();
    site.clock.advance_millis(1);
    add_user(&authority, "ADA").await;
    let new = token(&authority, Some(KEY)).await;
    assert!(open(&authority, &old, Some(KEY)).await.is_err());
    open(&authority, &new, Some(KEY)).await.unwrap();
}

#[tokio::test]
async fn revocations_are_forgotten_once_their_tokens_have_expired() {
    let site = Site::new();
    let (authority, token) = logged_in(&site).await;
    authority
        .end_session(&token, &Origin::default())
        .await
        .unwrap();
    authority.log_out_user("ada", &operator()).await.unwrap();
    assert_eq!(
        authority
            .store()
            .revocations_after(None, 10)
            .await
            .unwrap()
            .len(),
        2
    );
    authority.forget_sessions().await.unwrap();
    assert_eq!(
        authority
            .store()
            .revocations_after(None, 10)
            .await
            .unwrap()
            .len(),
        2
    );
    let day = 86_400_000;
    site.clock.advance_millis(7 * day + 300_000);
    authority.sync().await.unwrap();
    authority.forget_sessions().await.unwrap();
    // That of the user stays, however long sessions once could last.
    assert_eq!(
        authority
            .store()
            .revocations_after(None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    site.clock.advance_millis(358 * day);
    authority.sync().await.unwrap();
    authority.forget_sessions().await.unwrap();
    assert_eq!(
        authority.store().revocations_after(None, 10).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn the_default_key_seals_until_a_key_is_required() {
    let site = Site::new();
    let lenient = server(&site).await;
    add_user(&lenient, "ada").await;
    let token = token(&lenient, None).await;
    open(&lenient, &token, None).await.unwrap();
    open(&lenient, &token, Some("gomaluum-default-key-2024"))
        .await
        .unwrap();
    let empty = open(&lenient, &token, Some("")).await;
    assert_eq!(reason(empty), Reason::MalformedSealKey);
    let settings = Settings {
        sessions: SessionSettings {
            require_key: true,
            ..SessionSettings::default()
        },
        ..quick()
    };
    let strict = server_with(&site, settings).await;
    for key in [None, Some("gomaluum-default-key-2024")] {
        assert_eq!(
            reason(open(&strict, &token, key).await),
            Reason::SealKeyRequired
        );
        assert_eq!(
            reason(log_in(&strict, ADA, key, HERE).await),
            Reason::SealKeyRequired
        );
    }
    log_in(&strict, ADA, Some(KEY), HERE).await.unwrap();
}

#[tokio::test]
async fn a_rotated_signing_key_verifies_until_its_last_token_has_expired() {
    let site = Site::new();
    let at_once = Settings {
        publish_lead_seconds: 0,
        ..quick()
    };
    let here = server_with(&site, at_once).await;
    add_user(&here, "ada").await;
    let old = token(&here, Some(KEY)).await;
    let there = server(&site).await;
    let before = here.session_key_views();
    let new_key = here.rotate_session_keys(false, &operator()).await.unwrap();
    let new = token(&here, Some(KEY)).await;
    // The other process has not heard of the key yet, and asks.
    open(&there, &new, Some(KEY)).await.unwrap();
    there.sync().await.unwrap();
    for process in [&here, &there] {
        open(process, &old, Some(KEY)).await.unwrap();
        let kids: Vec<_> = process
            .session_key_views()
            .into_iter()
            .map(|key| key.kid)
            .collect();
        assert_eq!(kids, [new_key.kid.clone(), before[0].kid.clone()]);
    }
    // To the last second of the last token it can have signed.
    site.clock.advance_millis(28_800_000 - 2_000);
    here.sync().await.unwrap();
    here.forget_sessions().await.unwrap();
    open(&here, &old, Some(KEY)).await.unwrap();
    site.clock.advance_millis(302_000);
    here.sync().await.unwrap();
    assert_eq!(here.session_key_views().len(), 1);
    here.forget_sessions().await.unwrap();
    assert_eq!(here.session_key_views().len(), 1);
    assert_eq!(here.store().session_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_signing_key_is_published_everywhere_before_it_signs() {
    let site = Site::new();
    let (here, first) = logged_in(&site).await;
    let there = server(&site).await;
    let made = here.rotate_session_keys(false, &operator()).await.unwrap();
    assert_eq!(made.state, SigningState::Published);
    let signer = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for (advance, is_new) in [(7_200_000 - 1, false), (1, true)] {
        site.clock.advance_millis(advance);
        for process in [&here, &there] {
            let issued = token(process, Some(KEY)).await;
            assert_eq!(signer(&issued) != signer(&first), is_new);
            let views = process.session_key_views();
            assert_eq!((views.len(), &views[0].kid), (2, &made.kid));
            open(process, &first, Some(KEY)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_signing_key_that_is_replaced_at_once_ends_every_session_everywhere() {
    let site = Site::new();
    let (here, token) = logged_in(&site).await;
    let there = server(&site).await;
    open(&there, &token, Some(KEY)).await.unwrap();
    let cli = site.command_line_with(quick()).await;
    cli.rotate_session_keys(true, &operator()).await.unwrap();
    for process in [&here, &there] {
        process.sync().await.unwrap();
        let over = reason(open(process, &token, Some(KEY)).await);
        assert_eq!(over, Reason::InvalidToken("unknown_signing_key"));
        self::token(process, Some(KEY)).await;
    }
}

#[tokio::test]
async fn an_access_token_that_was_logged_out_is_dead_everywhere_and_its_key_is_not() {
    let site = Site::new();
    let here = site.server().await;
    let there = site.server().await;
    let key = support::create(&here, "App").await;
    let token = key.grant.token.expose();
    support::bear(&there, token).await.unwrap();
    let identity = support::bear(&here, token).await.unwrap();
    here.end_token(&identity, &operator()).await.unwrap();
    there.sync().await.unwrap();
    for process in [&here, &there] {
        let over = reason(support::bear(process, token).await);
        assert_eq!(over, Reason::InvalidToken("token_revoked"));
        support::present(process, &key).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_is_refused_when_the_store_was_silent_for_too_long() {
    let site = Site::new();
    let (authority, token) = logged_in(&site).await;
    authority.store().close().await;
    site.clock.advance_millis(1_001);
    let refused = open(&authority, &token, Some(KEY)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_disabled_user_s_right_password_is_refused_like_a_wrong_one() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    add_user(&authority, "bob").await;
    let patch = UserPatch {
        is_active: Some(false),
        ..UserPatch::default()
    };
    authority
        .update_user("ada", patch, &operator())
        .await
        .unwrap();
    let failed = |why, username: Option<&str>| Reason::LoginFailed {
        why,
        username: username.map(str::to_owned),
    };
    for (login, expected) in [
        (ADA, failed(LoginFailure::UserDisabled, Some("ada"))),
        // Not even the log tells whether it was the right one: it was not looked at.
        (
            ("ada", "wrong"),
            failed(LoginFailure::UserDisabled, Some("ada")),
        ),
        (
            ("bob", "wrong"),
            failed(LoginFailure::WrongPassword, Some("bob")),
        ),
        (("eve", "wrong"), failed(LoginFailure::UnknownUser, None)),
    ] {
        assert_eq!(
            reason(log_in(&authority, login, Some(KEY), HERE).await),
            expected
        );
    }
}
