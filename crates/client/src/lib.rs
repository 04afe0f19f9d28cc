//! Sealgate for services in Rust: verify the credentials of incoming requests, and put a token into outgoing
//! ones.
//!
//! - [`VerifyLayer`] is a tower middleware. It goes by a [`Verifier`], which verifies tokens here, with the
//!   keys and the list of revocations that Sealgate publishes, or asks Sealgate about each request, or
//!   does the one where it can and the other where not; see [`Mode`].
//! - [`Identity`] is who calls: an extractor of axum, and an extension of the request.
//! - [`TokenSource`] exchanges a managed key for an access token and renews it; [`AuthorizeLayer`] puts it
//!   into requests.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use sealgate_client::{
//!     Identity, Sealgate, SealgateOptions, Verifier, VerifierOptions, VerifyLayer,
//! };
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let sealgate = Sealgate::new("https://auth.example.com", &SealgateOptions::default())?;
//! let verifier = Verifier::start(sealgate, VerifierOptions::default())?;
//! verifier.ready().await;
//! let service: Router = Router::new()
//!     .route("/", get(|caller: Identity| async move { caller.subject }))
//!     .layer(VerifyLayer::new(verifier));
//! # Ok(()) }
//! ```
//!
//! # What fails, fails closed
//!
//! Nothing is let through before keys and list have come, nor by a list that is older than
//! [`VerifierOptions::max_staleness`], nor when the server gives no answer that counts. A credential that
//! cannot be read is refused, never passed over; of two, both have to be good.
//!
//! # Time
//!
//! Everything here goes by a [`Clock`], which tests can bring along: [`Verifier::start_with_clock`],
//! [`TokenSource::with_clock`].

mod clock;
mod credential;
mod error;
mod identity;
mod permission;
mod refusal;
mod sealgate;
mod tls;
mod token_source;
mod verify;

pub use self::clock::{Clock, Moment, SystemClock};
pub use self::error::Error;
pub use self::identity::{Identity, Kind, NoIdentity};
pub use self::refusal::{Cause, Outage, Refusal};
pub use self::sealgate::{Sealgate, SealgateOptions};
pub use self::token_source::{
    AccessToken, Authorize, AuthorizeError, AuthorizeLayer, ManagedKey, TokenSource,
};
pub use self::verify::{
    IdentityHeaders, Mode, SessionOptions, Verifier, VerifierOptions, Verify, VerifyLayer,
};
