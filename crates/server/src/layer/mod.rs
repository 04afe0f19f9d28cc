//! What happens around every handler, from the outside in:
//!
//! - [`arrive()`]: the request gets its identifier, its client's address and its route's name
//! - [`observe()`]: one log line, and the metrics
//! - [`protect()`]: headers that tell browsers what not to do
//! - [`cors()`]: which other origins' pages may call
//! - [`envelope()`]: a [`Problem`](crate::error::Problem) becomes the answer, and leaves behind what
//!   [`Unanswered`] makes of it: the audit record, the log line
//! - [`catch_panic()`], [`timeout()`]: what goes wrong with a handler is a problem like any other
//! - [`authenticate()`]: who is calling; around guarded routes alone, where it counts the use too;
//!   [`authenticate_unless_session()`] where a session token will do as well
//! - [`limit_address()`]: how often an address may ask, around public pages and documents
//! - [`limit_body()`]: how long a body may be

mod account;
pub(crate) mod arrival;
mod authenticate;
mod body_limit;
mod cors;
mod count;
mod envelope;
mod limit_address;
mod observe;
mod protect;
pub(crate) mod rate_limit;
mod recover;

pub(crate) use self::account::{RefusalCounters, Unanswered, user_agent};
pub(crate) use self::arrival::arrive;
pub(crate) use self::authenticate::{authenticate, authenticate_unless_session};
pub(crate) use self::body_limit::{BodyLimit, limit_body};
pub(crate) use self::cors::cors;
pub(crate) use self::count::Use;
pub(crate) use self::envelope::envelope;
pub(crate) use self::limit_address::limit_address;
pub(crate) use self::observe::{CallingKey, observe};
pub(crate) use self::protect::protect;
pub(crate) use self::recover::{catch_panic, timeout};
