//! What a request to somebody else's API needs in order to pass: the operator's rules, and what holds
//! where none of them fits.

use std::sync::Arc;

use crate::authority::{Identity, Session};
use crate::error::Denied;
use crate::permission::Permission;

/// The rules, in the order in which they are looked at.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What requests are counted as that no rule is about, by their method.
    default_names: Names,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default_names: Names::of("*"),
        }
    }
}

/// Why no rule can be said to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The path can be read in several ways, and not all of them meet the same rule.
    Ambiguous,
    /// There are rules, and nobody told the path.
    PathUnknown,
}

impl Policy {
    /// What a request needs: its method as it is spelled, its path as the client sent it without the
    /// query, none if that is not known.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn decide(&self, method: &str, path: Option<&str>) -> Result<Demand<'_>, Undecided> {
        let _ = path;
        Ok(Demand {
            name: self.default_names.of_method(method),
            permission: of_method(method),
        })
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'p> {
    name: &'p Arc<str>,
    permission: Permission<'p>,
}

impl Demand<'_> {
    /// What the request is counted as: its method and the rule's path, such as `GET /orders/{id}`.
    pub const fn name(&self) -> &Arc<str> {
        self.name
    }

    /// Whether it passes without a credential.
    pub const fn is_anonymous(&self) -> bool {
        false
    }

    /// Checks what does not depend on who calls.
    ///
    /// # Errors
    /// If nobody passes.
    pub const fn admit_anybody(&self) -> Result<(), Denied> {
        Ok(())
    }

    /// Checks the holder of a key or of an access token.
    ///
    /// # Errors
    /// If they do not pass.
    pub fn admit_identity(&self, identity: &Identity) -> Result<(), Denied> {
        identity.require(self.permission)
    }

    /// Checks a user's session.
    ///
    /// # Errors
    /// If it does not pass.
    pub const fn admit_session(&self, _: &Session) -> Result<(), Denied> {
        Ok(())
    }
}

/// A safe method (RFC 9110 section 9.2.1) is one that reads. Methods are as they are spelled: `get` is
/// not `GET` (section 9.1).
fn of_method(method: &str) -> Permission<'static> {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" => Permission::READ,
        _ => Permission::WRITE,
    }
}

/// The names of one path's requests, made once, by method: a client can neither make up names nor cost
/// an allocation.
#[derive(Clone, Debug)]
struct Names([Arc<str>; METHODS.len()]);

/// The methods of HTTP, and what any other is called.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "other",
];

impl Names {
    fn of(path: &str) -> Self {
        Self(METHODS.map(|method| format!("{method} {path}").into()))
    }

    fn of_method(&self, method: &str) -> &Arc<str> {
        let known = METHODS.iter().position(|known| *known == method);
        &self.0[known.unwrap_or(METHODS.len() - 1)]
    }
}
