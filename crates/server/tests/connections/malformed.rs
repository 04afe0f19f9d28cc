//! What is no request is answered with the envelope, whoever notices it.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sealgate_server::serve::{Fault, ServeOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::server::{LONG, Server, assert_envelope, assert_ok, read_to_end};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn what_is_not_http_is_a_bad_request() {
    let server = Server::start(ServeOptions::default()).await;
    let cases: &[(&str, &[u8])] = &[
        ("a request line with one word", b"HELLO\r\n\r\n"),
        ("no target", b"GET  HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            "a method with a forbidden character",
            b"G@T / HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "a space in the target",
            b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "a target that is no URI",
            b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        (
            "a version that does not exist",
            b"GET / HTTP/1.7\r\nhost: a\r\n\r\n",
        ),
        (
            "a version of another kind",
            b"GET / HTTP/3.0\r\nhost: a\r\n\r\n",
        ),
        ("HTTP/0.9", b"GET /\r\n\r\n"),
        (
            "NUL in a header's value",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        ),
        (
            "a space in a header's name",
            b"GET / HTTP/1.1\r\nhost: a\r\nx y: b\r\n\r\n",
        ),
        (
            "a space before the colon",
            b"GET / HTTP/1.1\r\nhost: a\r\nx : b\r\n\r\n",
        ),
        (
            "a header without a colon",
            b"GET / HTTP/1.1\r\nhost: a\r\nxyz\r\n\r\n",
        ),
        (
            "a folded header",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        ),
        (
            "a bare carriage return",
            b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        ),
        ("garbage", b"\x80\x01\xff\xfe\x00garbage\r\n\r\n"),
        (
            "a TLS client hello",
            b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
        ),
        (
            "HTTP/2 without TLS",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ),
    ];
    for (name, bytes) in cases {
        println!("{name}");
        assert_envelope(&server.send(bytes).await, 400, "bad_request");
    }
    assert_eq!(server.faults(), vec![Fault::Malformed; cases.len()]);
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_a_bad_request() {
    let server = Server::start(ServeOptions::default()).await;
    for headers in [
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3, 4\r\n",
        "content-length: +3\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "host: b\r\n",
    ] {
        println!("{headers}");
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{headers}\r\nabc");
        assert_envelope(&server.send(request).await, 400, "bad_request");
    }
    assert_envelope(
        &server.send("GET / HTTP/1.1\r\n\r\n").await,
        400,
        "bad_request",
    );
    let old_and_chunked = "POST /echo HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_envelope(&server.send(old_and_chunked).await, 400, "bad_request");
}

#[tokio::test]
async fn a_request_hidden_in_another_is_never_answered() {
    let server = Server::start(ServeOptions::default()).await;
    for lengths in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nhost: a\r\n{lengths}\r\n0\r\n\r\n{GET}");
        assert_ok(&server.send(request).await, "");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_told_so() {
    let server = Server::start(ServeOptions::default()).await;
    let large = "x".repeat(20 * 1024);
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {large}\r\n\r\n");
    assert_envelope(&server.send(request).await, 431, "headers_too_large");

    let long = "x".repeat(100 * 1024);
    let request = format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_envelope(&server.send(request).await, 431, "headers_too_large");

    let many = "x: y\r\n".repeat(100);
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n");
    assert_envelope(&server.send(request).await, 431, "headers_too_large");
    assert_eq!(server.faults(), [Fault::HeadTooLarge; 3]);

    let just_small_enough = "x".repeat(15 * 1024);
    let request = GET.replace("host", &format!("x: {just_small_enough}\r\nhost"));
    assert_ok(&server.send(request).await, "hello");
}

#[tokio::test]
async fn a_uri_that_is_too_long_is_told_so_where_heads_may_be_larger() {
    let options = ServeOptions {
        max_header_bytes: 256 * 1024,
        ..ServeOptions::default()
    };
    let server = Server::start(options).await;
    let long = "x".repeat(100 * 1024);
    let request = format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_envelope(&server.send(request).await, 414, "uri_too_long");
}

#[tokio::test]
async fn a_bad_request_after_good_ones_gets_its_envelope_too() {
    let server = Server::start(ServeOptions::default()).await;
    let good = GET.replace("connection: close\r\n", "");
    let answers = server
        .send(format!("{good}{good}G@T / HTTP/1.1\r\n\r\n"))
        .await;
    let last = answers.rfind("HTTP/1.1 ").unwrap();
    assert_eq!(answers[..last].matches("HTTP/1.1 200 OK\r\n").count(), 2);
    assert_envelope(&answers[last..], 400, "bad_request");

    let good = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    let answers = server.send(format!("{good}G@T / HTTP/1.1\r\n\r\n")).await;
    let last = answers.rfind("HTTP/1.1 ").unwrap();
    assert!(answers.starts_with("HTTP/1.0 200 OK\r\n"));
    assert_envelope(&answers[last..], 400, "bad_request");
}

#[tokio::test]
async fn a_head_that_ends_in_its_middle_is_a_bad_request() {
    let server = Server::start(ServeOptions::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_envelope(&read_to_end(&mut stream).await, 400, "bad_request");
}

#[tokio::test]
async fn odd_but_well_formed_requests_are_no_failure_of_the_server() {
    let server = Server::start(ServeOptions::default()).await;
    for line in [
        "OPTIONS * HTTP/1.1",
        "CONNECT a:443 HTTP/1.1",
        "GET http://a/ HTTP/1.1",
        "GET a:b HTTP/1.1",
        "GET * HTTP/1.1",
        "GET //// HTTP/1.1",
        "GET /../%2e%2e/%00 HTTP/1.1",
        "HEAD / HTTP/1.1",
        "BREW /tea HTTP/1.1",
        "get / HTTP/1.1",
    ] {
        let request =
            format!("{line}\r\nhost: a\r\nconnection: close, upgrade\r\nupgrade: h2c\r\n\r\n");
        let answer = server.send(request).await;
        let status = answer.strip_prefix("HTTP/1.1 ").expect(&answer);
        assert!(["2", "4"].contains(&&status[..1]), "{line}: {answer}");
    }
}

/// Pieces that requests are made of, so that random bytes get further than the first of them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const TEXTS: &[&str] = &[
        "GET ",
        "POST ",
        "/ ",
        "/echo ",
        "/lookalike ",
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "host: a\r\n",
        "connection: keep-alive\r\n",
        "content-length: 5\r\n",
        "content-length: 18446744073709551615\r\n",
        "transfer-encoding: chunked\r\n",
        ": ",
        "\0",
        "expect: 100-continue\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
    ];
    prop_oneof![
        4 => prop::sample::select(TEXTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

#[test]
fn whatever_bytes_come_the_server_neither_fails_nor_falls() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(ServeOptions::default()));
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let requests = prop::collection::vec(pieces(), 0..12).prop_map(|pieces| pieces.concat());
    TestRunner::new(config)
        .run(&requests, |bytes| {
            let answer = runtime.block_on(answer_to(&server, &bytes));
            prop_assert!(!contains(&answer, b"HTTP/1.1 5"));
            prop_assert!(!contains(&answer, b"HTTP/1.0 5"));
            Ok(())
        })
        .unwrap();
    assert_ok(&runtime.block_on(server.send(GET)), "hello");
    runtime.block_on(server.stop()).unwrap();
}

async fn answer_to(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = server.connect().await;
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = timeout(LONG, reading)
        .await
        .expect("the server does not close the connection");
    answer
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
