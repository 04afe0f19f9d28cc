//! Requests that are as they should be.

use std::time::Duration;

use sealgate_server::serve::ServeOptions;
use tokio::io::AsyncWriteExt as _;

use crate::server::{LOOKALIKE, Server, assert_ok, read_to_end, read_until};

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = Server::start(ServeOptions::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert_ok(&read_until(&mut stream, "hello").await, "hello");
    }
    let post = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    stream.write_all(post).await.unwrap();
    assert_ok(&read_until(&mut stream, "abc").await, "abc");
    assert_eq!(server.faults(), []);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(ServeOptions::default()).await;
    let answers = server
        .send(
            "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n\
             POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
             GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
    let bodies: Vec<_> = ["slow", "abc", "hello"]
        .iter()
        .map(|body| answers.find(&format!("\r\n\r\n{body}")).expect(&answers))
        .collect();
    assert!(bodies.is_sorted());
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);
}

#[tokio::test]
async fn a_request_knows_its_clients_address() {
    let server = Server::start(ServeOptions::default()).await;
    let mut stream = server.connect().await;
    let request = b"GET /address HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let address = stream.local_addr().unwrap().to_string();
    assert_ok(&read_to_end(&mut stream).await, &address);
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = Server::start(ServeOptions::default()).await;
    let answer = server.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn a_client_that_ends_its_side_gets_its_answer() {
    let server = Server::start(ServeOptions::default()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert_ok(&read_to_end(&mut stream).await, "slow");
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_client_expects_that() {
    let server = Server::start(ServeOptions::default()).await;
    let mut stream = server.connect().await;
    let head = b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
        expect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let interim = read_until(&mut stream, "\r\n\r\n").await;
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    assert_ok(&read_to_end(&mut stream).await, "abc");
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_not_asked_for() {
    let server = Server::start(ServeOptions::default()).await;
    let answer = server
        .send(
            "POST /ignore HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
             content-length: 1000\r\n\r\n",
        )
        .await;
    assert_ok(&answer, "hello");
}

#[tokio::test]
async fn a_body_that_looks_like_a_refusal_passes_unchanged() {
    let server = Server::start(ServeOptions::default()).await;
    for (path, times) in [("/lookalike", 1), ("/lookalikes", 3)] {
        let mut stream = server.connect().await;
        for _ in 0..2 {
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let body = LOOKALIKE.repeat(times);
            assert_ok(
                &read_until(&mut stream, &format!("\r\n\r\n{body}")).await,
                &body,
            );
        }
    }
    assert_eq!(server.faults(), []);
}

#[tokio::test]
async fn a_client_that_sends_too_much_can_read_the_answer_nevertheless() {
    let server = Server::start(ServeOptions::default()).await;
    let mut stream = server.connect().await;
    let head = "POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..40 {
        // An error here would be the connection broken off under the client.
        stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_ok(&read_to_end(&mut stream).await, "hello");
}
