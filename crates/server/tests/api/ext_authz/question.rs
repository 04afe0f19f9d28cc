//! Questions as Envoy puts them, and what it makes of the answers.

use std::collections::HashMap;

use axum::body::Body;
use bytes::{BufMut as _, BytesMut};
use envoy_types::ext_authz::v3::pb::{
    CheckRequest, CheckResponse, HeaderValueOption, HttpResponse,
};
use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderMap, HeaderValue, SocketAddress, address,
};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::support::World;

/// A question about a request.
#[derive(Clone, Debug)]
pub struct Question {
    pub method: String,
    pub path: String,
    pub address: Option<String>,
    /// Lines of headers, as the client sent them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whether Envoy sends them as they are (`encode_raw_headers`).
    pub raw: bool,
}

/// A question about a request of this method.
pub fn ask(method: &str) -> Question {
    Question {
        method: method.to_owned(),
        path: "/orders?of=today".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        headers: vec![(":method".to_owned(), method.into())],
        raw: true,
    }
}

impl Question {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let header = (name.to_owned(), value.as_ref().to_vec());
        self.headers.push(header);
        self
    }

    pub fn key(self, text: &str) -> Self {
        self.header("x-api-key", text)
    }

    pub fn token(self, text: &str) -> Self {
        self.header("authorization", format!("Bearer {text}"))
    }

    pub fn seal_key(self, text: &str) -> Self {
        self.header("x-gomaluum-key", text)
    }

    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn from(mut self, address: Option<&str>) -> Self {
        self.address = address.map(str::to_owned);
        self
    }

    /// With lines of one name joined.
    pub fn joined(mut self) -> Self {
        self.raw = false;
        self
    }

    /// The message.
    pub fn message(&self) -> CheckRequest {
        let mut http = HttpRequest {
            method: self.method.clone(),
            path: self.path.clone(),
            ..HttpRequest::default()
        };
        if self.raw {
            http.header_map = Some(self.header_map());
        } else {
            http.headers = self.joined_headers();
        }
        let source = self.address.as_ref().map(|address| Peer {
            address: Some(socket_address(address)),
            ..Peer::default()
        });
        CheckRequest {
            attributes: Some(AttributeContext {
                source,
                request: Some(Request {
                    http: Some(http),
                    ..Request::default()
                }),
                ..AttributeContext::default()
            }),
        }
    }

    fn header_map(&self) -> HeaderMap {
        let lines = self.headers.iter().map(|(name, value)| HeaderValue {
            key: name.clone(),
            raw_value: value.clone(),
            ..HeaderValue::default()
        });
        HeaderMap {
            headers: lines.collect(),
        }
    }

    fn joined_headers(&self) -> HashMap<String, String> {
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in &self.headers {
            let value = String::from_utf8(value.clone()).unwrap_or_else(|_| "!".to_owned());
            let joined = headers.entry(name.clone());
            joined
                .and_modify(|line| *line = format!("{line},{value}"))
                .or_insert(value);
        }
        headers
    }

    /// Asks.
    pub async fn send(&self, world: &World) -> Decision {
        let response = check(world, self.message()).await;
        Decision::of(response, &self.headers)
    }

    /// Asks; nothing if it is answered with an error of gRPC.
    pub async fn try_send(&self, world: &World) -> Option<Decision> {
        let response = try_check(world, self.message()).await.ok()?;
        Some(Decision::of(response, &self.headers))
    }

    /// Asks; gives the status that the client gets from Envoy, 200 if the request is let through.
    pub async fn status(&self, world: &World) -> u32 {
        self.send(world).await.status
    }
}

pub fn socket_address(address: &str) -> Address {
    let socket = SocketAddress {
        address: address.to_owned(),
        ..SocketAddress::default()
    };
    Address {
        address: Some(address::Address::SocketAddress(socket)),
    }
}

/// Asks over gRPC.
pub async fn check(world: &World, message: CheckRequest) -> CheckResponse {
    try_check(world, message).await.unwrap()
}

/// Asks over gRPC.
pub async fn try_check(
    world: &World,
    message: CheckRequest,
) -> Result<CheckResponse, tonic::Status> {
    let mut client = AuthorizationClient::new(world.ext_authz.clone());
    client.check(message).await.map(tonic::Response::into_inner)
}

/// Sends bytes in place of a message; gives the bytes of the answer, trailers left out.
pub async fn send_bytes(world: &World, message: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    let request = http::Request::post("/envoy.service.auth.v3.Authorization/Check")
        .header("content-type", "application/grpc")
        .body(Body::from(frame.freeze()))
        .unwrap();
    let response = world.ext_authz.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    body.to_bytes().to_vec()
}

/// What Envoy makes of an answer.
#[derive(Debug)]
pub struct Decision {
    /// What the client gets, 200 if the request is let through.
    pub status: u32,
    /// gRPC's code for it.
    pub code: i32,
    /// What the service gets, or else the client.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What the client gets besides the service's answer.
    pub added: Vec<(String, Vec<u8>)>,
}

impl Decision {
    /// As in Envoy's `GrpcClientImpl::onSuccess` and `Filter::onComplete`: the code decides, headers are
    /// set in the order in which they are told, and removed after that.
    pub fn of(response: CheckResponse, sent: &[(String, Vec<u8>)]) -> Self {
        let code = response.status.map_or(0, |status| status.code);
        let (mut headers, mut added) = (Vec::new(), Vec::new());
        let status = match (code, response.http_response) {
            (0, Some(HttpResponse::OkResponse(ok))) => {
                headers.extend_from_slice(sent);
                ok.headers.into_iter().for_each(|it| set(&mut headers, it));
                headers.retain(|(name, _)| !ok.headers_to_remove.contains(name));
                let to_client = ok.response_headers_to_add.into_iter();
                to_client.for_each(|it| set(&mut added, it));
                200
            }
            (code, Some(HttpResponse::DeniedResponse(denied))) if code != 0 => {
                assert_eq!(denied.body, "");
                let to_client = denied.headers.into_iter();
                to_client.for_each(|it| set(&mut headers, it));
                u32::try_from(denied.status.unwrap().code).unwrap()
            }
            (code, other) => panic!("{code}: {other:?}"),
        };
        Self {
            status,
            code,
            headers,
            added,
        }
    }

    /// The values of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(known, _)| known == name);
        let values = lines.map(|(_, value)| std::str::from_utf8(value).unwrap());
        values.collect()
    }

    /// The identity that the service is told.
    #[track_caller]
    pub fn identity(&self) -> [&str; 5] {
        assert_eq!(self.status, 200, "{self:?}");
        super::IDENTITY.map(|name| {
            let values = self.values(name);
            assert_eq!(values.len(), 1, "{name}: {self:?}");
            values[0]
        })
    }
}

fn set(headers: &mut Vec<(String, Vec<u8>)>, option: HeaderValueOption) {
    let header = option.header.unwrap();
    // 0 appends, 2 overwrites or adds.
    match option.append_action {
        0 => {}
        2 => headers.retain(|(name, _)| *name != header.key),
        other => panic!("{other}"),
    }
    headers.push((header.key, header.value.into_bytes()));
}
