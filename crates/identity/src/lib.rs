//! Users of directories elsewhere: a login over HTTP ([`HttpUpstream`]) and LDAP ([`Ldap`]).
//!
//! Both are asked with a user name and a password, and say who that is. Neither keeps anything of
//! an answer, and no text of theirs, error or description, holds a password.

mod http;
mod ldap;
mod tls;

pub use crate::http::{Format, HttpOptions, HttpUpstream};
pub use crate::ldap::{Ldap, LdapOptions, UserLookup};
pub use crate::tls::{client_config, trusting_nobody};

use std::error::Error;
use std::fmt::Write as _;

use sealgate_core::identity::NotIdentified;
use sealgate_core::redact::redact;

/// What an operator reads of a directory that does not say who a user is.
fn unavailable(text: impl AsRef<str>) -> NotIdentified {
    NotIdentified::Unavailable(redact(text.as_ref()))
}

/// An error and what it came from, in one line: the reason is often the last of them.
fn chain(error: &dyn Error) -> String {
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

/// Whether a host's name is this machine's own: what goes there crosses no network.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "LocalHost",
            "127.0.0.1",
            "127.8.9.1",
            "[::1]",
            "::1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "10.0.0.1",
            "localhost.example",
            "127.0.0.1.example",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn what_an_error_came_from_is_told_once() {
        let error = std::io::Error::other(std::io::Error::other("the cause"));
        assert_eq!(chain(&error), "the cause");
    }
}
