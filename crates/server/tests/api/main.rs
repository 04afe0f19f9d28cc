//! The HTTP API from outside: requests into the router, on a real store in a temporary directory.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod coverage;
mod credentials;
mod forged_tokens;
mod input;
mod keys;
mod protocol;
mod secrecy;
mod service;
mod sessions;
mod support;
