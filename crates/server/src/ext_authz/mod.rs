//! `envoy.service.auth.v3.Authorization/Check`: Envoy's filter `ext_authz` asks over gRPC whether it may
//! let its client's request through. The gate and the answers are those of
//! `forward_auth`.
//!
//! - [`router`]: the service
//! - `question`: what Envoy tells of a request
//! - `answer`: what Envoy is told

mod answer;
mod question;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse,
};
use http::{HeaderMap, Method, StatusCode};
use sealgate_core::clock::Stopwatch;
use tonic::Status;
use tonic::service::Routes;
use tracing::Level;

use self::question::{Question, Reader};
use crate::app::Server;
use crate::error::Problem;
use crate::gate::{Asked, Meter, Passed, Refused};
use crate::router::Api;

/// What questions are counted as.
const ROUTE: &str = "ext_authz";

/// Largest question. Envoy takes requests with 60 KiB of headers, unless it is told to take more; a body,
/// which it can be told to send along, is of no use here.
const MAX_QUESTION_BYTES: usize = 256 * 1024;

/// The service, for connections that speak HTTP/2; see [`ServeOptions::http2_only`].
///
/// [`ServeOptions::http2_only`]: crate::serve::ServeOptions::http2_only
pub fn router(api: &Api) -> Router {
    let Some(server) = &api.server else {
        return Routes::default().into_axum_router();
    };
    let service = AuthorizationServer::new(ExtAuthz::new(Arc::clone(server)))
        .max_decoding_message_size(MAX_QUESTION_BYTES);
    // A decision has its own limit, after which the answer is a refusal. This one is for questions that
    // do not arrive.
    let limit = server.http.request_timeout.saturating_mul(2);
    Routes::new(service)
        .prepare()
        .into_axum_router()
        .layer(from_fn_with_state(limit, give_up))
}

async fn give_up(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let status = Status::deadline_exceeded("the question did not arrive in time");
        status.into_http::<axum::body::Body>().into_response()
    })
}

/// Answers Envoy.
struct ExtAuthz {
    server: Arc<Server>,
    reader: Reader,
    meter: Meter,
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    /// Always an answer: an error of gRPC is one that Envoy can be told to overlook
    /// (`failure_mode_allow`), and a refusal is none.
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        let answer = self.answer(request.get_ref()).await;
        Ok(tonic::Response::new(answer))
    }
}

impl ExtAuthz {
    fn new(server: Arc<Server>) -> Self {
        Self {
            reader: Reader::new(&server),
            meter: Meter::new(ROUTE),
            server,
        }
    }

    async fn answer(&self, request: &CheckRequest) -> CheckResponse {
        let stopwatch = Stopwatch::start();
        let question = match self.reader.read(request) {
            Ok(question) => question,
            Err(problem) => return self.misread(request, problem, stopwatch),
        };
        let asked = question.asked();
        let decided = match self.server.gate.check_now(&asked) {
            Some(decided) => decided,
            None => self.check_with_store(&asked).await,
        };
        self.respond(&question, decided, stopwatch)
    }

    async fn check_with_store(&self, asked: &Asked<'_>) -> Result<Passed, Refused> {
        let (gate, limit) = (&self.server.gate, self.server.http.request_timeout);
        let decided = tokio::time::timeout(limit, gate.check(asked)).await;
        decided.unwrap_or_else(|_| Err(gate.refuse(asked, Problem::took_too_long(limit))))
    }

    fn respond(
        &self,
        question: &Question<'_>,
        decided: Result<Passed, Refused>,
        stopwatch: Stopwatch,
    ) -> CheckResponse {
        let gate = &self.server.gate;
        let told = decided.and_then(|passed| {
            let answer = answer::let_through(gate, question, &passed);
            let answer = answer.map_err(|problem| gate.refuse(&question.asked(), problem))?;
            Ok((answer, passed.key_id()))
        });
        let (answer, key_id, status) = match told {
            Ok((answer, key_id)) => (answer, key_id, StatusCode::OK),
            Err(refused) => {
                let status = refused.problem.status();
                (answer::turn_away(gate, &refused), None, status)
            }
        };
        let elapsed = stopwatch.elapsed();
        self.meter.record(&question.method, status, elapsed);
        // Envoy has a log of the requests themselves.
        if tracing::enabled!(Level::DEBUG) {
            tracing::debug!(
                method = question.method.as_str(),
                status = status.as_u16(),
                duration_ms = elapsed.as_secs_f64() * 1_000.0,
                key_id = key_id.map(tracing::field::display),
                address = %question.address,
                "asked by Envoy"
            );
        }
        answer
    }

    /// A question that tells of no request, or of none that could be.
    fn misread(
        &self,
        request: &CheckRequest,
        problem: Problem,
        stopwatch: Stopwatch,
    ) -> CheckResponse {
        let asked = Asked {
            route: ROUTE,
            // gRPC's own.
            method: &Method::POST,
            path: None,
            headers: &HeaderMap::new(),
            address: question::source(request),
        };
        let refused = self.server.gate.refuse(&asked, problem);
        let status = refused.problem.status();
        self.meter.record(asked.method, status, stopwatch.elapsed());
        answer::turn_away(&self.server.gate, &refused)
    }
}
