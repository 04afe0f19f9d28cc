//! Around guarded routes: nobody gets in without a credential that is honoured, and what they did
//! is counted before they hear of it.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use sealgate_core::audit::Origin;
use sealgate_core::authority::{Authority, Credential, Identity};
use sealgate_core::error::{Denied, Error, Reason};

use super::arrival::Arrival;
use super::observe::CallingKey;
use super::rate_limit;
use crate::app::Server;
use crate::error::{CredentialKind, Problem};
use crate::extract::Presented;

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
        count(&server.authority, &identity, &arrival, response.status()).await?;
    }
    if let Some(allowance) = identity.allowance() {
        rate_limit::describe_allowance(response.headers_mut(), allowance);
    }
    response
        .extensions_mut()
        .insert(CallingKey(identity.key_id()));
    Ok(response)
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

/// Counts a served request. Where each has to be in the audit log and this one cannot be, the
/// answer is withheld.
async fn count(
    authority: &Authority,
    identity: &Identity,
    arrival: &Arrival,
    status: StatusCode,
) -> Result<(), Problem> {
    // The address is all that a counter needs; the rest would cost allocations.
    let origin = if authority.settings().audit_all_requests {
        arrival.origin()
    } else {
        Origin {
            address: Some(arrival.address),
            ..Origin::default()
        }
    };
    let route = if status < StatusCode::BAD_REQUEST {
        Arc::clone(&arrival.route.name)
    } else {
        format!("{} {}", arrival.route.name, status.as_u16()).into()
    };
    let served = authority.served(identity.key_id(), &route, &origin, status.as_u16());
    Ok(served.await?)
}
