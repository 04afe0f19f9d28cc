//! A service that is protected by Sealgate, and that calls itself as a client with a key of its own.
//!
//! Every five seconds it exchanges its key where needed, calls itself with the token, and shows the answer.
//! `docs/client.md` says how to run it.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sealgate_client::{
    Authorize, AuthorizeLayer, Identity, ManagedKey, Mode, Refusal, Sealgate, SealgateOptions,
    SessionOptions, TokenSource, Verifier, VerifierOptions, VerifyLayer,
};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};

type HttpClient = Authorize<Client<HttpConnector, Full<Bytes>>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = env::var("SEALGATE_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let key = env::var("SEALGATE_KEY").map_err(|_| "put a managed key into SEALGATE_KEY")?;
    let sealgate = Sealgate::new(&url, &SealgateOptions::default())?;

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let address = listener.local_addr()?;
    let service = protected(sealgate.clone())?;
    tokio::spawn(async move {
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).await
    });

    let client = client(sealgate, ManagedKey::new(key)?);
    loop {
        println!("{}", call(client.clone(), address, "/me").await?);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// The service. Tokens are verified in this process, and keys by Sealgate.
pub(crate) fn protected(sealgate: Sealgate) -> Result<Router, Failure> {
    let options = VerifierOptions {
        mode: Mode::LocalThenRemote,
        issuer: "sealgate".to_owned(),
        sessions: Some(SessionOptions {
            audience: "gomaluum".to_owned(),
            issuer: "gomaluum".to_owned(),
        }),
        ..VerifierOptions::default()
    };
    let verify = VerifyLayer::new(Verifier::start(sealgate, options)?);
    let router = Router::new()
        .route("/me", get(me))
        .route("/orders", get(orders))
        .layer(verify);
    Ok(router)
}

/// Shows who calls.
async fn me(caller: Identity) -> String {
    format!("{}: {}", caller.kind.as_str(), caller.subject)
}

/// Needs more than the layer does.
async fn orders(caller: Identity) -> Result<&'static str, Refusal> {
    caller.require("orders:read")?;
    Ok("no orders today")
}

/// A client whose requests carry a token.
pub(crate) fn client(sealgate: Sealgate, key: ManagedKey) -> HttpClient {
    let http = Client::builder(TokioExecutor::new()).build_http();
    AuthorizeLayer::new(TokenSource::new(sealgate, key)).layer(http)
}

/// Calls a service; gives status and text of the answer.
pub(crate) async fn call(
    client: HttpClient,
    address: SocketAddr,
    path: &str,
) -> Result<String, Failure> {
    let uri = format!("http://{address}{path}");
    let request = Request::get(uri).body(Full::default())?;
    let (head, body) = client.oneshot(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    Ok(format!("{} {text}", head.status.as_u16()))
}
