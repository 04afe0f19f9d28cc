//! A server to send bytes to, and what reads its answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request};
use axum::routing::{get, post};
use axum::{Router, response::Response};
use futures_util::stream;
use sealgate_server::serve::{BareError, ClientAddress, Fault, ServeOptions, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(10);
/// What [`router`] answers to `GET /`.
pub const HELLO: &str = "hello";
/// A response's body that looks like hyper's own answer.
pub const LOOKALIKE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
/// What `GET /ticks` answers with, five times with a pause before each.
pub const TICKS: &str = "tick";
/// How much `GET /large` answers with: more than the buffers of two sockets hold.
pub const LARGE: usize = 32 << 20;

/// A server that runs until it is told to stop.
pub struct Server {
    pub address: SocketAddr,
    errors: Arc<Mutex<Vec<BareError>>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let errors = Arc::<Mutex<Vec<BareError>>>::default();
        let heard = Arc::clone(&errors);
        let options = ServeOptions {
            on_bare_error: Arc::new(move |error| heard.lock().unwrap().push(*error)),
            ..options
        };
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            serve(listener, router(), options, stopped).await.unwrap();
        });
        Self {
            address,
            errors,
            stop,
            task,
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads what comes back until the server closes it.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_to_end(&mut stream).await
    }

    /// What the hook has heard.
    pub fn faults(&self) -> Vec<Fault> {
        let errors = self.errors.lock().unwrap();
        assert!(errors.iter().all(|error| error.client.ip().is_loopback()));
        errors.iter().map(|error| error.fault).collect()
    }

    /// Asks for the end; the task is over once the server is.
    pub fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.task
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || HELLO))
        .route(
            "/address",
            get(async |Extension(client): Extension<ClientAddress>| client.0.to_string()),
        )
        .route("/echo", post(async |body: Bytes| body))
        .route("/ignore", post(async |_: Request| HELLO))
        .route(
            "/impatient",
            post(async |body: Request| {
                let body = axum::body::to_bytes(body.into_body(), 1024);
                timeout(Duration::from_millis(50), body)
                    .await
                    .map_or("no body", |_| "a body")
            }),
        )
        .route(
            "/slow",
            get(async || {
                sleep(Duration::from_millis(200)).await;
                "slow"
            }),
        )
        .route("/lookalike", get(async || LOOKALIKE))
        .route("/lookalikes", get(lookalikes))
        .route("/ticks", get(ticks))
        .route("/large", get(async || vec![b'.'; LARGE]))
}

/// Lookalikes each of which is written on its own, at the beginning of a write.
async fn lookalikes() -> Response {
    let pieces = stream::unfold(0, async |written| {
        sleep(Duration::from_millis(5)).await;
        (written < 3).then(|| (Ok::<_, std::io::Error>(LOOKALIKE), written + 1))
    });
    Response::builder()
        .header("content-length", 3 * LOOKALIKE.len())
        .body(Body::from_stream(Box::pin(pieces)))
        .unwrap()
}

async fn ticks() -> Body {
    let ticks = stream::unfold(0, async |ticked| {
        sleep(Duration::from_millis(120)).await;
        (ticked < 5).then(|| (Ok::<_, std::io::Error>(TICKS), ticked + 1))
    });
    Body::from_stream(Box::pin(ticks))
}

/// What comes until the other side closes the connection, or breaks it off.
pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut received = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut received))
        .await
        .expect("the server does not close the connection");
    String::from_utf8(received).unwrap()
}

/// Reads until what was received ends with `end`.
pub async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut received = Vec::new();
    let reading = async {
        while !received.ends_with(end.as_bytes()) {
            received.push(
                stream
                    .read_u8()
                    .await
                    .expect("the server closed the connection"),
            );
        }
    };
    timeout(LONG, reading)
        .await
        .expect("the server does not answer");
    String::from_utf8(received).unwrap()
}

/// Asserts that an answer is the error envelope, complete and alone, and the last on its connection.
#[track_caller]
pub fn assert_envelope(answer: &str, status: u16, slug: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("no {name} in {head}"))
    };
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("content-length"), body.len().to_string());
    assert_eq!(header("connection"), "close");

    let envelope: serde_json::Value = serde_json::from_str(body).expect(body);
    assert_eq!(envelope["error"], slug);
    assert_eq!(envelope["status_code"], status);
    assert_eq!(envelope["request_id"], header("x-request-id"));
    assert!(
        envelope["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty())
    );
    assert_eq!(envelope.as_object().unwrap().len(), 4);
}

/// Asserts that an answer is a success with this body.
#[track_caller]
pub fn assert_ok(answer: &str, body: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, body);
}
