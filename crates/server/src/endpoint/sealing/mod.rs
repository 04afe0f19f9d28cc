//! Encryption for callers, under keys that never leave the server.

pub(super) mod decrypt;
pub(super) mod encrypt;
pub(super) mod offer;
