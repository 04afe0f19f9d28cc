//! What ends sessions although settings, directories or clocks are not what they were.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use sealgate_core::audit::Origin;
use sealgate_core::authority::{Authority, LONGEST_SESSION_SECONDS, SessionSettings, Settings};
use sealgate_core::error::{Error, Reason};
use sealgate_core::identity::{IdentityProvider, NotIdentified, UserData};
use sealgate_core::secret::SecretText;
use serde_json::Map;

use support::{HERE, PASSWORD, Site, add_user, log_in, operator, quick, reason};

const ADA: (&str, &str) = ("ada", PASSWORD);

fn lasting(seconds: i64) -> Settings {
    Settings {
        sessions: SessionSettings {
            idle_seconds: seconds,
            max_seconds: seconds,
            ..SessionSettings::default()
        },
        ..quick()
    }
}

async fn server(site: &Site, settings: Settings) -> Box<Authority> {
    let store = site.store().await;
    Box::new(Box::pin(site.server_with(store, settings)).await)
}

async fn token(authority: &Authority) -> String {
    let logged_in = log_in(authority, ADA, None, HERE).await;
    logged_in.expect("logs in").token.expose().to_owned()
}

async fn pass(site: &Site, authority: &Authority, seconds: i64) {
    site.clock.advance_millis(seconds * 1_000);
    authority.sync().await.expect("syncs");
    authority.forget_sessions().await.expect("forgets");
}

#[tokio::test]
async fn a_shorter_lifetime_counts_for_the_sessions_that_are_there() {
    let site = Site::new();
    let generous = server(&site, lasting(7_200)).await;
    add_user(&generous, "ada").await;
    let token = token(&generous).await;
    let strict = server(&site, lasting(60)).await;
    strict.open_session(&token, None, HERE).await.unwrap();
    pass(&site, &strict, 60).await;
    let over = strict.open_session(&token, None, HERE).await;
    assert_eq!(reason(over), Reason::InvalidToken("lifetime_over"));
}

#[tokio::test]
async fn a_user_s_revocation_outlives_every_token_whatever_the_settings_of_who_made_it() {
    let site = Site::new();
    let month = 30 * 86_400;
    let generous = server(&site, lasting(month)).await;
    add_user(&generous, "ada").await;
    let token = token(&generous).await;
    // At a command line with other settings than the server's.
    let cli = site.command_line_with(lasting(1)).await;
    cli.log_out_user("ada", &operator()).await.unwrap();
    for _ in 0..3 {
        pass(&site, &generous, month / 3 - 1).await;
        let ended = generous.open_session(&token, None, HERE).await;
        assert_eq!(reason(ended), Reason::InvalidToken("sessions_ended"));
    }
    pass(&site, &generous, LONGEST_SESSION_SECONDS).await;
    assert_eq!(
        generous.store().revocations_after(None, 10).await.unwrap(),
        []
    );
}

/// A directory that knows everybody.
struct Elsewhere;

#[async_trait]
impl IdentityProvider for Elsewhere {
    async fn identify(&self, _: &str, _: &SecretText) -> Result<UserData, NotIdentified> {
        Ok(UserData(Map::new()))
    }

    fn describe(&self) -> String {
        "elsewhere".to_owned()
    }
}

#[tokio::test]
async fn users_of_a_directory_outside_are_logged_out_though_a_row_of_theirs_is_left_here() {
    let site = Site::new();
    add_user(&*server(&site, quick()).await, "ada").await;
    site.clock.advance_millis(60_000);
    let store = site.store().await;
    let moved = site
        .authority(store, quick())
        .with_directory(Arc::new(Elsewhere));
    let moved = Box::new(moved);
    moved.start().await.unwrap();
    moved.load_keys().await.unwrap();
    for name in ["ada", "bob"] {
        let login = async || {
            let logged_in = log_in(&moved, (name, "anything"), None, HERE).await;
            logged_in.expect("logs in").token.expose().to_owned()
        };
        let token = login().await;
        moved.open_session(&token, None, HERE).await.unwrap();
        moved.log_out_user(name, &operator()).await.unwrap();
        let ended = moved.open_session(&token, None, HERE).await;
        assert_eq!(
            reason(ended),
            Reason::InvalidToken("sessions_ended"),
            "{name}"
        );
        // All within the same millisecond, by the clock of the test.
        let again = login().await;
        moved.open_session(&again, None, HERE).await.unwrap();
        moved.log_out_user(name, &operator()).await.unwrap();
        let ended = moved.open_session(&again, None, HERE).await;
        assert_eq!(
            reason(ended),
            Reason::InvalidToken("sessions_ended"),
            "{name}"
        );
    }
    let made = serde_json::json!({"username": "eve", "password": PASSWORD});
    let made = serde_json::from_value(made).unwrap();
    let refused = moved.create_user(made, &operator()).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn a_user_made_anew_can_log_in_though_the_clock_was_set_back() {
    let site = Site::new();
    let authority = server(&site, quick()).await;
    add_user(&authority, "ada").await;
    let old = token(&authority).await;
    authority.delete_user("ada", &operator()).await.unwrap();
    site.clock.advance_millis(-500);
    let cli = site.command_line_with(quick()).await;
    add_user(&cli, "ada").await;
    let new = token(&authority).await;
    assert!(authority.open_session(&old, None, HERE).await.is_err());
    authority.open_session(&new, None, HERE).await.unwrap();
    authority
        .end_session(&new, &Origin::default())
        .await
        .unwrap();
}
