//! The tower middleware for outgoing requests: it puts an access token into them.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode, Uri};
use tower::{Layer, Service};

use super::TokenSource;
use crate::error::Error;
use crate::sealgate::is_loopback;

/// Puts [`Authorize`] around clients.
#[derive(Clone, Debug)]
pub struct AuthorizeLayer {
    tokens: TokenSource,
    allow_plaintext: bool,
}

impl AuthorizeLayer {
    /// A layer that takes its tokens from a source.
    pub fn new(tokens: TokenSource) -> Self {
        Self {
            tokens,
            allow_plaintext: false,
        }
    }

    /// Sends tokens over `http://` to other machines than this one too, where whoever sits in between can
    /// read them.
    #[must_use]
    pub fn allow_plaintext(self) -> Self {
        Self {
            allow_plaintext: true,
            ..self
        }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            inner,
            layer: self.clone(),
        }
    }
}

/// A client whose requests carry `Authorization: Bearer` with a token of a [`TokenSource`], in place of
/// what stood there.
///
/// Each request carries it, whereto it goes: use the client for those services alone that the token is
/// meant for, and put nothing beneath it that follows redirections elsewhere.
///
/// A token that is answered with 401 is thrown away, so that the next request has another one. The request
/// itself is not repeated, since nobody knows whether its body can be.
#[derive(Clone)]
pub struct Authorize<S> {
    inner: S,
    layer: AuthorizeLayer,
}

impl<S, B, R> Service<Request<B>> for Authorize<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<R>;
    type Error = AuthorizeError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner
            .poll_ready(context)
            .map_err(AuthorizeError::Client)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let next = self.inner.clone();
        // The one that was polled is the one that is ready.
        let mut inner = mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            if !layer.allow_plaintext {
                check_encrypted(request.uri()).map_err(AuthorizeError::Token)?;
            }
            let token = layer.tokens.token().await;
            let token = token.map_err(AuthorizeError::Token)?;
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, token.header().clone());
            let response = inner.call(request).await;
            let response = response.map_err(AuthorizeError::Client)?;
            if response.status() == StatusCode::UNAUTHORIZED {
                layer.tokens.invalidate(&token);
            }
            Ok(response)
        })
    }
}

impl<S> fmt::Debug for Authorize<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorize").field(&self.layer).finish()
    }
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError<E> {
    /// There is no token for it; it was not sent.
    #[error("no access token: {0}")]
    Token(Error),
    /// The client's own error.
    #[error("{0}")]
    Client(E),
}

/// A request whose URI has no scheme goes wherever the client beneath is connected to.
fn check_encrypted(uri: &Uri) -> Result<(), Error> {
    let host = uri.host().unwrap_or_default();
    if uri.scheme_str() == Some("http") && !is_loopback(host) {
        let host = host.to_owned();
        return Err(Error::Plaintext { host });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leaves_this_machine_encrypted() {
        for uri in [
            "https://api.example.com/orders",
            "http://localhost:3000/orders",
            "http://[::1]/orders",
            "/orders",
        ] {
            assert_eq!(check_encrypted(&uri.parse().unwrap()), Ok(()));
        }
        let uri = "http://api.example.com/orders".parse().unwrap();
        let error = check_encrypted(&uri).unwrap_err();
        assert!(error.to_string().contains("api.example.com"), "{error}");
    }
}
