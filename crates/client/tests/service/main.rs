//! The client against a real Sealgate server, over real connections.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod example;
mod http;
mod local;
mod outage;
mod remote;
mod rotation;
mod sessions;
mod support;
mod tls;
mod tokens;
mod wire;
