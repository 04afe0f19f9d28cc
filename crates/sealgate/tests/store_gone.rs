//! A store that does not answer for a while, and what a server does without it and afterwards.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Home, Key, Response, Server, Stopwatch, asked_until};
use crate::tools::python;

/// For how long keys are honoured without news.
const STALENESS: Duration = Duration::from_secs(2);

/// Takes every lock of the write-ahead log (the eight bytes from 120 on of its index), as nobody can
/// read or write then.
const HOLD: &str = "\
import fcntl, sys
with open(sys.argv[1], 'r+b') as index:
    fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)
    print('held', flush=True)
    sys.stdin.read()
";

/// Keeps the store from everybody, until it is dropped.
pub struct Hold(Child);

impl Hold {
    pub fn of(home: &Home) -> Self {
        let index = home.data_dir().join("sealgate.db-shm");
        let mut command = python(home);
        command.args(["-c", HOLD]).arg(index);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is a pipe");
        let read = BufReader::new(stdout).read_line(&mut line);
        assert!(read.is_ok() && line == "held\n", "{line:?}");
        Self(child)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_the_store_known_keys_pass_for_a_while_then_nobody_and_all_again_when_it_is_back() {
    let home = Home::new();
    let key = home.create_key(&["--name", "client"]);
    let server = Server::start_with(&home, |command| {
        let millis = STALENESS.as_millis().to_string();
        command.env("SEALGATE_STORE_MAX_STALENESS_MS", millis);
        command.env("SEALGATE_LOG_LEVEL", "info");
    });
    verify(&server, &key).expect(200);

    let hold = Hold::of(&home);
    let since = Stopwatch::start();
    verify(&server, &key).expect(200);
    assert!(since.elapsed() < STALENESS, "too slow to say");
    let refused = wait_for(&server, &key, 503);
    assert!(refused.body.is_empty(), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let lag = metric(&server, "sealgate_feed_lag_seconds ");
    assert!(lag > STALENESS.as_secs_f64(), "{lag}");
    server.get("/readyz").send().expect(503);

    drop(hold);
    wait_for(&server, &key, 200);
    // Measured four times a second.
    let since = Stopwatch::start();
    while metric(&server, "sealgate_feed_lag_seconds ") > STALENESS.as_secs_f64() {
        assert!(since.elapsed() < Duration::from_secs(10), "still behind");
    }
    // What was changed while it was away counts.
    home.run(&["revoke", "--id", &key.id]).success();
    wait_for(&server, &key, 401);

    let (status, log) = server.stop();
    assert_eq!(status, Some(0));
    assert!(log.contains("no news from it for too long"), "{log}");
}

fn verify(server: &Server, key: &Key) -> Response {
    server.get("/api/auth/verify").api_key(&key.api_key).send()
}

/// Asks until the answer has a status.
fn wait_for(server: &Server, key: &Key, status: u16) -> Response {
    asked_until(status, Duration::from_secs(30), || verify(server, key))
}

fn metric(server: &Server, name: &str) -> f64 {
    let metrics = server.get("/metrics").send().expect(200);
    let line = metrics
        .body
        .lines()
        .find_map(|line| line.strip_prefix(name));
    line.expect(name).trim().parse().expect("a number")
}
