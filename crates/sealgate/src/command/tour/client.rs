//! A client for one request at a time, over real TCP.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::exit::{Failure, Outcome};

/// What is asked of the server.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// The path, with its query.
    pub path: String,
    /// What the caller shows.
    pub credential: Credential<'a>,
    /// What is sent.
    pub body: Option<Value>,
}

/// What a caller shows.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// A managed key.
    Key(&'a str),
    /// An access token.
    Token(&'a str),
    /// A key to seal with.
    SealKey(&'a str),
    /// A session token, and the key that it was sealed with, if one was sent.
    Session {
        /// The token.
        token: &'a str,
        /// The key.
        seal_key: Option<&'a str>,
    },
    /// Nothing.
    Nothing,
}

/// The header that seal keys come in.
const SEAL_KEY: &str = "x-gomaluum-key";

impl<'a> Credential<'a> {
    /// The headers that show it: each one's name, what stands before the secret, and the secret.
    pub fn headers(self) -> impl Iterator<Item = (&'static str, &'static str, &'a str)> {
        let bearer = |token| Some(("Authorization", "Bearer ", token));
        let seal = |key| (SEAL_KEY, "", key);
        let (first, second) = match self {
            Self::Key(key) => (Some(("X-API-Key", "", key)), None),
            Self::Token(token) => (bearer(token), None),
            Self::SealKey(key) => (None, Some(seal(key))),
            Self::Session { token, seal_key } => (bearer(token), seal_key.map(seal)),
            Self::Nothing => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// Sends a request, and takes the answer's status and JSON.
///
/// # Errors
/// If there is no answer, or it is not JSON.
pub async fn send(address: SocketAddr, ask: &Ask<'_>) -> Outcome<(StatusCode, Value)> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("{} {}: {error}", ask.method, ask.path))
    };
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request(address, ask)?).await;
    let response = response.map_err(|error| failed(&error))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| failed(&error))?.to_bytes();
    connection.abort();
    let answer = serde_json::from_slice(&body).map_err(|error| failed(&error))?;
    Ok((status, answer))
}

fn request(address: SocketAddr, ask: &Ask<'_>) -> Outcome<Request<Full<Bytes>>> {
    let request = Request::builder()
        .method(&ask.method)
        .uri(&ask.path)
        .header(HOST, address.to_string());
    let headers = ask.credential.headers();
    let request = headers.fold(request, |request, (name, before, secret)| {
        request.header(name, format!("{before}{secret}"))
    });
    let built = match &ask.body {
        Some(body) => request
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string())),
        None => request.body(Full::default()),
    };
    built.map_err(|error| Failure::new(error.to_string()))
}
