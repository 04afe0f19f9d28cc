//! One request's way to the service and back.
//!
//! Most requests are judged from memory, before anything is set aside for them. Who passes is counted
//! then: if each request is to be recorded, the record is durable before the service hears of it.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use sealgate_core::authority::Allowance;
use sealgate_core::clock::Stopwatch;
use sealgate_core::key::KeyId;
use tracing::Level;
use utoipa::openapi::OpenApi;

use super::headers::{Headers, Sender};
use super::own::OwnPaths;
use super::upload::{Progress, Upload};
use super::upstream::{Failure, Upstream};
use super::{Gateway, form};
use crate::app::Server;
use crate::error::{DENIED, Problem};
use crate::gate::{Asked, Meter, Passed, Refused};
use crate::layer::Unanswered;
use crate::layer::arrival::{REQUEST_ID, client_address};
use crate::layer::rate_limit;
use crate::request_id::RequestId;

/// What requests to the service are counted as, whatever their paths.
const ROUTE: &str = "gateway";

/// Passes requests on to the service behind the gateway.
pub(crate) struct Forwarder {
    server: Arc<Server>,
    upstream: Arc<Upstream>,
    headers: Headers,
    own: Option<OwnPaths>,
    meter: Meter,
}

/// What has become of a request so far.
pub(crate) enum Forwarding {
    /// It is answered.
    Over(Response<Body>),
    /// The answer is to come.
    UnderWay(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

/// What is known of a request when it is answered.
struct Visit {
    stopwatch: Stopwatch,
    method: Method,
    address: IpAddr,
    peer: IpAddr,
    key_id: Option<KeyId>,
}

/// A request that is on its way.
struct Sent {
    request: Request<Body>,
    upload: Option<Arc<Progress>>,
    allowance: Option<Allowance>,
}

impl Forwarder {
    /// For a gateway on the port of the API that the document describes; on a port of its own without
    /// a document.
    pub fn new(gateway: &Gateway, server: Arc<Server>, document: Option<&OpenApi>) -> Self {
        let http = &server.http;
        Self {
            upstream: Arc::clone(&gateway.upstream),
            headers: Headers::new(
                &server.gate,
                gateway.keep_credentials,
                &http.trusted_proxies,
                http.tls,
            ),
            own: document.map(OwnPaths::of),
            meter: Meter::new(ROUTE),
            server,
        }
    }

    /// Whether requests for a path go to the service.
    pub fn takes(&self, path: &str) -> bool {
        self.own.as_ref().is_none_or(|own| !own.contains(path))
    }

    /// Passes a request on, if it may. `stall_timeout`: how long the client may leave its body
    /// unfinished and send nothing.
    pub fn forward(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
        stall_timeout: Duration,
    ) -> Forwarding {
        let (mut parts, body) = request.into_parts();
        let trusted = &self.server.http.trusted_proxies;
        let mut visit = Visit {
            stopwatch: Stopwatch::start(),
            method: parts.method.clone(),
            address: client_address(peer, &parts.headers, trusted),
            peer,
            key_id: None,
        };
        if let Err(problem) = form::check(&mut parts) {
            let refused = self
                .server
                .gate
                .refuse(&asked(&parts, visit.address), problem);
            return Forwarding::Over(self.turn_away(&refused, &visit));
        }
        let body = Letter::new(body, stall_timeout);
        let this = Arc::clone(self);
        let now = self.server.gate.check_now(&asked(&parts, visit.address));
        let Some(decided) = now else {
            let answer = async move { this.check_and_send(parts, body, visit).await };
            return Forwarding::UnderWay(Box::pin(answer));
        };
        match self.admit(decided, parts, body, &mut visit) {
            Ok(sent) => Forwarding::UnderWay(Box::pin(async move { this.send(sent, visit).await })),
            Err(refused) => Forwarding::Over(self.turn_away(&refused, &visit)),
        }
    }

    /// As above, with the store's help.
    async fn check_and_send(&self, parts: Parts, body: Letter, mut visit: Visit) -> Response<Body> {
        let limit = self.server.http.request_timeout;
        let checking = async {
            let asked = asked(&parts, visit.address);
            self.server.gate.check(&asked).await
        };
        let decided = match tokio::time::timeout(limit, checking).await {
            Ok(decided) => decided,
            Err(_) => Err(self.broken(Problem::took_too_long(limit), &visit)),
        };
        match self.admit(decided, parts, body, &mut visit) {
            Ok(sent) => self.send(sent, visit).await,
            Err(refused) => self.turn_away(&refused, &visit),
        }
    }

    /// Makes of a request that may go through the one that the service gets.
    fn admit(
        &self,
        decided: Result<Passed, Refused>,
        mut parts: Parts,
        body: Letter,
        visit: &mut Visit,
    ) -> Result<Sent, Refused> {
        let passed = decided?;
        visit.key_id = passed.key_id();
        check_length(&parts, &body).map_err(|problem| self.broken(problem, visit))?;
        let sender = Sender {
            peer: visit.peer,
            is_upgrading: is_websocket(&parts),
        };
        self.headers
            .rewrite(&mut parts, sender, &self.server.gate, &passed)
            .map_err(|problem| self.broken(problem, visit))?;
        Ok(Sent {
            request: Request::from_parts(parts, body.body),
            upload: body.progress,
            allowance: passed.allowance(),
        })
    }

    async fn send(&self, sent: Sent, visit: Visit) -> Response<Body> {
        let Sent {
            request,
            upload,
            allowance,
        } = sent;
        let mut response = match self.upstream.send(request, upload).await {
            Ok(response) => response,
            Err(failure) => return self.give_up(failure, &visit),
        };
        // The service's version is between it and us.
        *response.version_mut() = Version::HTTP_11;
        if let Some(allowance) = allowance {
            describe_allowance(response.headers_mut(), allowance);
        }
        self.record(response.status(), &visit);
        response
    }

    fn give_up(&self, failure: Failure, visit: &Visit) -> Response<Body> {
        failure.count();
        let refused = self.broken(failure.into(), visit);
        self.turn_away(&refused, visit)
    }

    /// What goes wrong and is not for the gate to say.
    fn broken(&self, problem: Problem, visit: &Visit) -> Refused {
        let request_id = self.server.request_ids.next();
        let unanswered = Unanswered {
            request_id,
            address: visit.address,
            route: ROUTE,
            method: visit.method.as_str(),
            path: ROUTE,
            user_agent: None,
        };
        unanswered.account(&self.server.authority, &problem);
        Refused {
            problem: Box::new(problem),
            request_id,
        }
    }

    fn turn_away(&self, refused: &Refused, visit: &Visit) -> Response<Body> {
        let Refused {
            problem,
            request_id,
        } = refused;
        let response = self.envelope(problem, *request_id);
        self.record(response.status(), visit);
        response
    }

    fn envelope(&self, problem: &Problem, request_id: RequestId) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let seal_key = &self.server.http.seal_key_header;
        let message = match problem {
            // What the policy wants is for the operator: a caller is not told.
            Problem::Forbidden(_) if problem.status() == StatusCode::FORBIDDEN => DENIED.into(),
            _ => problem.message(),
        };
        problem.write_with(&mut response, message, &request_id.to_string(), seal_key);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, request_id.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(problem, Problem::MethodNotAllowed) {
            headers.insert(ALLOW, form::ALLOWED);
        }
        response
    }

    /// Measures a request whose answer begins. A log line for each would cost more than the rest of
    /// what is done here, and the service has a log of its own: so there is one where it is asked for.
    fn record(&self, status: StatusCode, visit: &Visit) {
        let elapsed = visit.stopwatch.elapsed();
        self.meter.record(&visit.method, status, elapsed);
        if tracing::enabled!(Level::DEBUG) {
            tracing::debug!(
                method = visit.method.as_str(),
                status = status.as_u16(),
                duration_ms = elapsed.as_secs_f64() * 1_000.0,
                key_id = visit.key_id.map(tracing::field::display),
                address = %visit.address,
                "passed through"
            );
        }
    }
}

fn asked(request: &Parts, address: IpAddr) -> Asked<'_> {
    Asked {
        route: ROUTE,
        method: &request.method,
        path: Some(request.uri.path()),
        headers: &request.headers,
        address,
    }
}

/// A request's body, and what is told of its way.
struct Letter {
    body: Body,
    progress: Option<Arc<Progress>>,
}

impl Letter {
    fn new(body: Incoming, stall_timeout: Duration) -> Self {
        if body.is_end_stream() {
            return Self {
                body: Body::empty(),
                progress: None,
            };
        }
        let (upload, progress) = Upload::new(body, stall_timeout);
        Self {
            body: Body::new(upload),
            progress: Some(progress),
        }
    }
}

/// A body of unknown length would not arrive with these methods, of which none has a meaning for it (RFC
/// 9110 sections 9.3.1 and 9.3.2): better refused than lost.
fn check_length(request: &Parts, body: &Letter) -> Result<(), Problem> {
    let is_lost = matches!(request.method, Method::GET | Method::HEAD)
        && body.progress.is_some()
        && !request.headers.contains_key(CONTENT_LENGTH);
    if !is_lost {
        return Ok(());
    }
    Err(Problem::Invalid {
        field: "Content-Length".into(),
        message: format!("a body of {} needs one here", request.method),
    })
}

/// Whether a request asks for a WebSocket as RFC 6455 section 4.1 says. Nothing else is spoken after
/// HTTP: any other `Upgrade` is passed over, as whoever does not know it may (RFC 9110 section 7.8).
fn is_websocket(request: &Parts) -> bool {
    let headers = &request.headers;
    let Some(upgrade) = headers.get(UPGRADE) else {
        return false;
    };
    request.method == Method::GET
        && request.version == Version::HTTP_11
        && upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
        && names_upgrade(headers)
        && headers.contains_key(SEC_WEBSOCKET_KEY)
        && headers.contains_key(SEC_WEBSOCKET_VERSION)
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONNECTION).iter();
    lines.any(|line| {
        let mut options = line.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    })
}

/// Says what a limited key has left, unless the service has a limit of its own to tell of.
fn describe_allowance(headers: &mut HeaderMap, allowance: Allowance) {
    let tells_of_limit = |name: &HeaderName| name.as_str().starts_with("ratelimit");
    if !headers.keys().any(tells_of_limit) {
        rate_limit::describe_allowance(headers, allowance);
    }
}
