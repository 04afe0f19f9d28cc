//! Requests, and what comes back.

use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// A request on its way.
pub struct Call(http::request::Builder, Bytes);

impl Call {
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let uri = format!("http://{address}{path}");
        Self(
            http::Request::builder().method(method).uri(uri),
            Bytes::new(),
        )
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value), self.1)
    }

    pub fn key(self, text: &str) -> Self {
        self.header("X-API-Key", text)
    }

    pub fn token(self, text: &str) -> Self {
        self.header("Authorization", &format!("Bearer {text}"))
    }

    pub fn seal_key(self, text: &str) -> Self {
        self.header("x-gomaluum-key", text)
    }

    pub fn json(self, body: &Value) -> Self {
        let Self(builder, _) = self.header("Content-Type", "application/json");
        Self(builder, body.to_string().into())
    }

    pub async fn send(self) -> Answer {
        let request = self.0.body(Full::new(self.1)).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = timeout(PATIENCE, client.request(request)).await;
        let (head, body) = response.expect("an answer in time").unwrap().into_parts();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub async fn status(self) -> u16 {
        self.send().await.status
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }
}
