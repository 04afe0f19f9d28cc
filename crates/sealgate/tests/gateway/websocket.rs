//! `WebSocket`s through the gateway.

use super::Site;
use super::service::{Connection, Service, header};
use crate::support::Stopwatch;
use std::io::Read as _;
use std::time::Duration;

/// The example of RFC 6455 section 1.3.
const REQUEST: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: chat\r\n";
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: chat\r\n\r\n";
/// A text message as a client sends it, masked: `Hello` (RFC 6455 section 5.7).
const HELLO: [u8; 11] = [
    0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58,
];
/// What hyper itself would say to nonsense.
const LOOKALIKE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// A service that sends back whatever comes through its `WebSocket`s.
fn echoing() -> Service {
    Service::start(|connection, head| {
        if header(head, "upgrade") != Some("websocket") {
            return connection.answer(200, "", b"plain");
        }
        assert_eq!(header(head, "connection"), Some("upgrade"), "{head}");
        connection.write(ANSWER.as_bytes());
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = connection.stream.read(&mut buffer) {
            connection.write(&buffer[..length]);
        }
        false
    })
}

#[track_caller]
fn assert_echo(client: &mut Connection, bytes: &[u8]) {
    assert!(client.write(bytes));
    let mut back = vec![0; bytes.len()];
    client.stream.read_exact(&mut back).expect("an echo");
    assert_eq!(back, bytes);
}

#[test]
fn a_websocket_carries_bytes_both_ways_until_one_side_ends_it() {
    let site = Site::of(echoing());
    let mut client = site.open("GET /chat HTTP/1.1", REQUEST);
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "sec-websocket-protocol"), Some("chat"));
    assert_echo(&mut client, &HELLO);
    // After a silence, and whatever it looks like.
    std::thread::sleep(Duration::from_millis(300));
    assert_echo(&mut client, LOOKALIKE);
    assert_echo(&mut client, &HELLO.repeat(300));

    let seen = site.service.head();
    assert!(seen.starts_with("GET /chat HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "x-auth-subject"), Some(&*site.key.id));
    assert_eq!(header(&seen, "x-api-key"), None);
    let _ = client.stream.get_mut().shutdown(std::net::Shutdown::Write);
    assert_eq!(client.read_rest(), (Vec::new(), true));
}

#[test]
fn what_is_sent_right_after_the_request_is_not_lost() {
    let site = Site::of(echoing());
    let mut client = site.connect();
    let key = &site.key.api_key;
    let head = format!("GET / HTTP/1.1\r\nHost: app\r\nX-API-Key: {key}\r\n{REQUEST}\r\n");
    client.write(&[head.as_bytes(), &HELLO].concat());
    assert!(
        client
            .read_head()
            .is_some_and(|head| head.contains(" 101 "))
    );
    let mut back = [0; HELLO.len()];
    client.stream.read_exact(&mut back).expect("an echo");
    assert_eq!(back, HELLO);
}

#[test]
fn a_websocket_needs_a_credential_and_a_refusal_leaves_the_connection_as_it_was() {
    let site = Site::of(echoing());
    let mut client = site.connect();
    let head = format!("GET /chat HTTP/1.1\r\nHost: app\r\n{REQUEST}\r\n");
    client.write(head.as_bytes());
    let refusal = client.read_head().expect("an answer");
    assert!(refusal.starts_with("HTTP/1.1 401 "), "{refusal}");
    client.read_body(&refusal);
    assert!(site.service.heads().is_empty());

    let key = &site.key.api_key;
    let again = format!("GET /plain HTTP/1.1\r\nHost: app\r\nX-API-Key: {key}\r\n\r\n");
    client.write(again.as_bytes());
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.read_body(&head);
    client.write(b"nonsense\r\n\r\n");
    let (rest, _) = client.read_rest();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains(r#""error":"bad_request""#), "{rest}");
}

#[test]
fn a_service_that_does_not_want_a_websocket_answers_as_ever() {
    let site = Site::of(Service::start(|connection, _| {
        connection.answer(426, "", b"no")
    }));
    let mut client = site.open("GET / HTTP/1.1", REQUEST);
    for _ in 0..2 {
        let head = client.read_head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
        assert_eq!(client.read_body(&head), b"no");
        let key = &site.key.api_key;
        let again = format!("GET / HTTP/1.1\r\nHost: app\r\nX-API-Key: {key}\r\n{REQUEST}\r\n");
        client.write(again.as_bytes());
    }
    let head = client.read_head().expect("an answer");
    client.read_body(&head);
    client.write(b"nonsense\r\n\r\n");
    let (rest, _) = client.read_rest();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains(r#""error":"bad_request""#), "{rest}");
}

#[test]
fn a_service_that_agrees_to_what_was_not_asked_for_is_not_believed() {
    let site = Site::of(Service::start(|connection, _| {
        connection.write(ANSWER.replace("s3pP", "AAAA").as_bytes())
    }));
    for headers in [REQUEST, "", "Connection: upgrade\r\nUpgrade: h2c\r\n"] {
        let mut client = site.open("GET / HTTP/1.1", headers);
        let head = client.read_head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
}

#[test]
fn a_websocket_ends_soon_after_the_server_is_asked_to_stop() {
    let site = Site::of(echoing());
    let mut client = site.open("GET /chat HTTP/1.1", REQUEST);
    client.read_head().expect("an answer");
    assert_echo(&mut client, &HELLO);
    let stopwatch = Stopwatch::start();
    let (code, log) = site.server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(stopwatch.elapsed() < Duration::from_secs(15), "{log}");
    client.read_rest();
}
