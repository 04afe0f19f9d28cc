//! What users of this crate can rely on, tried from outside it. One binary, since each one links
//! the cryptographic library anew.

mod access_tokens;
mod envelopes;
mod forge;
mod properties;
mod refusals;
mod revocations;
mod session_forge;
mod session_keys;
mod session_vectors;
mod sessions;
