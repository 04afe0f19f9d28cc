//! The right to call an endpoint, as part of its handler's signature.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use sealgate_core::audit::Actor;
use sealgate_core::authority::{Caller, Identity};
use sealgate_core::error::Reason;
use sealgate_core::permission::Permission;

use crate::error::{CredentialKind, Problem};
use crate::layer::arrival::Arrival;

/// A caller that was verified and may do what `S` says. Only a guarded route has one.
pub(crate) struct Authorized<S> {
    /// Who calls.
    pub identity: Identity,
    arrival: Arc<Arrival>,
    scope: PhantomData<S>,
}

impl<S> Authorized<S> {
    /// The caller as the use cases want it, who is answered 200 when it is done.
    pub fn caller(&self) -> Caller {
        self.caller_answered(StatusCode::OK)
    }

    /// The caller as the use cases want it, and what is answered when it is done.
    pub fn caller_answered(&self, status: StatusCode) -> Caller {
        Caller {
            actor: Actor::Key(self.identity.key_id()),
            origin: self.arrival.origin(),
            status: Some(status.as_u16()),
        }
    }
}

/// What a caller must be to get in.
pub(crate) trait Scope {
    /// Checks a verified caller.
    fn check(identity: &Identity) -> Result<(), Problem>;
}

/// Anybody with a credential.
pub(crate) enum AnyCredential {}
/// Anybody with a managed key itself, not with a token.
pub(crate) enum KeyAlone {}
/// Anybody with a token.
pub(crate) enum TokenAlone {}
/// Administrators.
pub(crate) enum Admin {}
/// Those who have `api:read`.
pub(crate) enum Read {}
/// Those who have `api:write`.
pub(crate) enum Write {}
/// Those who have `token:introspect`.
pub(crate) enum Introspect {}

impl Scope for AnyCredential {
    fn check(_: &Identity) -> Result<(), Problem> {
        Ok(())
    }
}

impl Scope for KeyAlone {
    fn check(identity: &Identity) -> Result<(), Problem> {
        match identity.token() {
            None => Ok(()),
            Some(_) => Err(missing(identity, CredentialKind::Key)),
        }
    }
}

impl Scope for TokenAlone {
    fn check(identity: &Identity) -> Result<(), Problem> {
        match identity.token() {
            Some(_) => Ok(()),
            None => Err(missing(identity, CredentialKind::Token)),
        }
    }
}

impl Scope for Admin {
    fn check(identity: &Identity) -> Result<(), Problem> {
        Ok(identity.require_admin()?)
    }
}

impl Scope for Read {
    fn check(identity: &Identity) -> Result<(), Problem> {
        Ok(identity.require(Permission::READ)?)
    }
}

impl Scope for Write {
    fn check(identity: &Identity) -> Result<(), Problem> {
        Ok(identity.require(Permission::WRITE)?)
    }
}

impl Scope for Introspect {
    fn check(identity: &Identity) -> Result<(), Problem> {
        Ok(identity.require(Permission::INTROSPECT)?)
    }
}

fn missing(identity: &Identity, kind: CredentialKind) -> Problem {
    Problem::CredentialMissing(Some(kind), identity.denied(Reason::NoCredential))
}

impl<A: Sync, S: Scope> FromRequestParts<A> for Authorized<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, Problem> {
        let extensions = &mut parts.extensions;
        let (Some(identity), Some(arrival)) = (extensions.remove(), extensions.get()) else {
            return Err(Problem::Internal(
                "a handler wants a caller on a route that is not guarded".to_owned(),
            ));
        };
        S::check(&identity)?;
        Ok(Self {
            identity,
            arrival: Arc::clone(arrival),
            scope: PhantomData,
        })
    }
}
