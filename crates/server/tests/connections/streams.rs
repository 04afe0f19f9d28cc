//! What a client of HTTP/2 can hold on to, and for how long.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Collected, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealgate_server::serve::ServeOptions;
use tokio::time::{sleep, timeout};

use crate::server::{HELLO, LARGE, LONG, Server, TICKS};

const SHORT: Duration = Duration::from_millis(300);

type Client = SendRequest<Empty<Bytes>>;

async fn start(options: ServeOptions) -> Server {
    Server::start(ServeOptions {
        http2_only: true,
        ..options
    })
    .await
}

/// A client that takes no more of each answer than `window` bytes before it is read.
async fn connect(server: &Server, window: u32) -> Client {
    let stream = TokioIo::new(server.connect().await);
    let (client, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

async fn get(client: &mut Client, path: &str) -> Incoming {
    let request = Request::get(format!("http://a{path}"))
        .body(Empty::new())
        .unwrap();
    let answer = timeout(LONG, client.send_request(request)).await.unwrap();
    answer.unwrap().into_body()
}

/// All of an answer; nothing if it breaks off.
async fn read(body: Incoming) -> Option<Bytes> {
    let body = timeout(LONG, body.collect()).await.unwrap();
    body.ok().map(Collected::to_bytes)
}

async fn is_closed(client: &mut Client) {
    timeout(LONG, async {
        while client.ready().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the connection stays open");
}

#[tokio::test]
async fn no_clock_runs_while_an_answer_is_under_way() {
    let server = start(ServeOptions {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        ..ServeOptions::default()
    })
    .await;
    let mut client = connect(&server, 65_535).await;
    let ticks = get(&mut client, "/ticks").await;
    assert_eq!(read(ticks).await.unwrap(), TICKS.repeat(5));
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_idle_timeout_alone() {
    let server = start(ServeOptions {
        header_timeout: Duration::from_millis(50),
        idle_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let mut client = connect(&server, 65_535).await;
    for _ in 0..2 {
        let hello = get(&mut client, "/").await;
        assert_eq!(read(hello).await.unwrap(), HELLO);
        sleep(Duration::from_millis(150)).await;
    }
    is_closed(&mut client).await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_broken_off_and_the_others_go_on() {
    let server = start(ServeOptions {
        stall_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    for window in [0, 65_535] {
        let mut client = connect(&server, window).await;
        let stalled = get(&mut client, "/large").await;
        sleep(SHORT * 3).await;
        assert_eq!(read(stalled).await, None, "{window}");
        assert!(client.ready().await.is_ok());
    }
}

#[tokio::test]
async fn a_connection_whose_answers_nobody_takes_is_closed() {
    let server = start(ServeOptions {
        max_connections: 1,
        header_timeout: SHORT,
        idle_timeout: SHORT,
        stall_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    for path in ["/", "/large"] {
        let mut client = connect(&server, 0).await;
        let _stalled = get(&mut client, path).await;
        is_closed(&mut client).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_arrives_whole() {
    let server = start(ServeOptions {
        idle_timeout: SHORT,
        stall_timeout: SHORT,
        ..ServeOptions::default()
    })
    .await;
    let mut client = connect(&server, 1 << 20).await;
    let mut slow = get(&mut client, "/large").await;
    let (mut received, mut paused) = (0, 0);
    // Together far longer than a stall may be.
    while let Some(frame) = timeout(LONG, slow.frame()).await.unwrap() {
        received += frame.unwrap().data_ref().map_or(0, Bytes::len);
        if received >> 20 > paused {
            paused = received >> 20;
            sleep(Duration::from_millis(30)).await;
        }
    }
    assert_eq!(received, LARGE);
}
