//! What can go wrong between a service and Sealgate. Nothing secret is in any of it.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

/// Why something could not be set up, or was not given by Sealgate.
///
/// It is the service's own trouble. What a request to the service is refused with is a
/// [`Refusal`](crate::Refusal).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An option that cannot be used.
    #[error("{0}")]
    Option(String),
    /// No answer: nothing listens there, the network is down, TLS fails, or it took too long.
    #[error("Sealgate cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that Sealgate would not give, or that it is busy or broken.
    #[error("the answer of Sealgate cannot be used: {0}")]
    Answer(String),
    /// 401 or 403: the credential that was sent is not honoured.
    #[error("Sealgate refuses the credential with status {status}")]
    Refused {
        /// 401 or 403.
        status: u16,
    },
    /// 429: the key's limit is used up.
    #[error("the limit is used up: ask again in {} seconds", retry_after.as_secs())]
    TooManyRequests {
        /// How long to wait.
        retry_after: Duration,
    },
    /// A token would have crossed a network without TLS.
    #[error("the token is not sent to {host} without TLS: use https://, or allow it")]
    Plaintext {
        /// Whereto.
        host: String,
    },
}

/// An error and what it came from, in one line: the reason is often the last of them.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {next}");
        }
        source = error.source();
    }
    text
}
