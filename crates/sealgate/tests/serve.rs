//! `sealgate serve`: starting, stopping, and counting what the command line does beside it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Key, Ran, Server, Stopwatch};

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
    let revoked = Stopwatch::start();
    while status() != 401 {
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
fn a_request_under_way_is_answered_before_it_stops() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--permissions", "api:write"]);
    let server = Server::start(&home);
    let mut stream = half_a_request(&server, &key);
    server.signal(Signal::TERM);
    while TcpStream::connect(server.address()).is_ok() {}
    stream
        .write_all(&BODY[HALF..])
        .expect("the other half is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("ciphertext"), "{answer}");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--permissions", "api:write"]);
    let server = Server::start(&home);
    let _stream = half_a_request(&server, &key);
    server.signal(Signal::TERM);
    while TcpStream::connect(server.address()).is_ok() {}
    server.signal(Signal::TERM);
    let (code, log) = server.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stopping at once"), "{log}");
}

#[test]
fn with_a_certificate_it_speaks_tls_alone() {
    let home = Home::new();
    write_certificate(&home);
    let server = start_with_certificate(&home);
    let answer = server.get("/healthz").send().expect(400);
    assert!(answer.body.contains("https"), "{answer:?}");
    for version in ["1.2", "1.3"] {
        let ran = curl(&home, &server, &["--verbose", "--tls-max", version]).success();
        assert!(ran.stdout.contains("\"status\""), "{ran:?}");
        let spoken = format!("SSL connection using TLSv{version} ");
        assert!(ran.stderr.contains(&spoken), "{}", ran.stderr);
    }
    let (_, log) = server.stop();
    assert!(log.contains("listening on https://127.0.0.1:"), "{log}");
}

#[test]
fn a_replaced_certificate_is_taken_up_within_three_seconds() {
    let home = Home::new();
    write_certificate(&home);
    let server = start_with_certificate(&home);
    curl(&home, &server, &[]).success();

    write_certificate(&home);
    let replaced = Stopwatch::start();
    while curl(&home, &server, &[]).code != Some(0) {
        let waited = replaced.elapsed();
        assert!(waited < Duration::from_secs(3), "{waited:?}");
    }
}

/// Makes a pair, and puts it in the place of the one before, if there is one.
fn write_certificate(home: &Home) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    for (name, pem) in [
        ("key.pem", certified.signing_key.serialize_pem()),
        ("cert.pem", certified.cert.pem()),
    ] {
        let new = home.write("new.pem", &pem);
        std::fs::rename(new, home.here().join(name)).expect("a file is replaced");
    }
}

fn start_with_certificate(home: &Home) -> Server {
    Server::start_with(home, |command| {
        command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    })
}

/// Asks how the server is, by HTTPS; for curl, the certificate that is there now is the only good
/// one.
fn curl(home: &Home, server: &Server, arguments: &[&str]) -> Ran {
    let port = server.address().port();
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
        .args(["--cacert", "cert.pem", "--tlsv1.2"])
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .args(arguments)
        .arg(format!("https://localhost:{port}/healthz"))
        .current_dir(home.here());
    Ran::of(&mut command)
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

/// A body, and where it is cut in two.
const BODY: &[u8] = br#"{"plaintext": "x"}"#;
const HALF: usize = BODY.len() / 2;

/// A connection over which half a request has come.
fn half_a_request(server: &Server, key: &Key) -> TcpStream {
    let stream = begin_request(server.address(), key);
    // Answered after the half request arrived: that one is under way now.
    server.get("/healthz").send().expect(200);
    stream
}

/// Sends a request but for the other half of its body.
pub fn begin_request(address: SocketAddr, key: &Key) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /api/encrypt HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        key.api_key,
        BODY.len()
    );
    let sent = [head.as_bytes(), &BODY[..HALF]].concat();
    stream.write_all(&sent).expect("half a request is sent");
    stream
}
