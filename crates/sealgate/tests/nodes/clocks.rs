//! Nodes whose clocks do not agree.

use std::path::PathBuf;

use serde_json::json;

use super::cluster::{Cluster, Node, PROMISE, Plan, at_last};
use crate::postgres_server::PostgresServer;
use crate::support::{Response, Stopwatch};

const USER_PASSWORD: &str = "correct horse battery staple";

#[test]
fn nodes_whose_clocks_differ_by_half_a_minute_agree_on_what_is_good_and_what_is_over() {
    let url = PostgresServer::shared().database();
    let ahead = Plan {
        variables: half_a_minute_ahead(),
        ..Plan::of(&url)
    };
    let cluster = Cluster::start_as(vec![Plan::of(&url), ahead, Plan::of(&url)]);
    let [behind, ahead, _] = &*cluster.nodes else {
        panic!("three nodes");
    };
    // Midnight may lie between.
    let ahead_by = (seconds_at(ahead) - seconds_at(behind)).rem_euclid(24 * 60 * 60);
    assert!((25..=60).contains(&ahead_by), "{ahead_by}");
    cluster.under_load(|| {
        for (one, other) in [(behind, ahead), (ahead, behind)] {
            a_key_and_its_token_end_everywhere(&cluster, one, other);
            a_session_ends_everywhere(&cluster, one, other);
        }
    });
    cluster.must_be_whole();
}

/// What one node makes the other honours, and what the other ends the one refuses.
fn a_key_and_its_token_end_everywhere(cluster: &Cluster, one: &Node, other: &Node) {
    let key = at_last(|| cluster.create(one));
    other.comes_to_answer(&key, 200);
    let exchange = one.server.post("/api/auth/token").api_key(&key.api_key);
    let token = exchange.send().expect(200).json()["token"].clone();
    let token = token.as_str().expect("a token");
    let verify = |node: &Node| node.server.get("/api/auth/verify").bearer(token).send();
    verify(one).expect(200);
    verify(other).expect(200);
    at_last(|| cluster.revoke(other, &key).then_some(()));
    assert!(one.comes_to_answer(&key, 401) < PROMISE);
    verify(one).expect(401);
    verify(other).expect(401);
}

/// All sessions that began at one node are over when the other says so, and new ones are not.
fn a_session_ends_everywhere(cluster: &Cluster, one: &Node, other: &Node) {
    let name = format!("ada-{}", one.server.id());
    let add = ["user", "add", "--username", &name, "--password-stdin"];
    cluster.run_with_input(&add, USER_PASSWORD).success();
    let token = log_in(one, &name);
    profile(one, &token).expect(200);
    profile(other, &token).expect(200);
    let logout = other.server.post("/api/auth/logout").bearer(&token);
    logout.send().expect(200);
    is_refused_in_time(one, &token);
    is_refused_in_time(other, &token);

    let token = log_in(one, &name);
    profile(other, &token).expect(200);
    cluster
        .run(&["user", "logout", "--username", &name])
        .success();
    is_refused_in_time(one, &token);
    is_refused_in_time(other, &token);
    for node in [one, other] {
        let token = log_in(node, &name);
        profile(one, &token).expect(200);
        profile(other, &token).expect(200);
    }
}

fn log_in(node: &Node, name: &str) -> String {
    let login = node.server.post("/api/auth/login");
    let login = login.json(&json!({"username": name, "password": USER_PASSWORD}));
    let answer = login.send().expect(200).json();
    answer["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

fn profile(node: &Node, token: &str) -> Response {
    node.server.get("/api/profile").bearer(token).send()
}

#[track_caller]
fn is_refused_in_time(node: &Node, token: &str) {
    let since = Stopwatch::start();
    while profile(node, token).status != 401 {
        assert!(since.elapsed() < PROMISE, "still honoured");
    }
}

/// The time of day by a node's clock, in seconds.
fn seconds_at(node: &Node) -> i64 {
    let answer = node.server.get("/readyz").send();
    let date = answer.header("date").expect("a date").to_owned();
    let clock = date.split(' ').nth(4).expect("a time of day");
    let parts = clock
        .split(':')
        .map(|part| part.parse::<i64>().expect("a number"));
    parts.fold(0, |seconds, part| seconds * 60 + part)
}

/// What sets the clock of a node.
pub fn half_a_minute_ahead() -> Vec<(&'static str, String)> {
    vec![
        ("LD_PRELOAD", libfaketime()),
        ("FAKETIME", "+30s".to_owned()),
        // What is measured by a clock that is never set goes on as it is.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

fn libfaketime() -> String {
    let libraries = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    let found = libraries
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|path: &PathBuf| path.exists())
        .expect("libfaketime is missing: apt-get install faketime");
    found.to_string_lossy().into_owned()
}
