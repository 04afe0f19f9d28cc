//! What a client can hold on to, and for how long.

use std::time::Duration;

use sealgate_server::serve::{Fault, ServeOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use crate::server::{LONG, Server, assert_envelope, assert_ok, read_to_end, read_until};

const SHORT: Duration = Duration::from_millis(300);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_head_that_comes_one_byte_at_a_time_is_timed_out() {
    let server = Server::start(ServeOptions {
        header_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let (mut answer, mut trickle) = server.connect().await.into_split();
    let trickling = tokio::spawn(async move {
        for byte in GET.iter().chain(GET).cycle() {
            if *byte != b'\n' && trickle.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert_envelope(&read_to_end(&mut answer).await, 408, "request_timeout");
    assert_eq!(server.faults(), [Fault::HeadTimeout]);
    trickling.abort();
}

#[tokio::test]
async fn a_slow_head_after_a_good_request_is_timed_out() {
    let server = Server::start(ServeOptions {
        header_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    assert_ok(&read_until(&mut stream, "hello").await, "hello");
    stream.write_all(b"G").await.unwrap();
    assert_envelope(&read_to_end(&mut stream).await, 408, "request_timeout");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let server = Server::start(ServeOptions {
        header_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    assert_eq!(server.send("").await, "");
    assert_eq!(server.send("\r\n\r\n").await, "");
    assert_eq!(server.faults(), []);
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_idle_timeout_alone() {
    let server = Server::start(ServeOptions {
        header_timeout: Duration::from_millis(50),
        idle_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(GET).await.unwrap();
        assert_ok(&read_until(&mut stream, "hello").await, "hello");
        sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(server.faults(), []);
}

#[tokio::test]
async fn no_clock_runs_while_the_service_works() {
    let server = Server::start(ServeOptions {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..ServeOptions::default()
    })
    .await;
    let answer = server
        .send("GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert_ok(&answer, "slow");
}

#[tokio::test]
async fn a_connection_whose_body_never_comes_is_closed_after_the_answer() {
    let server = Server::start(ServeOptions::default()).await;
    let request = "POST /impatient HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n";
    assert_ok(&server.send(request).await, "no body");
    let request = "POST /impatient HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\na";
    assert_ok(&server.send(request).await, "no body");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let server = Server::start(ServeOptions {
        max_connections: 2,
        ..ServeOptions::default()
    })
    .await;
    let mut holders = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(GET).await.unwrap();
        assert_ok(&read_until(&mut stream, "hello").await, "hello");
        holders.push(stream);
    }

    let mut third = server.connect().await;
    third.write_all(GET).await.unwrap();
    let mut byte = [0];
    timeout(SHORT, third.read(&mut byte)).await.unwrap_err();

    holders.pop();
    assert_ok(&read_until(&mut third, "hello").await, "hello");
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_place() {
    let server = Server::start(ServeOptions {
        max_connections: 1,
        stall_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let mut stalled = server.connect().await;
    stalled
        .write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let answer = server.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let server = Server::start(ServeOptions {
        stall_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let mut slow = server.connect().await;
    let request = b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    slow.write_all(request).await.unwrap();
    let (mut piece, mut received) = (vec![0; 1 << 20], 0);
    let reading = async {
        // Together far longer than a stall may be.
        loop {
            sleep(Duration::from_millis(20)).await;
            match slow.read(&mut piece).await.unwrap() {
                0 => return,
                read => received += read,
            }
        }
    };
    timeout(LONG, reading).await.unwrap();
    assert!(received > crate::server::LARGE);
}
