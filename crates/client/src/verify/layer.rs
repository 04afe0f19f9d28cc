//! The tower middleware: no request gets to the service behind it without a credential that is honoured.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::Request;
use http::request::Parts;
use tower::{Layer, Service};

use super::Verifier;
use crate::error::Error;
use crate::identity::{Anonymous, Identity};
use crate::permission::Demand;
use crate::refusal::Refusal;

/// Puts [`Verify`] around services. Without more, a request needs a good credential that allows `api:read`
/// if its method is safe, and `api:write` if not; a session is let through with any method.
#[derive(Clone, Debug)]
pub struct VerifyLayer(Arc<Gate>);

#[derive(Clone, Debug)]
struct Gate {
    verifier: Verifier,
    demand: Demand,
    lets_anonymous_through: bool,
}

impl VerifyLayer {
    /// A layer that goes by a verifier. Many layers can share one.
    pub fn new(verifier: Verifier) -> Self {
        Self(Arc::new(Gate {
            verifier,
            demand: Demand::default(),
            lets_anonymous_through: false,
        }))
    }

    /// Demands these permissions, separated by spaces, all of them, whatever the method. A session has no
    /// permissions and is refused; with an empty text any good credential will do.
    ///
    /// Where the server is asked, its own routes are looked at first, and want `api:read` or `api:write`
    /// unless its settings say otherwise.
    ///
    /// # Errors
    /// [`Error::Option`] if one of them is not written `area:verb`.
    pub fn require(self, permissions: &str) -> Result<Self, Error> {
        let demand = Demand::parse(permissions)?;
        Ok(self.with(|gate| gate.demand = demand))
    }

    /// Lets requests without a credential through to handlers that take `Option<Identity>`, or none; those
    /// that take an [`Identity`] answer 401. A credential that is sent has to be good nevertheless.
    #[must_use]
    pub fn allow_anonymous(self) -> Self {
        self.with(|gate| gate.lets_anonymous_through = true)
    }

    fn with(self, change: impl FnOnce(&mut Gate)) -> Self {
        let mut gate = Arc::unwrap_or_clone(self.0);
        change(&mut gate);
        Self(Arc::new(gate))
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify {
            inner,
            gate: Arc::clone(&self.0),
        }
    }
}

/// A service that only those requests reach whose credential is honoured. Each of them has its
/// [`Identity`] among its extensions; the others are answered with a [`Refusal`].
#[derive(Clone)]
pub struct Verify<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S, B> Service<Request<B>> for Verify<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        let next = self.inner.clone();
        // The one that was polled is the one that is ready.
        let mut inner = mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            if let Err(refusal) = gate.admit(&mut parts).await {
                tracing::debug!(method = %parts.method, path = parts.uri.path(), %refusal, "refused");
                return Ok(refusal.into_response());
            }
            let response = inner.call(Request::from_parts(parts, body)).await?;
            Ok(response.into_response())
        })
    }
}

impl<S> fmt::Debug for Verify<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verify").field(&self.gate).finish()
    }
}

impl Gate {
    /// Lets a request through, with who sent it, or not.
    async fn admit(&self, parts: &mut Parts) -> Result<(), Refusal> {
        parts.extensions.remove::<Identity>();
        let identity = match self.verifier.verify(parts).await {
            Err(Refusal::NoCredential) if self.lets_anonymous_through => {
                parts.extensions.insert(Anonymous);
                return Ok(());
            }
            verified => verified?,
        };
        self.demand.admit(&identity, &parts.method)?;
        parts.extensions.insert(identity);
        Ok(())
    }
}
