//! What does not slow down as keys become many. `bench/scale.sh` measures the same with a million
//! keys and ten million records, in release.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Home, Server, Stopwatch};

const KEYS: usize = 20_000;
/// From the start of the server to its first answer.
const FIRST_REQUEST: Duration = Duration::from_secs(3);
/// For a page of keys, or of a log.
const PAGE: Duration = Duration::from_millis(50);
/// How often each page is fetched: half of the times are over the limit where one is not kept.
const TIMES: usize = 11;

#[test]
fn many_keys_delay_neither_the_first_request_nor_a_page() {
    let home = Home::new();
    let admin = home.create_key(&["--name", "Admin", "--admin"]).api_key;
    let worker = make_keys(&home);

    let started = Stopwatch::start();
    let server = Server::start(&home);
    let key = worker["api_key"].as_str().expect("a key");
    let profile = server.get("/api/auth/profile").api_key(key);
    profile.send().expect(200);
    let took = started.elapsed();
    assert!(took < FIRST_REQUEST, "the first answer came after {took:?}");

    let id = worker["key"]["key_id"].as_str().expect("an identifier");
    let keys = "/api/auth/keys";
    let first = server.get(keys).api_key(&admin).send().expect(200).json();
    let cursor = first["next_cursor"].as_str().expect("there is more");
    for path in [
        keys.to_owned(),
        format!("{keys}?cursor={cursor}"),
        format!("{keys}?status=active"),
        format!("{keys}?status=revoked"),
        format!("{keys}?environment=testing&status=active"),
        format!("{keys}?q=worker%205"),
        format!("{keys}?due=true"),
        format!("{keys}/{id}/logs"),
    ] {
        let fetch = || {
            let request = server.get(&path).api_key(&admin);
            let sent = Stopwatch::start();
            request.send().expect(200);
            sent.elapsed()
        };
        let mut times: Vec<Duration> = (0..TIMES).map(|_| fetch()).collect();
        times.sort_unstable();
        assert!(times[TIMES / 2] < PAGE, "{path}: {times:?}");
    }
}

/// Makes the keys, and gives the one in the middle as it was told.
fn make_keys(home: &Home) -> Value {
    let mut lines = String::new();
    for number in 1..=KEYS {
        writeln!(lines, r#"{{"name": "Worker {number}"}}"#).expect("text takes text");
    }
    let ran = home.run_with_input(&["create", "--from", "-"], &lines);
    let made = ran.success().stdout;
    assert_eq!(made.lines().count(), KEYS);
    let middle = made.lines().nth(KEYS / 2).expect("a line for each key");
    serde_json::from_str(middle).expect("JSON")
}
