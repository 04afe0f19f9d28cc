//! The connections to the service, and what goes wrong with them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum_reverse_proxy::{HostBehaviour, ProxyError, ProxyPolicy, ReverseProxy, XForwardedFor};
use http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::GatewaySettings;
use super::upload::{Progress, UploadFault};
use crate::error::Problem;

/// How long a connection is kept that nothing goes over: less than after which services close theirs, of
/// which the most impatient that are common wait for five seconds. What is sent while the other side
/// closes is lost.
const KEPT: Duration = Duration::from_secs(4);
/// Largest head of an answer, and what is read of its body at a time.
const BUFFER: usize = 64 * 1024;
/// How often it is made sure that the machine at the other end is still there.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// The service.
pub(super) struct Upstream {
    proxy: ReverseProxy<HttpsConnector<HttpConnector>>,
    response_timeout: Duration,
}

/// What went wrong with the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be reached.
    Unreachable(String),
    /// It took too long.
    Timeout(Duration),
    /// The connection ended before its answer began.
    Closed(String),
    /// What it sent is no answer.
    Malformed(String),
    /// The client's fault.
    Upload(UploadFault),
}

impl Upstream {
    pub fn new(settings: GatewaySettings) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        tcp.set_keepalive(Some(KEEP_ALIVE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(settings.tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEPT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER)
            .build(connector);
        let host = if settings.preserve_host {
            HostBehaviour::Preserve
        } else {
            HostBehaviour::Replace
        };
        // The client's address and the time limits are our own matter: who is believed, and that an
        // upload may take its time, is not known there.
        let policy = ProxyPolicy::new()
            .with_host_behaviour(host)
            .with_x_forwarded_for(XForwardedFor::Preserve)
            .with_websocket_connect_timeout(Duration::MAX);
        let url = settings.upstream.to_string();
        Self {
            proxy: ReverseProxy::new_with_client("", url, client).with_policy(policy),
            response_timeout: settings.response_timeout,
        }
    }

    /// Sends a request and waits for the head of the answer. The time counts anew while more of the
    /// request's body is taken, and does not while the client is waited for.
    pub async fn send(
        &self,
        request: Request<Body>,
        upload: Option<Arc<Progress>>,
    ) -> Result<Response<Body>, Failure> {
        let mut sending = pin!(self.proxy.proxy_request(request));
        let mut mark = 0;
        loop {
            if let Ok(Ok(response)) = timeout(self.response_timeout, sending.as_mut()).await {
                return examine(response, upload.as_deref());
            }
            let goes_on = upload.as_ref().is_some_and(|upload| {
                let before = std::mem::replace(&mut mark, upload.mark());
                upload.is_waiting_for_client() || before != mark
            });
            if !goes_on {
                return Err(Failure::Timeout(self.response_timeout));
            }
        }
    }
}

/// Tells the service's answers from those that say that there is none.
fn examine(
    mut response: Response<Body>,
    upload: Option<&Progress>,
) -> Result<Response<Body>, Failure> {
    let Some(error) = response.extensions_mut().remove::<ProxyError>() else {
        return Ok(response);
    };
    Err(match upload.and_then(Progress::fault) {
        Some(fault) => Failure::Upload(fault),
        None => Failure::of(&error),
    })
}

impl Failure {
    fn of(error: &ProxyError) -> Self {
        let message = error.message().to_owned();
        // The kind of hyper's error is lost on the way; its texts are not.
        let says = |text: &str| message.contains(text);
        if error.is_connect() {
            Self::Unreachable(message)
        } else if says("parsed") || says("too large") || says("upgrade") || says("unexpected") {
            Self::Malformed(message)
        } else {
            Self::Closed(message)
        }
    }

    /// What it is called in the metrics; nothing if it is not the service's.
    const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some("unreachable"),
            Self::Timeout(_) => Some("timeout"),
            Self::Closed(_) => Some("closed"),
            Self::Malformed(_) => Some("malformed"),
            Self::Upload(_) => None,
        }
    }

    /// Counts it.
    pub fn count(&self) {
        if let Some(kind) = self.kind() {
            count(kind);
        }
    }
}

fn count(kind: &'static str) {
    metrics::counter!("sealgate_upstream_failures_total", "kind" => kind).increment(1);
}

/// Takes note of an answer that broke off after it began: the client sees that it is not whole.
pub(crate) fn note_broken_answer(error: &axum::Error) {
    count("broken_off");
    tracing::warn!(%error, "the answer of the service behind the gateway broke off");
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let (message, detail) = match failure {
            Failure::Unreachable(detail) => {
                ("the service behind this gateway cannot be reached", detail)
            }
            Failure::Closed(detail) => (
                "the service behind this gateway closed the connection instead of an answer",
                detail,
            ),
            Failure::Malformed(detail) => (
                "the answer of the service behind this gateway cannot be understood",
                detail,
            ),
            Failure::Timeout(limit) => return Self::GatewayTimeout(limit),
            Failure::Upload(UploadFault::Stalled) => return Self::RequestTimeout,
            Failure::Upload(UploadFault::Broken) => return Self::invalid("body", "it broke off"),
        };
        Self::BadGateway(message, detail)
    }
}
