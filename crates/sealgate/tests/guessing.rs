//! Passwords that are guessed at a running server: what the audit log says of it.

use serde_json::{Value, json};

use crate::support::{Home, Response, Server};

const PASSWORD: &str = "correct horse battery";
const GUESS: &str = "an incorrect guess, number";
/// Failures after which one has to wait.
const FREE_FAILURES: usize = 6;

#[test]
fn failed_logins_and_those_that_came_too_soon_are_recorded_without_the_password() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, PASSWORD).success();
    let server = Server::start(&home);
    // Somebody was logged in to it: from now on the log names the account.
    log_in(&server, "ada", PASSWORD).expect(200);
    for n in 0..FREE_FAILURES {
        log_in(&server, "ada", &format!("{GUESS} {n}")).expect(401);
    }
    let too_soon = log_in(&server, "ada", PASSWORD).expect(429);
    assert_eq!(too_soon.json()["error"], "too_many_attempts");
    // A password in the place of the name.
    log_in(&server, PASSWORD, PASSWORD);
    let (_, log) = server.stop();

    let audit = home.run(&["logs", "--limit", "1000", "--json"]).success();
    let failed = failed_logins(&audit.json());
    for (reason, status, username) in [
        ("wrong_password", 401, json!("ada")),
        ("too_many_attempts", 429, json!("ada")),
    ] {
        let found = failed.iter().find(|it| it["details"]["reason"] == reason);
        let found = found.unwrap_or_else(|| panic!("{reason} is not in {failed:?}"));
        assert_eq!(found["status"], status);
        assert_eq!(found["details"]["username"], username);
        assert_eq!(found["path"], "/api/auth/login");
        assert_eq!(found["address"], "127.0.0.1");
    }
    for secret in [PASSWORD, GUESS] {
        assert!(!audit.stdout.contains(secret), "{secret}: {audit:?}");
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

fn log_in(server: &Server, username: &str, password: &str) -> Response {
    let body = json!({"username": username, "password": password});
    server.post("/api/auth/login").json(&body).send()
}

fn failed_logins(page: &Value) -> Vec<Value> {
    let events = page["events"].as_array().expect("events").iter();
    let failed = events.filter(|event| event["action"] == "login.failed");
    failed.cloned().collect()
}
