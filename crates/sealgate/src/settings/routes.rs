//! `[[routes]]`: what requests to the API behind need. What a rule may be is for the core to say; here
//! is how one is written, and where in the file.

use std::collections::BTreeMap;
use std::fmt;

use sealgate_core::key::Environment;
use sealgate_core::policy::{CredentialKind, InvalidRule, Policy, Rule, RuleDraft};
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::Settings;

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which paths it is about.
    pub path: String,
    /// Which methods; every one if absent.
    pub methods: Option<Vec<String>>,
    /// What keys and tokens need.
    pub permissions: Option<String>,
    /// Who may pass.
    pub credentials: Option<Vec<CredentialKind>>,
    /// The environment whose servers alone let anybody pass.
    pub environment: Option<Environment>,
    /// Whether no credential is needed.
    #[serde(default)]
    pub anonymous: bool,
    /// Whether nobody passes.
    #[serde(default)]
    pub deny: bool,
    /// Headers for the service behind.
    #[serde(default)]
    pub inject: OneOrMore,
    #[serde(skip)]
    place: Place,
}

/// A text, or a list of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Any number.
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

/// Where in the file a rule is, in lines.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    start: usize,
    fields: BTreeMap<String, usize>,
}

/// A rule that is not as it should be, and where it is.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidRoute {
    line: usize,
    rule: InvalidRule,
}

impl fmt::Display for InvalidRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InvalidRule { field, message } = &self.rule;
        write!(f, "{}: routes.{field}: {message}", self.line)
    }
}

impl Settings {
    /// The rules about requests to the API behind.
    ///
    /// # Errors
    /// Names the line and the field at fault.
    pub fn policy(&self) -> Result<Policy, InvalidRoute> {
        let rules: Result<Vec<Rule>, InvalidRoute> = self
            .routes
            .iter()
            .map(|route| self.rule(route).map_err(|rule| route.complain(rule)))
            .collect();
        Policy::new(self.server.environment, rules?)
            .map_err(|(place, rule)| self.routes[place].complain(rule))
    }

    fn rule(&self, route: &Route) -> Result<Rule, InvalidRule> {
        let rule = Rule::new(&route.draft())?;
        let taken = self.identity_headers.server();
        let taken = taken.names();
        // Some servers do not tell the two characters apart.
        let folded = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        let is_taken = |name: &&str| {
            taken
                .iter()
                .any(|taken| folded(taken.as_str()) == folded(name))
        };
        let wrong = rule.injected_names().find(is_taken).map(str::to_owned);
        match wrong {
            None => Ok(rule),
            Some(name) => Err(InvalidRule {
                field: "inject",
                message: format!(
                    "`{name}` is one of the headers in [identity_headers], which no rule can set"
                ),
            }),
        }
    }
}

impl Route {
    fn draft(&self) -> RuleDraft {
        RuleDraft {
            path: self.path.clone(),
            methods: self.methods.clone(),
            permissions: self.permissions.clone(),
            credentials: self.credentials.clone(),
            environment: self.environment,
            anonymous: self.anonymous,
            deny: self.deny,
            inject: match &self.inject {
                OneOrMore::One(text) => vec![text.clone()],
                OneOrMore::More(texts) => texts.clone(),
            },
            line: Some(self.place.start),
        }
    }

    fn complain(&self, rule: InvalidRule) -> InvalidRoute {
        let Place { start, fields } = &self.place;
        InvalidRoute {
            line: *fields.get(rule.field).unwrap_or(start),
            rule,
        }
    }
}

/// The same routes with their places in the file that they are from.
pub fn with_places(mut routes: Vec<Route>, text: &str) -> Vec<Route> {
    let Ok(parsed) = DeTable::parse(text) else {
        return routes;
    };
    let tables = parsed.get_ref().get("routes");
    let tables = tables.and_then(|tables| tables.get_ref().as_array());
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    for (route, table) in routes.iter_mut().zip(tables.into_iter().flatten()) {
        route.place.start = line(table.span().start);
        let fields = match table.get_ref() {
            DeValue::Table(fields) => fields.iter(),
            _ => continue,
        };
        let fields = fields.map(|(name, _)| (name.get_ref().to_string(), line(name.span().start)));
        route.place.fields = fields.collect();
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let mut settings: Settings = toml::from_str(text).unwrap();
        settings.routes = with_places(settings.routes, text);
        settings.policy().unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_found_by_line_and_field() {
        for (text, says) in [
            (
                "[[routes]]\npath = '/a'\n\n[[routes]]\npath = 'b'\n",
                "5: routes.path: `b` is not",
            ),
            (
                "json = true\n[[routes]]\ndeny = true\npath = '/a'\ninject = 'X: y'\n",
                "5: routes.inject: with `deny = true`",
            ),
            (
                "routes = [\n  { path = '/a' },\n  { path = '/a/' },\n]\n",
                "3: routes.path: this rule never decides, since the rule for `/a` in line 2",
            ),
            (
                "[[routes]]\n# a comment\npath = '/*'\n[[routes]]\npath = '/a'\n",
                "5: routes.path: this rule never decides, since the rule for `/*` in line 1",
            ),
            (
                "[[routes]]\npath = '/a'\ncredentials = [\n  'session',\n]\n\
                 inject = ['X-A: {session.a}']\npermissions = 'a:b'\n",
                "7: routes.permissions: a session has no permissions",
            ),
            (
                "[identity_headers]\nsubject = 'x-user'\n[[routes]]\npath = '/a'\n\
                 inject = 'X_User: {subject}'\n",
                "5: routes.inject: `X_User` is one of the headers in [identity_headers]",
            ),
        ] {
            let complaint = complaint(text);
            assert!(complaint.starts_with(says), "{text}\n{complaint}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_it_can_be() {
        for (text, says) in [
            ("routes = [{}]", "missing field `path`"),
            (
                "routes = [{ path = '/a', role = 'x' }]",
                "unknown field `role`",
            ),
            (
                "routes = [{ path = '/a', credentials = ['cookie'] }]",
                "`key`, `token`, `session`",
            ),
            (
                "routes = [{ path = '/a', environment = 'live' }]",
                "`production`",
            ),
            (
                "routes = [{ path = '/a', inject = 1 }]",
                "a text, or a list of texts",
            ),
            (
                "routes = [{ path = '/a', methods = 'GET' }]",
                "expected a sequence",
            ),
        ] {
            let error = toml::from_str::<Settings>(text).unwrap_err();
            assert!(error.message().contains(says), "{text}: {error}");
        }
    }
}
