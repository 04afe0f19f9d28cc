//! Around guarded routes: nobody gets in without a credential that is honoured, and what they did
//! is counted before they hear of it.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use sealgate_core::authority::{Authority, Credential, Identity};
use sealgate_core::error::{Denied, Error, Reason};

use super::arrival::Arrival;
use super::count::Use;
use super::observe::CallingKey;
use super::rate_limit;
use crate::app::Server;
use crate::error::{CredentialKind, Problem};
use crate::extract::{Presented, is_session_token};

/// Lets a verified caller through, with its [`Identity`] as an extension of the request.
pub(crate) async fn authenticate(
    State(server): State<Arc<Server>>,
    Extension(arrival): Extension<Arc<Arrival>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let presented = Presented::read(request.headers())?;
    let identity = identify(&server.authority, &presented, &arrival).await?;
    request.extensions_mut().insert(identity.clone());
    let mut response = next.run(request).await;
    // What is refused gets a record of its own.
    let is_refusal = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if !is_refusal.contains(&response.status()) {
        Use::of(&server.authority, &arrival, response.status())
            .of_key(&server.authority, identity.key_id())
            .await?;
    }
    if let Some(allowance) = identity.allowance() {
        rate_limit::describe_allowance(response.headers_mut(), allowance);
    }
    response
        .extensions_mut()
        .insert(CallingKey(identity.key_id()));
    Ok(response)
}

/// As [`authenticate`], for routes that take session tokens too: a request with one is let through as
/// it is, and the handler opens the session.
pub(crate) async fn authenticate_unless_session(
    server: State<Arc<Server>>,
    arrival: Extension<Arc<Arrival>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let presented = Presented::read(request.headers())?;
    if presented.token.is_some_and(is_session_token) {
        return Ok(next.run(request).await);
    }
    authenticate(server, arrival, request, next).await
}

/// Whoever the credentials say: the token's holder, where there is one. All of them have to be
/// honoured, and each counts against its key's limit.
async fn identify(
    authority: &Authority,
    presented: &Presented<'_>,
    arrival: &Arrival,
) -> Result<Identity, Problem> {
    let mut identity = None;
    let credentials = [
        (
            CredentialKind::Token,
            presented.token.map(Credential::Bearer),
        ),
        (CredentialKind::Key, presented.key.map(Credential::Key)),
    ];
    for (kind, credential) in credentials {
        let Some(credential) = credential else {
            continue;
        };
        if matches!(credential, Credential::Bearer(token) if is_session_token(token)) {
            let reason = Reason::InvalidToken("session_token");
            let key_id = None;
            return Err(Problem::SessionTokenRefused(Denied { reason, key_id }));
        }
        match authority.authenticate(credential, arrival.address).await {
            Ok(verified) => identity = identity.or(Some(verified)),
            Err(Error::Denied(denied)) => return Err(Problem::refused(kind, denied)),
            Err(error) => return Err(error.into()),
        }
    }
    identity.ok_or_else(|| {
        let reason = Reason::NoCredential;
        Problem::CredentialMissing(
            None,
            Denied {
                reason,
                key_id: None,
            },
        )
    })
}
