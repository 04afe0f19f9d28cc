//! How a server ends.

use std::time::Duration;

use sealgate_server::serve::ServeOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::server::{LONG, Server, assert_ok, read_to_end, read_until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
/// Until the server has certainly begun with what was sent.
const A_MOMENT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_request_under_way_is_answered_and_no_new_client_is_let_in() {
    let server = Server::start(ServeOptions::default()).await;
    let address = server.address;
    let mut stream = server.connect().await;
    stream.write_all(SLOW).await.unwrap();
    sleep(A_MOMENT).await;

    let ended = server.stop();
    sleep(A_MOMENT).await;
    TcpStream::connect(address).await.unwrap_err();
    let answer = read_to_end(&mut stream).await;
    assert_ok(&answer, "slow");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    drop(stream);
    timeout(LONG, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_without_a_request_are_closed_at_once() {
    let server = Server::start(ServeOptions::default()).await;
    let mut fresh = server.connect().await;
    let mut idle = server.connect().await;
    idle.write_all(GET).await.unwrap();
    assert_ok(&read_until(&mut idle, "hello").await, "hello");

    let ended = server.stop();
    // Without waiting for the clients to close theirs.
    timeout(Duration::from_secs(1), ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read_to_end(&mut fresh).await, "");
    assert_eq!(read_to_end(&mut idle).await, "");
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let server = Server::start(ServeOptions {
        drain_timeout: A_MOMENT,
        ..ServeOptions::default()
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(SLOW).await.unwrap();
    sleep(A_MOMENT).await;
    timeout(LONG, server.stop()).await.unwrap().unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_server_without_a_free_place_can_be_stopped() {
    let server = Server::start(ServeOptions {
        max_connections: 1,
        ..ServeOptions::default()
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    assert_ok(&read_until(&mut stream, "hello").await, "hello");
    timeout(LONG, server.stop()).await.unwrap().unwrap();
}
