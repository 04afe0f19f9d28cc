//! What a request to somebody else's API needs in order to pass: the operator's rules, and what holds
//! where none of them fits.
//!
//! - `rule`: one rule, checked against itself
//! - `methods`: its methods
//! - `pattern`: its path, and which paths fit
//! - `path`: the paths of requests, and every way in which one could be read
//! - `inject`: headers that a rule adds for the service behind
//! - `explain`: why a rule decides
//! - `handle`: the policy that is in force, which can be replaced

mod explain;
mod handle;
mod inject;
mod methods;
mod path;
mod pattern;
mod rule;

use std::sync::Arc;

pub use self::explain::{Explanation, Misfit, ReadAs};
pub use self::handle::PolicyHandle;
pub use self::inject::{InjectedNames, Known};
use self::methods::{Method, Names};
use self::path::Segments;
use self::pattern::Fit;
use self::rule::{Access, Kinds, Needed};
pub use self::rule::{CredentialKind, InvalidRule, Rule, RuleDraft};
use crate::authority::{Identity, Session};
use crate::error::{Denied, Reason};
use crate::key::{Environment, KeyId};
use crate::permission::Permission;

/// Most rules of a policy: they are looked at one after another.
pub const MAX_RULES: usize = 1_000;

/// The rules, in the order in which they are looked at.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Box<[Rule]>,
    injected: Arc<InjectedNames>,
    /// The environment of this server.
    environment: Environment,
    /// What requests are counted as that no rule is about, by their method.
    default_names: Names,
}

impl Default for Policy {
    /// No rules.
    fn default() -> Self {
        Self {
            rules: Box::default(),
            injected: Arc::default(),
            environment: Environment::default(),
            default_names: Names::of("*"),
        }
    }
}

/// Why no rule can be said to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The path, or the method, can be read in several ways, and not all of them meet the same rule.
    Ambiguous,
    /// There are rules, and nobody told the path.
    PathUnknown,
}

impl Policy {
    /// Rules in the order in which they are looked at, on a server of an environment.
    ///
    /// # Errors
    /// If there are too many, or one can never decide: its place, from 0, and what is wrong.
    pub fn new(environment: Environment, rules: Vec<Rule>) -> Result<Self, (usize, InvalidRule)> {
        if rules.len() > MAX_RULES {
            let message = format!("at most {MAX_RULES} rules");
            return Err((MAX_RULES, InvalidRule::new("path", message)));
        }
        for (place, rule) in rules.iter().enumerate() {
            if let Some(earlier) = covering(&rules[..place], rule) {
                return Err((place, unreachable(earlier)));
            }
        }
        let injections = rules.iter().flat_map(Rule::injections);
        Ok(Self {
            injected: Arc::new(InjectedNames::of(injections)),
            rules: rules.into(),
            environment,
            ..Self::default()
        })
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in the order in which they are looked at.
    pub const fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What any of the rules adds to requests: on no request is it the client's to say.
    pub const fn injected(&self) -> &Arc<InjectedNames> {
        &self.injected
    }

    /// What a request needs: its method as it is spelled, its path as the client sent it without the
    /// query, none if that is not known.
    ///
    /// # Errors
    /// If that cannot be said.
    pub fn decide(&self, method: &str, path: Option<&str>) -> Result<Demand<'_>, Undecided> {
        let method = Method::of(method);
        if self.rules.is_empty() {
            return Ok(self.demand(None, method));
        }
        let path = path.ok_or(Undecided::PathUnknown)?;
        let place = self.find(method, path)?;
        Ok(self.demand(place, method))
    }

    /// The place of the rule that decides, if any does.
    fn find(&self, method: Method<'_>, path: &str) -> Result<Option<usize>, Undecided> {
        // An empty path is the same as `/` (RFC 9110 section 4.2.3).
        let path = if path.is_empty() { "/" } else { path };
        if path::is_plain(path) {
            return self.judge(method, &Segments::of(path.as_bytes()));
        }
        if is_about_server(method, path) {
            return Ok(self.rules.iter().position(|rule| {
                rule.pattern.is_everything() && rule.fit_method(method) == Fit::Exactly
            }));
        }
        let readings = path::readings(path).ok_or(Undecided::Ambiguous)?;
        let mut judged = readings
            .iter()
            .map(|reading| self.judge(method, &reading.segments()));
        let first = judged.next().ok_or(Undecided::Ambiguous)?;
        if judged.all(|other| other == first) {
            first
        } else {
            Err(Undecided::Ambiguous)
        }
    }

    /// The place of the rule that decides about a path that was read in one way, if any does, unless
    /// another one would if upper and lower case were the same.
    fn judge(&self, method: Method<'_>, path: &Segments<'_>) -> Result<Option<usize>, Undecided> {
        let path = path.as_slice();
        for (place, rule) in self.rules.iter().enumerate() {
            let fit = match rule.fit_path(path) {
                Fit::No => continue,
                fit => fit.min(rule.fit_method(method)),
            };
            match fit {
                Fit::No => {}
                Fit::ButForCase => return Err(Undecided::Ambiguous),
                Fit::Exactly => return Ok(Some(place)),
            }
        }
        Ok(None)
    }

    fn demand(&self, place: Option<usize>, method: Method<'_>) -> Demand<'_> {
        let rule = place.map(|place| &self.rules[place]);
        Demand {
            name: rule
                .map_or(&self.default_names, |rule| &rule.names)
                .of_method(method),
            of_method: method.permission(),
            rule,
            environment: self.environment,
        }
    }
}

/// Whether it asks about the server as a whole (RFC 9112 section 3.2.4), which only a rule for
/// everything fits.
fn is_about_server(method: Method<'_>, path: &str) -> bool {
    path == "*" && method.as_str() == "OPTIONS"
}

/// A rule among earlier ones that leaves nothing for a later one to decide; of several that do so
/// together, the first.
fn covering<'r>(earlier: &'r [Rule], later: &Rule) -> Option<&'r Rule> {
    let covering = |method: Option<&str>| earlier.iter().find(|it| it.covers(later, method));
    let Some(methods) = later.methods() else {
        return covering(None);
    };
    let covered: Option<Vec<&Rule>> = methods.iter().map(|it| covering(Some(it))).collect();
    covered?.first().copied()
}

fn unreachable(earlier: &Rule) -> InvalidRule {
    let path = earlier.path().escape_debug();
    let place = match earlier.line() {
        Some(line) => format!("the rule for `{path}` in line {line}"),
        None => format!("an earlier rule, for `{path}`,"),
    };
    let message = format!(
        "this rule never decides, since {place} does so before it: put the narrower one first"
    );
    InvalidRule::new("path", message)
}

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'p> {
    name: &'p Arc<str>,
    /// What its method needs, unless the rule says otherwise.
    of_method: Permission<'static>,
    rule: Option<&'p Rule>,
    environment: Environment,
}

impl<'p> Demand<'p> {
    /// What the request is counted as: its method and the rule's path, such as `GET /orders/{id}`.
    pub const fn name(&self) -> &'p Arc<str> {
        self.name
    }

    /// The rule that decides; none if no rule fits.
    pub const fn rule(&self) -> Option<&'p Rule> {
        self.rule
    }

    /// Whether it passes without a credential.
    pub fn is_anonymous(&self) -> bool {
        let access = self.rule.map(|rule| &rule.access);
        matches!(
            access,
            Some(Access::Open {
                is_anonymous: true,
                ..
            })
        )
    }

    /// Whether a credential of this kind can pass.
    pub fn takes(&self, kind: CredentialKind) -> bool {
        let kinds = match self.rule.map(|rule| &rule.access) {
            None => Kinds::ALL,
            Some(Access::Open { kinds, .. }) => *kinds,
            Some(Access::Closed) => return false,
        };
        kinds.has(kind)
    }

    /// The permissions that a key or an access token needs, all of them.
    pub fn permissions(&self) -> impl Iterator<Item = Permission<'p>> + use<'p> {
        let (by_method, named) = match self.rule.map(|rule| &rule.access) {
            None => (true, ""),
            Some(
                Access::Open {
                    is_anonymous: true, ..
                }
                | Access::Closed,
            ) => (false, ""),
            Some(Access::Open { needed, .. }) => match needed {
                Needed::ByMethod => (true, ""),
                Needed::These(permissions) => (false, permissions.as_str()),
            },
        };
        let named = named.split(' ').filter(|it| !it.is_empty()).map(Permission);
        named.chain(by_method.then_some(self.of_method))
    }

    /// Checks what does not depend on who calls.
    ///
    /// # Errors
    /// If nobody passes, or nobody on a server of this environment.
    pub fn admit_anybody(&self) -> Result<(), Denied> {
        let Some(rule) = self.rule else { return Ok(()) };
        let reason = if matches!(rule.access, Access::Closed) {
            Reason::RouteClosed
        } else if rule.environment().is_some_and(|it| it != self.environment) {
            Reason::RouteEnvironment
        } else {
            return Ok(());
        };
        Err(denied(reason, None))
    }

    /// Checks the holder of a key or of an access token, after [`Self::admit_anybody`].
    ///
    /// # Errors
    /// If they do not pass.
    pub fn admit_identity(&self, identity: &Identity) -> Result<(), Denied> {
        let kind = match identity.token() {
            Some(_) => CredentialKind::Token,
            None => CredentialKind::Key,
        };
        self.check_kind(kind, Some(identity.key_id()))?;
        self.permissions()
            .try_for_each(|needed| identity.require(needed))
    }

    /// Checks a user's session, after [`Self::admit_anybody`].
    ///
    /// # Errors
    /// If it does not pass.
    pub fn admit_session(&self, session: &Session) -> Result<(), Denied> {
        self.check_kind(CredentialKind::Session, session.sealed_by().key_id())
    }

    fn check_kind(&self, kind: CredentialKind, key_id: Option<KeyId>) -> Result<(), Denied> {
        if self.takes(kind) {
            Ok(())
        } else {
            Err(denied(Reason::CredentialKindNotAllowed, key_id))
        }
    }

    /// The headers that the rule adds for the service behind: names, each once, and values. Cookies are
    /// `NAME=VALUE`, with `; ` between them.
    ///
    /// # Errors
    /// If a value is missing, or no header can hold it.
    pub fn injected(&self, known: &Known<'_>) -> Result<Vec<(String, String)>, Denied> {
        inject::fill(self.rule.map_or(&[], Rule::injections), known)
    }
}

const fn denied(reason: Reason, key_id: Option<KeyId>) -> Denied {
    Denied { reason, key_id }
}

#[cfg(test)]
mod tests;
