//! The connection layer over real sockets: bytes in, bytes out.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod bounds;
mod malformed;
mod server;
mod shutdown;
mod streams;
mod tls;
mod well_formed;
