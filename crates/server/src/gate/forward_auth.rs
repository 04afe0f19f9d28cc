//! `ANY /api/auth/verify`: reverse proxies ask whether they may let their client's request through, and
//! read the answer from its status and headers: it has no body, whatever comes of it.
//!
//! Most questions are answered from memory. So the way here goes past the router and its layers: they
//! would take as long as the answer itself.

use std::net::IpAddr;

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use sealgate_core::clock::Stopwatch;
use tracing::Level;

use super::identity::NOTHING;
use super::{Asked, Cookies, Gate, IdentityHeaders, Passed, Refused};
use crate::app::Server;
use crate::error::Problem;
use crate::extract::OriginalRequest;
use crate::layer::arrival::{REQUEST_ID, client_address};
use crate::layer::rate_limit;

/// Where proxies ask.
pub(crate) const PATH: &str = "/api/auth/verify";

/// Answers proxies.
#[derive(Clone, Copy)]
pub(crate) struct ForwardAuth<'s>(pub &'s Server);

impl ForwardAuth<'_> {
    /// The answer to whoever is at the other end, from memory; nothing if the store has to be asked.
    pub fn answer_now(self, request: &Parts, peer: IpAddr) -> Option<Response<Body>> {
        if !self.gate().answers_from_memory() {
            return None;
        }
        let stopwatch = Stopwatch::start();
        let address = client_address(peer, &request.headers, &self.0.http.trusted_proxies);
        let decided = match self.original(request) {
            Ok(original) => {
                let asked = original.asked(&request.headers, address);
                self.gate()
                    .check_now(&asked)?
                    .and_then(|passed| self.let_through(&asked, &passed))
            }
            Err(problem) => Err(self.misread(request, address, problem)),
        };
        Some(self.respond(request, address, decided, stopwatch))
    }

    /// The answer, with the store's help if need be.
    pub async fn answer(self, request: &Parts, peer: IpAddr) -> Response<Body> {
        let stopwatch = Stopwatch::start();
        let address = client_address(peer, &request.headers, &self.0.http.trusted_proxies);
        let decided = match self.original(request) {
            Ok(original) => {
                let asked = original.asked(&request.headers, address);
                let limit = self.0.http.request_timeout;
                match tokio::time::timeout(limit, self.gate().check(&asked)).await {
                    Ok(decided) => decided.and_then(|passed| self.let_through(&asked, &passed)),
                    Err(_) => Err(self.gate().refuse(&asked, Problem::took_too_long(limit))),
                }
            }
            Err(problem) => Err(self.misread(request, address, problem)),
        };
        self.respond(request, address, decided, stopwatch)
    }

    fn original(self, request: &Parts) -> Result<OriginalRequest<'_>, Problem> {
        let counting = self.0.http.original_headers;
        OriginalRequest::read(&request.headers, &request.method, counting)
    }

    const fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// A question that contradicts itself.
    fn misread(self, request: &Parts, address: IpAddr, problem: Problem) -> Refused {
        let asked = Asked {
            route: PATH,
            method: &request.method,
            path: None,
            headers: &request.headers,
            address,
        };
        self.gate().refuse(&asked, problem)
    }

    fn respond(
        self,
        request: &Parts,
        address: IpAddr,
        decided: Result<Response<Body>, Refused>,
        stopwatch: Stopwatch,
    ) -> Response<Body> {
        let response = decided.unwrap_or_else(|refused| self.turn_away(&refused));
        let (elapsed, status) = (stopwatch.elapsed(), response.status());
        self.0.verify_meter.record(&request.method, status, elapsed);
        // The proxy has a log of the requests themselves.
        if tracing::enabled!(Level::DEBUG) {
            tracing::debug!(
                method = request.method.as_str(),
                status = status.as_u16(),
                duration_ms = elapsed.as_secs_f64() * 1_000.0,
                %address,
                "asked by a proxy"
            );
        }
        response
    }

    fn let_through(self, asked: &Asked<'_>, passed: &Passed) -> Result<Response<Body>, Refused> {
        let identity = self.gate().identity(passed);
        let identity = identity.map_err(|problem| self.gate().refuse(asked, problem))?;
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.clone_from(&self.0.passing);
        for (place, value) in headers.values_mut().zip(identity) {
            *place = value;
        }
        for name in passed.reserved().filter_map(|name| name.parse().ok()) {
            headers.insert::<HeaderName>(name, NOTHING);
        }
        if let Some(cookies) = other_cookies(passed, asked.headers) {
            headers.insert(COOKIE, cookies);
        }
        for (name, value) in passed.injected(asked.headers) {
            headers.insert(name, value);
        }
        if passed.reserved().next().is_some() {
            // A rule may add one of these for the service; the answer itself is never kept.
            finish(headers);
        }
        if let Some(allowance) = passed.allowance() {
            rate_limit::describe_allowance(headers, allowance);
        }
        Ok(response)
    }

    fn turn_away(self, refused: &Refused) -> Response<Body> {
        let Refused {
            problem,
            request_id,
        } = refused;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = problem.status();
        let headers = response.headers_mut();
        problem.add_headers(headers, self.gate().seal_key_header());
        headers.insert(REQUEST_ID, (*request_id).into());
        finish(headers);
        response
    }
}

/// The headers of every answer that lets a request through. Those of the identity come first and are to be
/// filled in: it is quicker to copy them than to find the place of each.
pub(crate) fn passing_headers(identity: &IdentityHeaders) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for name in identity.names() {
        headers.insert(name, NOTHING);
    }
    finish(&mut headers);
    assert!(
        headers
            .keys()
            .zip(identity.names())
            .all(|(name, known)| name == known),
        "each header of the identity has a name of its own"
    );
    headers
}

/// The client's cookies for the service, if the policy adds cookies and wherever the rule that decides
/// adds none: what a proxy copies takes the place of what the client sent.
fn other_cookies(passed: &Passed, client: &HeaderMap) -> Option<HeaderValue> {
    passed.reserved.cookies().next()?;
    let left = match passed.cookies(client) {
        Cookies::AsSent => {
            let sent = client.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
            let line = sent.collect::<Vec<_>>().join(&b"; "[..]);
            // The parts were headers, and so is what they are put together to.
            HeaderValue::from_maybe_shared(line).ok()
        }
        Cookies::These(line) => Some(line),
        Cookies::Nothing => None,
    };
    Some(left.filter(|line| !line.is_empty()).unwrap_or(NOTHING))
}

/// What every answer says.
fn finish(headers: &mut HeaderMap) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
