//! `sealgate check`: whether a request may pass, by which rule of the policy, and why. Callers are not
//! told; this is for administrators.

mod print;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use sealgate_core::error::Reason;
use sealgate_core::key::Environment;
use sealgate_core::permission::{self, Permission};
use sealgate_core::policy::{CredentialKind, Demand, Explanation, Misfit, Rule};
use sealgate_core::view::KeyView;
use serde::Serialize;

use super::Context;
use super::key;
use crate::exit::{Failure, Outcome};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate check --method POST --path /orders/7 --id TcE8hG4L
  sealgate check --path /health                       without a credential
  sealgate check --path /portal --kind session        as a user who is logged in
  sealgate check --path /orders/7 --id TcE8hG4L --json | jq .allowed

The rules are those of [[routes]] in sealgate.toml as it is now; a server has them since its start, or
since its last SIGHUP. The exit status is 0 whether or not the request may pass.";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The path as the client sends it; a query is left out
    #[arg(long)]
    path: String,

    /// The method, as it is spelled
    #[arg(long, default_value = "GET")]
    method: String,

    /// The key's id, or its first eight characters; without one, the request has no credential
    #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
    id: Option<String>,

    /// What is sent: the key, a token of it, or a session that it seals [default: key]
    #[arg(long, value_parser = kinds())]
    kind: Option<CredentialKind>,
}

fn kinds() -> impl TypedValueParser<Value = CredentialKind> {
    let names = CredentialKind::ALL.map(CredentialKind::as_str);
    PossibleValuesParser::new(names).map(|name| {
        let mut all = CredentialKind::ALL.into_iter();
        let found = all.find(|kind| kind.as_str() == name);
        found.expect("the parser takes the names of kinds alone")
    })
}

impl Args {
    /// Says it.
    ///
    /// # Errors
    /// If there is no such key.
    pub async fn run(self, context: &Context) -> Outcome {
        let credential = self.credential(context).await?;
        let policy = context.settings.policy();
        let policy = policy.map_err(|invalid| Failure::new(invalid.to_string()))?;
        let path = self.path.split('?').next().unwrap_or_default();
        let explained = policy.explain(&self.method, path);
        let here = context.settings.server.environment;
        let verdict = Verdict {
            method: &self.method,
            path,
            ..Verdict::new(&explained, credential.as_ref(), here)
        };
        if context.output.json {
            return Ok(context.output.json(&verdict)?);
        }
        Ok(print::print(&verdict, &context.output)?)
    }

    async fn credential(&self, context: &Context) -> Outcome<Option<Sent>> {
        let Some(id) = &self.id else {
            return match self.kind {
                None => Ok(None),
                Some(kind @ CredentialKind::Session) => Ok(Some(Sent { kind, key: None })),
                Some(kind) => Err(Failure::usage(format!(
                    "--kind {kind} needs --id, which says of which key"
                ))),
            };
        };
        let id = key::check(id)?;
        let key = context.with_store(Missing::Refuse, async |authority| {
            Ok(authority.view(&authority.key(id).await?))
        });
        Ok(Some(Sent {
            kind: self.kind.unwrap_or(CredentialKind::Key),
            key: Some(key.await?),
        }))
    }
}

/// A credential of a request.
struct Sent {
    kind: CredentialKind,
    /// The managed key; of a session the one that seals it, if one does.
    key: Option<KeyView>,
}

/// What became of it.
#[derive(Serialize)]
struct Verdict<'a> {
    allowed: bool,
    method: &'a str,
    path: &'a str,
    /// What the request carries, if anything.
    credential: Option<&'static str>,
    /// The rule that decides; none if no rule fits, or none can be said to.
    rule: Option<Told<'a>>,
    /// What passes; nothing if no rule can be said to decide.
    needs: Option<Needs<'a>>,
    /// Why it may not pass, all of it.
    reasons: Vec<Because>,
    /// The rules before the one that decides.
    passed_over: Vec<PassedOver<'a>>,
    /// Ways to read the request, if they meet different rules.
    readings: Vec<Reading<'a>>,
    /// The managed key, if one was named.
    key: Option<&'a KeyView>,
}

/// A rule.
#[derive(Clone, Copy, Serialize)]
struct Told<'a> {
    path: &'a str,
    methods: Option<&'a [Box<str>]>,
    line: Option<usize>,
}

/// What passes.
#[derive(Serialize)]
struct Needs<'a> {
    anonymous: bool,
    credentials: Vec<&'static str>,
    permissions: Vec<Needed<'a>>,
    environment: Option<Environment>,
    inject: Vec<&'a str>,
}

/// A permission that is needed, and whether the key has it, if a key was named.
#[derive(Serialize)]
struct Needed<'a> {
    permission: &'a str,
    granted: Option<bool>,
}

/// Why a request may not pass.
#[derive(Serialize)]
struct Because {
    /// As in the audit log; `ambiguous` is answered with 400, and is not in there.
    reason: &'static str,
    message: String,
}

/// A rule that does not fit.
#[derive(Serialize)]
struct PassedOver<'a> {
    #[serde(flatten)]
    rule: Told<'a>,
    because: &'static str,
}

/// A way to read the request.
#[derive(Serialize)]
struct Reading<'a> {
    path: &'a str,
    ignores_case: bool,
    rule: Option<Told<'a>>,
}

impl<'a> From<&'a Rule> for Told<'a> {
    fn from(rule: &'a Rule) -> Self {
        Self {
            path: rule.path(),
            methods: rule.methods(),
            line: rule.line(),
        }
    }
}

impl<'a> Verdict<'a> {
    fn new(explained: &'a Explanation<'_>, sent: Option<&'a Sent>, here: Environment) -> Self {
        let mut verdict = Self {
            allowed: false,
            method: "",
            path: "",
            credential: sent.map(|sent| sent.kind.as_str()),
            rule: None,
            needs: None,
            reasons: Vec::new(),
            passed_over: Vec::new(),
            readings: Vec::new(),
            key: sent.and_then(|sent| sent.key.as_ref()),
        };
        match &explained.decided {
            Ok(demand) => verdict.take_decision(explained, demand, sent, here),
            Err(_) => verdict.take_readings(explained),
        }
        verdict.allowed = verdict.reasons.is_empty();
        verdict
    }

    fn take_decision(
        &mut self,
        explained: &'a Explanation<'_>,
        demand: &Demand<'a>,
        sent: Option<&Sent>,
        here: Environment,
    ) {
        self.rule = demand.rule().map(Told::from);
        self.needs = Some(Needs::of(demand, sent));
        self.reasons = reasons(demand, sent, here);
        let passed_over = explained.passed_over.iter();
        let passed_over = passed_over.map(|(rule, misfit)| PassedOver {
            rule: (*rule).into(),
            because: match misfit {
                Misfit::Path => "path",
                Misfit::Method => "method",
            },
        });
        self.passed_over = passed_over.collect();
    }

    fn take_readings(&mut self, explained: &'a Explanation<'_>) {
        let message = if explained.readings.is_empty() {
            "it is no path, or one that nobody needs: what a server makes of it cannot be told"
        } else {
            "servers read it in different ways, and not all of them meet the same rule"
        };
        self.reasons = vec![Because::new("ambiguous", message)];
        let readings = explained.readings.iter().map(|read_as| Reading {
            path: &read_as.path,
            ignores_case: read_as.ignores_case,
            rule: read_as.rule.map(Told::from),
        });
        self.readings = readings.collect();
    }
}

impl<'a> Needs<'a> {
    fn of(demand: &Demand<'a>, sent: Option<&Sent>) -> Self {
        let mut kinds = CredentialKind::ALL.to_vec();
        kinds.retain(|kind| demand.takes(*kind));
        let granted = |needed| Some(grants(sent?.key.as_ref()?, needed));
        let permissions = demand.permissions().map(|needed| Needed {
            permission: needed.0,
            granted: granted(needed),
        });
        Self {
            anonymous: demand.is_anonymous(),
            permissions: permissions.collect(),
            credentials: kinds.into_iter().map(CredentialKind::as_str).collect(),
            environment: demand.rule().and_then(Rule::environment),
            inject: demand
                .rule()
                .into_iter()
                .flat_map(Rule::injected_names)
                .collect(),
        }
    }
}

fn grants(key: &KeyView, needed: Permission<'_>) -> bool {
    key.is_admin || permission::allow(&key.permissions, needed)
}

/// Everything that stands in the way.
fn reasons(demand: &Demand<'_>, sent: Option<&Sent>, here: Environment) -> Vec<Because> {
    let mut reasons = Vec::new();
    if let Err(denied) = demand.admit_anybody() {
        let message = match demand.rule().and_then(Rule::environment) {
            Some(there) => format!("the rule is for servers of {there}, and this one is of {here}"),
            None => "the rule lets nobody pass".to_owned(),
        };
        reasons.push(Because::new(denied.reason.slug(), message));
    }
    let Some(sent) = sent else {
        if reasons.is_empty() && !demand.is_anonymous() {
            let message = "a credential is needed, and there is none";
            reasons.push(Because::new(Reason::NoCredential.slug(), message));
        }
        return reasons;
    };
    if let Some(key) = &sent.key {
        reasons.extend(of_key(key, here));
    }
    // A closed rule takes none, and says so already.
    let is_closed = CredentialKind::ALL.iter().all(|kind| !demand.takes(*kind));
    if !is_closed && !demand.takes(sent.kind) {
        let message = format!("the rule lets no {} pass", sent.kind);
        let slug = Reason::CredentialKindNotAllowed.slug();
        reasons.push(Because::new(slug, message));
    } else if let Some(key) = &sent.key
        && sent.kind != CredentialKind::Session
    {
        let missing = demand.permissions().filter(|needed| !grants(key, *needed));
        reasons.extend(missing.map(|needed| {
            let reason = Reason::MissingPermission(needed.0.to_owned());
            Because::new(reason.slug(), format!("the key lacks {}", needed.0))
        }));
    }
    reasons
}

/// What is wrong with a key, whatever is asked for.
fn of_key(key: &KeyView, here: Environment) -> Vec<Because> {
    let mut reasons = Vec::new();
    if !key.is_active {
        let message = format!("the key is {}", key.status);
        reasons.push(Because::new(Reason::KeyIs(key.status).slug(), message));
    }
    if key.environment != here {
        let there = key.environment;
        let message = format!("the key is of {there}, and this server of {here}");
        reasons.push(Because::new(Reason::OtherEnvironment.slug(), message));
    }
    reasons
}

impl Because {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}
