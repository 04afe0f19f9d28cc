//! The HTTP API from outside: requests into the router, on a real store in a temporary directory.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod coverage;
mod credentials;
mod directory;
mod ext_authz;
mod forged_tokens;
mod forward_auth;
mod gates;
mod guessing;
mod input;
mod introspection;
mod keys;
mod limits;
mod protocol;
mod seal_keys;
mod sealing_keys;
mod secrecy;
mod service;
mod session_input;
mod sessions;
mod support;
mod users;
