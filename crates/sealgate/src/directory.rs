//! The directory outside that users come from, as the settings have it.

use std::sync::Arc;

use sealgate_core::identity::IdentityProvider;

use crate::exit::{Failure, Outcome};
use crate::settings::{Backend, Identity};

/// A directory outside.
pub struct Directory {
    /// What asks it.
    pub provider: Arc<dyn IdentityProvider>,
    /// Whether passwords travel to it in the clear.
    pub is_plaintext: bool,
}

/// The directory that the settings name; none if users are those of the store.
///
/// # Errors
/// Names the setting that is of no use.
pub fn of(identity: &Identity) -> Outcome<Option<Directory>> {
    match identity.backend {
        Backend::Embedded => Ok(None),
        Backend::Http | Backend::Ldap => Err(Failure::new("not in this build")),
    }
}
