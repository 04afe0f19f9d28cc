//! One rule: which requests it decides about, and what those need.

use std::fmt;

use serde::Deserialize;

use super::inject::Injection;
use super::methods::{Method, Methods, Names};
use super::pattern::{Fit, Pattern};
use crate::key::Environment;
use crate::permission::Permissions;

/// Most methods and most injected headers of a rule.
pub(super) const MAX_ENTRIES: usize = 32;

/// A rule as it is written, before it is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleDraft {
    /// Which paths it is about, such as `/orders/{id}` or `/files/*`.
    pub path: String,
    /// Which methods; every one if absent. `GET` covers `HEAD`.
    pub methods: Option<Vec<String>>,
    /// What keys and tokens need; what their method needs if absent.
    pub permissions: Option<String>,
    /// Who may pass.
    pub credentials: Option<Vec<CredentialKind>>,
    /// Passes on a server of this environment alone.
    pub environment: Option<Environment>,
    /// Whether no credential is needed.
    pub anonymous: bool,
    /// Whether nobody passes.
    pub deny: bool,
    /// Headers for the service behind, such as `Cookie: portal={session.cookie}`.
    pub inject: Vec<String>,
    /// The line of the settings file that it begins on, if it is from one.
    pub line: Option<usize>,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRule {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl InvalidRule {
    pub(super) fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            message: message.into(),
        }
    }
}

/// A kind of credential that a caller shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// A managed key.
    Key,
    /// An access token.
    Token,
    /// A session token.
    Session,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Key, Self::Token, Self::Session];

    /// The name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) pattern: Pattern,
    methods: Methods,
    pub(super) access: Access,
    environment: Option<Environment>,
    injections: Box<[Injection]>,
    line: Option<usize>,
    pub(super) names: Names,
}

/// What a request needs by a rule.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Nobody passes.
    Closed,
    /// Whoever shows one of these, or nothing if that is allowed.
    Open {
        kinds: Kinds,
        needed: Needed,
        is_anonymous: bool,
    },
}

/// What keys and tokens need.
#[derive(Clone, Debug)]
pub(super) enum Needed {
    /// What their method needs.
    ByMethod,
    /// All of these.
    These(Permissions),
}

/// Some kinds of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds {
    key: bool,
    token: bool,
    session: bool,
}

impl Kinds {
    pub(super) const ALL: Self = Self {
        key: true,
        token: true,
        session: true,
    };

    fn of(kinds: &[CredentialKind]) -> Self {
        Self {
            key: kinds.contains(&CredentialKind::Key),
            token: kinds.contains(&CredentialKind::Token),
            session: kinds.contains(&CredentialKind::Session),
        }
    }

    pub(super) const fn has(self, kind: CredentialKind) -> bool {
        match kind {
            CredentialKind::Key => self.key,
            CredentialKind::Token => self.token,
            CredentialKind::Session => self.session,
        }
    }

    const fn are_for_session_alone(self) -> bool {
        self.session && !self.key && !self.token
    }
}

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    /// Names the field at fault, or the one that contradicts another.
    pub fn new(draft: &RuleDraft) -> Result<Self, InvalidRule> {
        let pattern = Pattern::parse(&draft.path);
        let pattern = pattern.map_err(|message| InvalidRule::new("path", message))?;
        let methods = Methods::new(draft.methods.as_deref())?;
        let injections = injections(&draft.inject)?;
        Ok(Self {
            access: access(draft, &injections)?,
            environment: draft.environment,
            names: Names::of(pattern.as_str()),
            pattern,
            methods,
            injections,
            line: draft.line,
        })
    }

    /// Its path, as it is written.
    pub const fn path(&self) -> &str {
        self.pattern.as_str()
    }

    /// Its methods, as they are written; none if it is about every one.
    pub fn methods(&self) -> Option<&[Box<str>]> {
        self.methods.written.as_deref()
    }

    /// The line of the settings file that it begins on, if it is from one.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// The environment whose servers alone let anybody pass; every one if absent.
    pub const fn environment(&self) -> Option<Environment> {
        self.environment
    }

    /// The names of the headers that it adds for the service behind.
    pub fn injected_names(&self) -> impl Iterator<Item = &str> {
        self.injections.iter().map(Injection::name)
    }

    /// The headers that it adds for the service behind.
    pub(super) const fn injections(&self) -> &[Injection] {
        &self.injections
    }

    pub(super) fn fit_path(&self, path: &[&[u8]]) -> Fit {
        self.pattern.fit(path)
    }

    pub(super) fn fit_method(&self, method: Method<'_>) -> Fit {
        self.methods.fit(method)
    }

    /// Whether nothing is left that another rule, which comes later, could decide about: because of
    /// this rule alone, or of some method that it names.
    pub(super) fn covers(&self, other: &Self, method: Option<&str>) -> bool {
        let has_method = match method {
            None => self.methods.written.is_none(),
            Some(method) => self.methods.fit(Method::of(method)) != Fit::No,
        };
        has_method && self.pattern.covers(&other.pattern)
    }
}

fn access(draft: &RuleDraft, injections: &[Injection]) -> Result<Access, InvalidRule> {
    let RuleDraft {
        permissions,
        credentials,
        environment,
        anonymous,
        deny,
        ..
    } = draft;
    if *deny {
        let others = [
            ("permissions", permissions.is_some()),
            ("credentials", credentials.is_some()),
            ("environment", environment.is_some()),
            ("anonymous", *anonymous),
            ("inject", !injections.is_empty()),
        ];
        return match others.into_iter().find(|(_, is_there)| *is_there) {
            Some((field, _)) => Err(InvalidRule::new(
                field,
                "with `deny = true` nobody passes, whatever this says: leave one of them out",
            )),
            None => Ok(Access::Closed),
        };
    }
    let kinds = kinds(draft, injections)?;
    if *anonymous {
        check_anonymous(draft, injections)?;
    }
    let needed = match permissions {
        None => Needed::ByMethod,
        Some(_) if kinds.are_for_session_alone() => {
            let message = "a session has no permissions, and no other credential passes here: \
                           leave this out, or name `key` or `token` in `credentials`";
            return Err(InvalidRule::new("permissions", message));
        }
        Some(text) => {
            let permissions = Permissions::parse(text)
                .map_err(|error| InvalidRule::new("permissions", error.to_string()))?;
            Needed::These(permissions)
        }
    };
    Ok(Access::Open {
        kinds,
        needed,
        is_anonymous: *anonymous,
    })
}

/// Who may pass: what is written, or what the other fields leave.
fn kinds(draft: &RuleDraft, injections: &[Injection]) -> Result<Kinds, InvalidRule> {
    use CredentialKind::{Key, Session, Token};
    let is_of_session = injections.iter().any(Injection::is_of_session);
    match draft.credentials.as_deref() {
        Some([]) => Err(InvalidRule::new(
            "credentials",
            "without any nobody passes: write `deny = true` if that is meant",
        )),
        Some(kinds) if is_of_session && *kinds != [Session] => Err(InvalidRule::new(
            "credentials",
            "`inject` takes a value of the session, which keys and tokens have none of: write \
             [\"session\"], or leave this out",
        )),
        Some(kinds) => Ok(Kinds::of(kinds)),
        None if draft.anonymous => Ok(Kinds::ALL),
        None if !injections.is_empty() => Ok(Kinds::of(&[Session])),
        None if draft.permissions.is_some() => Ok(Kinds::of(&[Key, Token])),
        None => Ok(Kinds::ALL),
    }
}

fn check_anonymous(draft: &RuleDraft, injections: &[Injection]) -> Result<(), InvalidRule> {
    if draft.permissions.is_some() {
        let message = "with `anonymous = true` no permission is needed: leave one of them out";
        return Err(InvalidRule::new("permissions", message));
    }
    if injections.iter().any(Injection::is_of_caller) {
        let message = "with `anonymous = true` there may be nobody to take a value from: leave one \
                       of them out";
        return Err(InvalidRule::new("inject", message));
    }
    Ok(())
}

fn injections(texts: &[String]) -> Result<Box<[Injection]>, InvalidRule> {
    let complain = |message: String| InvalidRule::new("inject", message);
    if texts.len() > MAX_ENTRIES {
        return Err(complain(format!("at most {MAX_ENTRIES} headers")));
    }
    let mut injections: Vec<Injection> = Vec::with_capacity(texts.len());
    for text in texts {
        let injection = Injection::parse(text).map_err(complain)?;
        if injections.iter().any(|other| other.is_same(&injection)) {
            let name = injection.name();
            return Err(complain(format!("`{name}` is there twice")));
        }
        injections.push(injection);
    }
    Ok(injections.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> RuleDraft {
        RuleDraft {
            path: "/a".to_owned(),
            ..RuleDraft::default()
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    /// The field that is refused in a rule.
    fn refused(adjust: fn(&mut RuleDraft)) -> &'static str {
        let mut draft = draft();
        adjust(&mut draft);
        Rule::new(&draft).unwrap_err().field
    }

    #[test]
    fn what_is_no_part_of_a_rule_is_refused_with_the_field() {
        assert_eq!(refused(|it| it.path = String::new()), "path");
        assert_eq!(
            refused(|it| it.permissions = Some("read".to_owned())),
            "permissions"
        );
        assert_eq!(refused(|it| it.credentials = Some(vec![])), "credentials");
        for methods in [&[][..], &["get"], &["GET POST"], &[""], &["G\u{c9}T"]] {
            let methods = Some(texts(methods));
            let refused = Rule::new(&RuleDraft { methods, ..draft() });
            assert_eq!(refused.unwrap_err().field, "methods");
        }
        for inject in [
            &["X-A: a", "x-a: b"][..],
            &["Cookie: a=b", "cookie: a=c"],
            &["Host: a"],
        ] {
            let inject = texts(inject);
            let refused = Rule::new(&RuleDraft { inject, ..draft() });
            assert_eq!(refused.unwrap_err().field, "inject");
        }
    }

    #[test]
    fn what_contradicts_that_nobody_passes_is_refused() {
        let refused = |adjust: fn(&mut RuleDraft)| {
            let mut draft = RuleDraft {
                deny: true,
                ..draft()
            };
            adjust(&mut draft);
            Rule::new(&draft).map_err(|invalid| invalid.field).err()
        };
        assert_eq!(refused(|_| ()), None);
        assert_eq!(refused(|it| it.methods = Some(texts(&["GET"]))), None);
        let field = refused(|it| it.permissions = Some(String::new()));
        assert_eq!(field, Some("permissions"));
        let field = refused(|it| it.credentials = Some(vec![CredentialKind::Key]));
        assert_eq!(field, Some("credentials"));
        let field = refused(|it| it.environment = Some(Environment::Testing));
        assert_eq!(field, Some("environment"));
        assert_eq!(refused(|it| it.anonymous = true), Some("anonymous"));
        let field = refused(|it| it.inject = texts(&["X-A: b"]));
        assert_eq!(field, Some("inject"));
    }

    #[test]
    fn what_nobody_could_fulfil_is_refused() {
        for (anonymous, permissions, credentials, inject, field) in [
            (true, Some("a:b".to_owned()), None, None, "permissions"),
            (true, None, None, Some("X-A: {subject}"), "inject"),
            (true, None, None, Some("Cookie: a={session.a}"), "inject"),
            (
                false,
                Some("a:b".to_owned()),
                Some(CredentialKind::Session),
                None,
                "permissions",
            ),
            (
                false,
                Some("a:b".to_owned()),
                None,
                Some("Cookie: a={session.a}"),
                "permissions",
            ),
            (
                false,
                None,
                Some(CredentialKind::Key),
                Some("X-A: {session.a}"),
                "credentials",
            ),
        ] {
            let draft = RuleDraft {
                anonymous,
                permissions,
                credentials: credentials.map(|kind| vec![kind]),
                inject: inject.into_iter().map(str::to_owned).collect(),
                ..draft()
            };
            assert_eq!(Rule::new(&draft).unwrap_err().field, field, "{draft:?}");
        }
    }

    #[test]
    fn who_may_pass_follows_from_what_is_needed() {
        let kinds = |draft: RuleDraft| match Rule::new(&draft).unwrap().access {
            Access::Open { kinds, .. } => CredentialKind::ALL.map(|kind| kinds.has(kind)),
            Access::Closed => panic!("closed"),
        };
        let needing = || RuleDraft {
            permissions: Some("a:b".to_owned()),
            ..draft()
        };
        let adding = || RuleDraft {
            inject: texts(&["X-User: {subject}"]),
            ..draft()
        };
        let anonymous = RuleDraft {
            anonymous: true,
            ..draft()
        };
        assert_eq!(kinds(draft()), [true, true, true]);
        assert_eq!(kinds(anonymous), [true, true, true]);
        assert_eq!(kinds(needing()), [true, true, false]);
        assert_eq!(kinds(adding()), [false, false, true]);
        let all = RuleDraft {
            credentials: Some(CredentialKind::ALL.to_vec()),
            inject: adding().inject,
            ..needing()
        };
        assert_eq!(kinds(all), [true, true, true]);
    }
}
