//! The HTTP side of Sealgate: it turns requests into use cases of `sealgate-core`, and what comes
//! of them into answers. It holds no rule that the command line would need too, and no SQL.
//!
//! - [`router()`]: every endpoint, with the layers around it, as one service
//! - `endpoint`: one file for each endpoint: its shapes, its description, its handler
//! - [`ext_authz`]: the same gate, as Envoy asks at it
//! - `extract`: what handlers take: parsed input, checked callers
//! - `gate`: may a request to somebody else's API go through
//! - `gateway`: a reverse proxy in front of somebody else's API
//! - `layer`: what happens around every handler
//! - [`error`]: the one place where a problem becomes an answer
//! - [`openapi`], `reference`: the API described, for programs and for people
//! - [`request_id`]: what joins an answer, its log lines and its audit records
//! - [`serve`]: connections, TLS, shutting down
//! - [`upkeep`]: what a running server does besides answering

mod app;
mod endpoint;
pub mod error;
pub mod ext_authz;
mod extract;
mod gate;
mod gateway;
mod layer;
pub mod openapi;
mod reference;
pub mod request_id;
mod route;
mod router;
pub mod serve;
pub mod upkeep;

pub use self::app::{App, HttpSettings};
pub use self::extract::OriginalHeaders;
pub use self::gate::IdentityHeaders;
pub use self::gateway::{Gateway, GatewaySettings, UpstreamUrl};
pub use self::router::{Api, api, router};
