//! What Sealgate says of itself.

mod conditional;
pub(super) mod index;
pub(super) mod jwks;
pub(super) mod openapi;
pub(super) mod paseto_keys;
pub(super) mod reference;
pub(super) mod revocations;
pub(super) mod security_txt;
