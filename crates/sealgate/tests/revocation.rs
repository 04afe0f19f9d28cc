//! How soon a change made by one process counts in another.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Home, Key, Response, Server};

const PROMISE: Duration = Duration::from_secs(1);

#[test]
fn a_key_revoked_on_the_command_line_is_refused_by_a_running_server_within_a_second() {
    let home = Home::new();
    let server = Server::start_with(&home, with_default_patience);
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let made = home.create_key(&["--name", "short-lived"]);
        show(&server, &made).expect(200);
        home.run(&["revoke", "--id", &made.id]).success();
        slowest = slowest.max(time_to_refusal(&server, &made));
    }
    println!("refused at the latest {slowest:?} after the command had ended");
    assert!(slowest < PROMISE, "{slowest:?}");
}

#[test]
fn two_servers_on_one_store_hear_of_each_others_changes_within_a_second() {
    let home = Home::new();
    let admin = home.create_key(&["--name", "Admin", "--admin"]);
    let (one, other) = (
        Server::start_with(&home, with_default_patience),
        Server::start_with(&home, with_default_patience),
    );
    let made = home.create_key(&["--name", "client"]);
    show(&one, &made).expect(200);
    show(&other, &made).expect(200);
    let path = format!("/api/auth/keys/{}/revoke", made.id);
    one.post(&path).api_key(&admin.api_key).send().expect(200);
    show(&one, &made).expect(401);
    assert!(time_to_refusal(&other, &made) < PROMISE);
}

#[test]
fn a_server_that_was_paused_honours_nothing_revoked_meanwhile() {
    let home = Home::new();
    let server = Server::start_with(&home, with_default_patience);
    let made = home.create_key(&["--name", "client"]);
    show(&server, &made).expect(200);
    server.signal(Signal::STOP);
    home.run(&["revoke", "--id", &made.id]).success();
    std::thread::sleep(PROMISE);
    server.signal(Signal::CONT);
    // The very first request after the pause.
    show(&server, &made).expect(401);
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn time_to_refusal(server: &Server, key: &Key) -> Duration {
    let start = Instant::now();
    while show(server, key).status != 401 {
        assert!(start.elapsed() < 10 * PROMISE, "never refused");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

fn show(server: &Server, key: &Key) -> Response {
    server.get("/api/encrypt").api_key(&key.api_key).send()
}

/// What is promised is promised of a server with its own settings, not of those of other tests.
fn with_default_patience(command: &mut Command) {
    command.env_remove("SEALGATE_STORE_MAX_STALENESS_MS");
}
