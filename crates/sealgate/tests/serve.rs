//! `sealgate serve`: starting, stopping, and counting what the command line does beside it.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Server};

#[test]
fn a_key_is_exchanged_for_a_token_that_opens_the_api() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--permissions", "api:read api:write"]);
    let server = Server::start(&home);
    let issued = server
        .post("/api/auth/token")
        .api_key(&key.api_key)
        .send()
        .expect(200)
        .json();
    assert_eq!(issued["expires_in"], 3_600);
    assert_eq!(issued["token_type"], "Bearer");
    assert_eq!(issued["key_id"], *key.id);
    let token = issued["token"].as_str().expect("a token");
    server.get("/api/encrypt").bearer(token).send().expect(200);
    let answer = server
        .post("/api/encrypt")
        .bearer(token)
        .json(&json!({"plaintext": "x"}))
        .send()
        .expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn what_the_command_line_does_counts_in_a_running_server_within_a_second() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    let server = Server::start(&home);
    let status = || {
        server
            .get("/api/encrypt")
            .api_key(&key.api_key)
            .send()
            .status
    };
    assert_eq!(status(), 200);
    home.run(&["revoke", "--id", &key.id]).success();
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    let revoked = Instant::now();
    while status() != 401 {
        #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
        let elapsed = revoked.elapsed();
        assert!(
            elapsed < Duration::from_secs(1),
            "still honoured after {elapsed:?}"
        );
    }
    let other = home.create_key(&["--name", "made while it runs"]);
    server
        .get("/api/encrypt")
        .api_key(&other.api_key)
        .send()
        .expect(200);
}

#[test]
fn it_stops_when_asked_and_has_then_written_what_it_counted() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&home);
        server
            .get("/api/encrypt")
            .api_key(&key.api_key)
            .send()
            .expect(200);
        server.signal(signal);
        let (code, log) = server.wait();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
    assert_eq!(home.json(&["show", "--id", &key.id])["use_count"], 2);
    home.run(&["logs", "--verify"]).success();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--permissions", "api:write"]);
    let server = Server::start(&home);
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    let unfinished = format!(
        "POST /api/encrypt HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\n\r\n",
        key.api_key
    );
    stream
        .write_all(unfinished.as_bytes())
        .expect("half a request is sent");
    // Answered after the half request arrived: that one is under way now.
    server.get("/healthz").send().expect(200);
    server.signal(Signal::TERM);
    while TcpStream::connect(server.address()).is_ok() {}
    server.signal(Signal::TERM);
    let (code, log) = server.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stopping at once"), "{log}");
}

#[test]
fn with_a_certificate_it_speaks_tls() {
    let home = Home::new();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let cert = home.write("cert.pem", &certified.cert.pem());
    let key = home.write("key.pem", &certified.signing_key.serialize_pem());
    let server = Server::start_with(&home, |command| {
        command
            .arg("--tls-cert")
            .arg(cert)
            .arg("--tls-key")
            .arg(key);
    });
    let answer = server.get("/healthz").send().expect(400);
    assert!(answer.body.contains("https"), "{answer:?}");
    let (_, log) = server.stop();
    assert!(log.contains("listening on https://127.0.0.1:"), "{log}");
}

#[test]
fn the_log_is_json_off_a_terminal_and_holds_no_secret() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    let server = Server::start(&home);
    let path = format!("/api/encrypt?{}", key.api_key);
    server.get(&path).api_key(&key.api_key).send();
    server.get(&format!("/{}", key.api_key)).send().expect(404);
    let (_, log) = server.stop();
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(log.contains("request_id"), "{log}");
    assert!(!log.contains(&key.api_key[9..]), "{log}");
}

#[test]
fn the_log_can_be_text_and_can_say_less() {
    let home = Home::new();
    let server = Server::start_with(&home, |command| {
        command.env("SEALGATE_LOG_FORMAT", "text");
    });
    let (_, log) = server.stop();
    assert!(
        log.contains("INFO") && !log.contains('{') && !log.contains('\x1b'),
        "{log}"
    );
}

#[test]
fn a_newcomer_is_told_what_comes_next_as_long_as_nobody_administers() {
    let home = Home::new();
    let (_, log) = Server::start(&home).stop();
    assert!(log.contains("made a master key in"), "{log}");
    assert!(log.contains("create --name Admin --admin"), "{log}");
    home.create_key(&["--name", "Admin", "--admin"]);
    let (_, log) = Server::start(&home).stop();
    assert!(!log.contains("create --name"), "{log}");
}

#[test]
fn an_address_that_others_reach_without_tls_is_warned_about() {
    let home = Home::new();
    let (_, log) = Server::start(&home).stop();
    assert!(!log.contains("in the clear"), "{log}");
    let server = Server::start_with(&home, |command| {
        command.args(["--listen", "0.0.0.0:0"]);
    });
    let (_, log) = server.stop();
    assert!(log.contains("in the clear"), "{log}");
}

#[test]
fn what_cannot_be_listened_on_is_told_with_what_to_do() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    home.run(&["serve", "--listen", &address])
        .failure(1, "is in use already\nhint: ");
    home.run(&["serve", "--listen", "192.0.2.1:0"])
        .failure(1, "does not have the address 192.0.2.1");
    assert!(
        !home.data_dir().exists(),
        "nothing is set up for a server that cannot serve"
    );
}

#[test]
fn bad_certificates_are_told_with_what_to_do() {
    let home = Home::new();
    let cert = home.write("cert.pem", "nonsense").display().to_string();
    let serve =
        |arguments: &[&str]| home.run(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
    serve(&["--tls-cert", &cert, "--tls-key", &cert]).failure(1, "cert.pem");
    serve(&["--tls-cert", "nowhere.pem", "--tls-key", &cert]).failure(1, "nowhere.pem");
    serve(&["--tls-cert", &cert]).failure(1, "tls.cert is set and tls.key is not");
}

#[test]
fn keys_of_another_environment_are_refused() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--environment", "testing"]);
    let server = Server::start(&home);
    server
        .get("/api/encrypt")
        .api_key(&key.api_key)
        .send()
        .expect(401);
    let server = Server::start_with(&home, |command| {
        command.args(["--environment", "testing"]);
    });
    server
        .get("/api/encrypt")
        .api_key(&key.api_key)
        .send()
        .expect(200);
}

#[test]
fn metrics_are_in_prometheus_text() {
    let home = Home::new();
    let server = Server::start(&home);
    server.get("/healthz").send().expect(200);
    let metrics = server.get("/metrics").send().expect(200);
    assert!(
        metrics
            .body
            .contains("# TYPE sealgate_requests_total counter"),
        "{}",
        metrics.body
    );
    assert!(
        metrics
            .body
            .contains("sealgate_request_duration_seconds_bucket"),
        "{}",
        metrics.body
    );
}
