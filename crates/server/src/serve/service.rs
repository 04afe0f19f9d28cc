//! The way from hyper to the router: [`Service`].

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::routing::future::RouteFuture;
use http::header::{HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tower::Service as _;

use super::ClientAddress;
use super::bare_errors::Fault;
use super::connection::Front;
use super::exchange::{BodyOrigin, Exchange, Line, TrackedBody};
use super::tunnel::Tunnel;
use crate::app::Server;
use crate::gate::forward_auth::{self, ForwardAuth};
use crate::gateway::Forwarding;
use crate::router::Api;

/// The router as one connection's requests see it.
pub(super) struct Service {
    pub(super) front: Arc<Front>,
    pub(super) client: ClientAddress,
    pub(super) line: Arc<Line>,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let exchange = Some(Exchange::begin(&self.line));
        let mut tunnel = None;
        let response = match self.fault(&request) {
            None => self.dispatch(request, &mut tunnel),
            Some(fault) => {
                let error = self.front.bare_errors.report(fault, self.client);
                let is_http2 = request.version() == Version::HTTP_2;
                Source::Here(Some(if is_http2 {
                    error.response()
                } else {
                    error.last_response()
                }))
            }
        };
        Answer {
            response,
            exchange,
            tunnel,
        }
    }
}

impl Service {
    /// To whom it concerns.
    fn dispatch(&self, mut request: Request<Incoming>, tunnel: &mut Option<Tunnel>) -> Source {
        let Api {
            router,
            server,
            gateway,
        } = &self.front.api;
        let path = request.uri().path();
        match (server, gateway) {
            (Some(server), _) if path == forward_auth::PATH => {
                let (parts, _) = request.into_parts();
                verify(server, parts, self.client.0.ip())
            }
            (_, Some(gateway)) if gateway.takes(path) => {
                if request.headers().contains_key(UPGRADE) {
                    *tunnel = Some(Tunnel::prepare(request.extensions_mut()));
                }
                let stall_timeout = self.front.options.stall_timeout;
                match gateway.forward(request, self.client.0.ip(), stall_timeout) {
                    Forwarding::Over(response) => Source::Here(Some(response)),
                    Forwarding::UnderWay(future) => Source::Forwarding(future),
                }
            }
            _ => {
                request.extensions_mut().insert(self.client);
                Source::Router(router.clone().call(request))
            }
        }
    }

    /// What is wrong with a request that hyper lets pass.
    fn fault(&self, request: &Request<Incoming>) -> Option<Fault> {
        match request.version() {
            Version::HTTP_2 if self.is_too_large(request) => Some(Fault::HeadTooLarge),
            Version::HTTP_2 => None,
            _ if is_ambiguous(request) => Some(Fault::Malformed),
            _ => None,
        }
    }

    /// Whether the head is over the limit. For HTTP/1, hyper measures; for HTTP/2 it would answer
    /// without a body, so its own limit is wider than the one that counts. The size is that of RFC
    /// 9113, section 6.5.2.
    fn is_too_large(&self, request: &Request<Incoming>) -> bool {
        const OVERHEAD: usize = 32;
        let headers = request.headers();
        let size: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD)
            .sum();
        let path = request
            .uri()
            .path_and_query()
            .map_or(0, |path| path.as_str().len());
        headers.len() > self.front.options.max_headers
            || size + path > self.front.options.max_header_bytes
    }
}

/// A proxy's question: answered at once from memory, which is nearly always enough.
fn verify(server: &Arc<Server>, request: Parts, peer: IpAddr) -> Source {
    if let Some(response) = ForwardAuth(server).answer_now(&request, peer) {
        return Source::Here(Some(response));
    }
    let server = Arc::clone(server);
    Source::Asking(Box::pin(async move {
        ForwardAuth(&server).answer(&request, peer).await
    }))
}

/// Whether a proxy before this server could have understood another request than it does: a second
/// `Host` or none (RFC 9112, section 3.2), or a body in a transfer coding that not every
/// implementation reads the same way (section 6.1).
fn is_ambiguous<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let hosts = headers.get_all(HOST).iter().count();
    let host_is_clear = hosts == 1 || (hosts == 0 && request.version() == Version::HTTP_10);
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding_is_clear = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none();
    !(host_is_clear && coding_is_clear)
}

/// A response to come.
pub(super) struct Answer {
    response: Source,
    exchange: Option<Exchange>,
    /// What the connection may become by this answer.
    tunnel: Option<Tunnel>,
}

enum Source {
    Router(RouteFuture<Infallible>),
    Asking(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    Forwarding(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    Here(Option<Response<Body>>),
}

impl Future for Answer {
    type Output = Result<Response<TrackedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "nobody polls a future that was ready";
        let mut origin = BodyOrigin::Own;
        let response = match &mut self.response {
            Source::Router(future) => {
                let Ok(response) = ready!(Pin::new(future).poll(cx));
                response
            }
            Source::Asking(future) => ready!(future.as_mut().poll(cx)),
            Source::Forwarding(future) => {
                origin = BodyOrigin::Upstream;
                ready!(future.as_mut().poll(cx))
            }
            Source::Here(response) => response.take().expect(ONCE),
        };
        let exchange = self.exchange.take().expect(ONCE);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(tunnel) = self.tunnel.take()
        {
            // The connection's driver has to know before hyper does.
            exchange.line().switch(tunnel);
            self.response = Source::Here(Some(response));
            self.exchange = Some(exchange);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(
            response.map(|body| TrackedBody::new(body, origin, exchange))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_two_parsers_could_read_differently_is_ambiguous() {
        let is_ambiguous = |headers: &[(&str, &str)]| {
            let mut request = Request::builder();
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_ambiguous(&request.body(()).unwrap())
        };
        assert!(!is_ambiguous(&[("host", "a")]));
        assert!(!is_ambiguous(&[
            ("host", "a"),
            ("transfer-encoding", "Chunked")
        ]));
        for headers in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
            &[
                ("host", "a"),
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ] {
            assert!(is_ambiguous(headers), "{headers:?}");
        }
    }
}
