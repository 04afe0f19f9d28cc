//! Guessing passwords: every refusal looks the same, and whoever goes on has to wait.

use sealgate_core::authority::{PasswordSettings, Settings};
use serde_json::json;

use crate::support::{Answer, PASSWORD, World, log_in, patch, settings};

async fn attempt(world: &World, name: &str, password: &str) -> Answer {
    log_in(name, password).send(world).await
}

fn wait(answer: &Answer) -> i64 {
    let text = answer.headers["retry-after"].to_str().unwrap();
    text.parse().unwrap()
}

#[tokio::test]
async fn a_refused_login_looks_the_same_whatever_the_reason() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    world.user("eve", PASSWORD).await;
    let off = patch("/api/users/eve").key(&world.admin.text);
    let off = off.json(&json!({"is_active": false}));
    off.send(&world).await.ok();
    let mut answers = Vec::new();
    for (name, password, reason) in [
        ("ada", "wrong horse", "wrong_password"),
        ("nobody", PASSWORD, "unknown_user"),
        ("Nobody At All / ../", PASSWORD, "unknown_user"),
        ("eve", PASSWORD, "user_disabled"),
    ] {
        let answer = attempt(&world, name, password).await;
        assert_eq!(
            answer.error(401, "invalid_credentials"),
            "Invalid username or password"
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"Password realm="sealgate""#
        );
        let event = &world.events().await[0];
        assert_eq!(event["action"], "login.failed");
        assert_eq!(event["details"]["reason"], reason);
        let id = answer.headers["x-request-id"].to_str().unwrap();
        answers.push((
            answer.without_id(),
            answer.text().replace(id, ""),
            answer.body.len(),
        ));
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn after_too_many_failures_one_has_to_wait_as_long_as_the_answer_says() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    for name in ["ada", "nobody"] {
        for _ in 0..6 {
            let answer = attempt(&world, name, "wrong horse").await;
            answer.error(401, "invalid_credentials");
        }
        world.refusals().await;
        // Not even the right password now.
        let answer = attempt(&world, name, PASSWORD).await;
        assert_eq!(
            answer.error(429, "too_many_attempts"),
            "Too many failed logins: the header Retry-After tells when to try again"
        );
        assert_eq!(wait(&answer), 1);
        assert_eq!(answer.headers["ratelimit-limit"], "1");
        assert_eq!(answer.headers["ratelimit-remaining"], "0");
        assert_eq!(answer.headers["ratelimit-reset"], "1");
        assert_eq!(answer.headers["ratelimit-policy"], r#""login";q=1;w=1"#);
        assert_eq!(world.refusals().await[0], "too_many_attempts");
        world.clock.advance_millis(1_000);
        let answer = attempt(&world, name, "wrong horse").await;
        answer.error(401, "invalid_credentials");
        let answer = attempt(&world, name, "wrong horse").await;
        answer.error(429, "too_many_attempts");
        assert_eq!(wait(&answer), 2);
        world.clock.advance_millis(3_600_000 * 2);
    }
    attempt(&world, "ada", PASSWORD).await.ok();
}

#[tokio::test]
async fn a_known_user_gets_in_while_others_guess() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    attempt(&world, "ada", PASSWORD).await.ok();
    for n in 0..8 {
        let guess = log_in("ada", "wrong horse").from("203.0.113.9");
        let answer = guess.send(&world).await;
        assert_eq!(answer.status, if n < 6 { 401 } else { 429 });
    }
    attempt(&world, "ada", PASSWORD).await.ok();
}

#[tokio::test]
async fn a_short_password_is_refused_when_it_is_set_and_not_when_it_is_tried() {
    let settings = Settings {
        passwords: PasswordSettings {
            min_length: 12,
            ..settings().passwords
        },
        ..settings()
    };
    let world = World::with(settings, sealgate_server::HttpSettings::default()).await;
    let set = crate::support::post("/api/users").key(&world.admin.text);
    let body = json!({"username": "ada", "password": "elevenchars"});
    let answer = set.json(&body).send(&world).await;
    assert!(
        answer
            .error(400, "invalid_request")
            .starts_with("password: ")
    );
    let answer = attempt(&world, "ada", "short").await;
    answer.error(401, "invalid_credentials");
}
