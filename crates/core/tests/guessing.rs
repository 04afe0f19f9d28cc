//! What a guesser of passwords runs into, and what the user who is guessed at does not.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use sealgate_core::audit::Action;
use sealgate_core::authority::{Authority, LoggedIn};
use sealgate_core::error::{Error, Reason};
use sealgate_core::identity::{IdentityProvider, NotIdentified, UserData};
use sealgate_core::secret::SecretText;

use support::{PASSWORD, Site, add_user, log_in, quick, reason, refuse};

const HOME: &str = "192.0.2.1";

async fn server(site: &Site) -> Box<Authority> {
    let store = site.store().await;
    Box::new(Box::pin(site.server_with(store, quick())).await)
}

async fn attempt(
    authority: &Authority,
    name: &str,
    password: &str,
    from: &str,
) -> Result<LoggedIn, Error> {
    let address: IpAddr = from.parse().expect("an address");
    log_in(authority, (name, password), None, address).await
}

/// Guesses until the guard says no; gives how often it did not, and how long it wants to wait.
async fn guess_until_stopped(authority: &Authority, name: &str, from: &str) -> (u32, Duration) {
    for tries in 0..100 {
        match reason(attempt(authority, name, "guess", from).await) {
            Reason::LoginFailed { .. } => {}
            Reason::TooManyAttempts { retry_after, .. } => return (tries, retry_after),
            other => panic!("{other:?}"),
        }
    }
    panic!("never stopped");
}

#[tokio::test]
async fn a_guesser_is_stopped_after_a_few_tries_and_for_longer_each_time() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    let (tries, first) = guess_until_stopped(&authority, "ada", "198.51.100.1").await;
    assert!((5..=6).contains(&tries), "{tries}");
    assert_eq!(first, Duration::from_secs(1));
    site.clock.advance_millis(1_000);
    authority.sync().await.unwrap();
    let (tries, second) = guess_until_stopped(&authority, "ada", "198.51.100.1").await;
    assert_eq!((tries, second), (1, Duration::from_secs(2)));
}

#[tokio::test]
async fn guesses_from_many_addresses_at_one_account_count_together() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    let mut stopped = 0;
    for host in 1..=50 {
        let from = format!("198.51.100.{host}");
        match reason(attempt(&authority, "ADA", "guess", &from).await) {
            Reason::TooManyAttempts { .. } => stopped += 1,
            Reason::LoginFailed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(stopped >= 44, "{stopped}");
}

#[tokio::test]
async fn guesses_of_one_address_at_many_accounts_count_together() {
    let site = Site::new();
    let authority = server(&site).await;
    let mut stopped = 0;
    for number in 0..50 {
        let name = format!("user{number}");
        let from = format!("2001:db8::{number:x}");
        match reason(attempt(&authority, &name, "guess", &from).await) {
            Reason::TooManyAttempts { .. } => stopped += 1,
            Reason::LoginFailed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(stopped >= 44, "{stopped}");
}

#[tokio::test]
async fn nobody_elsewhere_locks_a_user_out_of_a_known_address_not_even_over_a_restart() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    attempt(&authority, "ada", PASSWORD, HOME).await.unwrap();
    for process in [authority, server(&site).await] {
        guess_until_stopped(&process, "ada", "198.51.100.1").await;
        let elsewhere = attempt(&process, "ada", PASSWORD, "203.0.113.5").await;
        assert!(matches!(reason(elsewhere), Reason::TooManyAttempts { .. }));
        for _ in 0..20 {
            attempt(&process, "ada", PASSWORD, HOME).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_user_who_is_logged_out_is_known_from_nowhere() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    attempt(&authority, "ada", PASSWORD, HOME).await.unwrap();
    authority
        .log_out_user("Ada", &support::operator())
        .await
        .unwrap();
    guess_until_stopped(&authority, "ada", "198.51.100.1").await;
    let home = attempt(&authority, "ada", PASSWORD, HOME).await;
    assert!(matches!(reason(home), Reason::TooManyAttempts { .. }));
}

#[tokio::test]
async fn a_known_address_is_no_way_around_the_back_off() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    add_user(&authority, "bob").await;
    attempt(&authority, "ada", PASSWORD, HOME).await.unwrap();
    guess_until_stopped(&authority, "ada", HOME).await;
    // Nor does ada's address make it any easier to guess at bob.
    guess_until_stopped(&authority, "bob", HOME).await;
}

#[tokio::test]
async fn whoever_shares_an_address_with_many_users_cannot_try_all_of_them_for_long() {
    let site = Site::new();
    let authority = server(&site).await;
    let names: Vec<String> = (0..60).map(|number| format!("student{number}")).collect();
    for name in &names {
        add_user(&authority, name).await;
        attempt(&authority, name, PASSWORD, HOME).await.unwrap();
    }
    let mut guesses = 0;
    for _ in 0..6 {
        for name in &names {
            match reason(attempt(&authority, name, "guess", HOME).await) {
                Reason::LoginFailed { .. } => guesses += 1,
                Reason::TooManyAttempts { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // Three for each, and not six.
    assert!((150..=182).contains(&guesses), "{guesses}");
    // Who mistypes twice at the time gets in, and who failed is not kept out for longer than that.
    site.clock.advance_millis(3_600_000);
    authority.sync().await.unwrap();
    for _ in 0..2 {
        attempt(&authority, "student1", "mistyped", HOME).await.ok();
    }
    attempt(&authority, "student1", PASSWORD, HOME)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_shared_address_waits_for_a_minute_at_most_and_not_for_what_failed_long_ago() {
    let site = Site::new();
    let authority = server(&site).await;
    for name in ["ada", "eve"] {
        add_user(&authority, name).await;
        attempt(&authority, name, PASSWORD, HOME).await.unwrap();
    }
    // An insider fails twice and gets in, again and again, and makes the address suspect.
    for _ in 0..80 {
        for password in ["guess", "guess", PASSWORD] {
            attempt(&authority, "eve", password, HOME).await.ok();
        }
    }
    for _ in 0..3 {
        attempt(&authority, "ada", "mistyped", HOME).await.ok();
    }
    match reason(attempt(&authority, "ada", PASSWORD, HOME).await) {
        Reason::TooManyAttempts { retry_after, .. } => {
            assert!(retry_after <= Duration::from_mins(1), "{retry_after:?}");
            let millis = i64::try_from(retry_after.as_millis()).unwrap();
            site.clock.advance_millis(millis);
        }
        other => panic!("{other:?}"),
    }
    authority.sync().await.unwrap();
    site.clock.advance_millis(3_600_000);
    authority.sync().await.unwrap();
    attempt(&authority, "ada", PASSWORD, HOME).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_nobody_judged_is_in_the_log_too() {
    struct Away;
    #[async_trait::async_trait]
    impl IdentityProvider for Away {
        async fn identify(&self, _: &str, _: &SecretText) -> Result<UserData, NotIdentified> {
            Err(NotIdentified::Unavailable("it is away".to_owned()))
        }
        fn describe(&self) -> String {
            "away".to_owned()
        }
    }
    let site = Site::new();
    let store = site.store().await;
    let authority = site.authority(store, quick());
    let authority = Box::new(authority.with_directory(std::sync::Arc::new(Away)));
    authority.start().await.unwrap();
    let refused = attempt(&authority, "ada", "hunter2hunter2", HOME).await;
    assert!(matches!(refused, Err(Error::DirectoryUnavailable(_))));
    authority.write_last_refusals().await.unwrap();
    let query = sealgate_core::audit::Query {
        limit: 10,
        ..sealgate_core::audit::Query::default()
    };
    let records = authority.store().audit(&query).await.unwrap();
    let event = &records[0].event;
    assert_eq!(
        (event.action, event.status),
        (Action::LoginFailed, Some(503))
    );
    assert!(event.details.contains("directory_unavailable"));
    assert!(!format!("{records:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_guesser_s_own_logins_do_not_help_against_another_account() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    add_user(&authority, "eve").await;
    let from = "198.51.100.1";
    let mut guesses = 0;
    for _ in 0..50 {
        attempt(&authority, "eve", PASSWORD, from).await.ok();
        match reason(attempt(&authority, "ada", "guess", from).await) {
            Reason::LoginFailed { .. } => guesses += 1,
            Reason::TooManyAttempts { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(guesses <= 6, "{guesses}");
}

#[tokio::test]
async fn every_attempt_is_in_the_log_and_no_password_is() {
    let site = Site::new();
    let authority = server(&site).await;
    add_user(&authority, "ada").await;
    attempt(&authority, "ada", PASSWORD, HOME).await.unwrap();
    let origin = sealgate_core::audit::Origin::default();
    for (name, password) in [
        ("ada", "hunter2hunter2"),
        ("hunter2typedhere", "hunter2hunter2"),
    ] {
        match attempt(&authority, name, password, HOME).await {
            Err(Error::Denied(denied)) => refuse(&authority, &denied, &origin, 401),
            other => panic!("{other:?}"),
        }
    }
    authority.write_last_refusals().await.unwrap();
    let query = sealgate_core::audit::Query {
        limit: 100,
        ..sealgate_core::audit::Query::default()
    };
    let records = authority.store().audit(&query).await.unwrap();
    let failed: Vec<_> = records
        .iter()
        .filter(|record| record.event.action == Action::LoginFailed)
        .map(|record| record.event.details.as_ref())
        .collect();
    assert_eq!(failed.len(), 2);
    assert!(
        failed
            .iter()
            .any(|it| it.contains("wrong_password") && it.contains("ada"))
    );
    assert!(failed.iter().any(|it| it.contains("unknown_user")));
    let all = format!("{records:?}");
    let started = |record: &sealgate_core::audit::Record| {
        record.event.action == Action::SessionStarted && record.event.actor == "user:ada"
    };
    assert!(records.iter().any(started), "{all}");
    assert!(!all.contains("hunter2") && !all.contains(PASSWORD), "{all}");
}

#[tokio::test]
async fn a_password_hashed_for_less_is_hashed_anew_when_its_user_logs_in() {
    let site = Site::new();
    let cheap = server(&site).await;
    add_user(&cheap, "ada").await;
    let before = cheap.user("ada").await.unwrap();
    let mut settings = quick();
    settings.passwords.cost.passes = 3;
    let store = site.store().await;
    let dear = Box::new(Box::pin(site.server_with(store, settings)).await);
    let old = attempt(&dear, "ada", PASSWORD, HOME).await.unwrap();
    let after = dear.user("ada").await.unwrap();
    assert!(before.password.as_str().contains("t=1") && after.password.as_str().contains("t=3"));
    // The password is the same, and so are the sessions.
    assert_eq!(before.epoch, after.epoch);
    let address = HOME.parse().unwrap();
    dear.open_session(old.token.expose(), None, address)
        .await
        .unwrap();
    attempt(&dear, "ada", PASSWORD, HOME).await.unwrap();
    assert_eq!(dear.user("ada").await.unwrap().password, after.password);
}
