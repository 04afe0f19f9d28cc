//! The gate: may a request to somebody else's API go through, and whose is it?
//!
//! - [`Gate`]: decides, by the operator's policy and the credentials that the request carries
//! - `cookie`: cookies that a rule adds
//! - [`forward_auth`]: for reverse proxies that ask over HTTP
//! - [`identity`]: the headers in which the one behind the gate hears who calls
//! - [`meter`]: how often, how long
//! - [`spelling`]: names of headers that a service may take for one another
//! - [`cookie`]: cookies that rules add, among those of the client

mod cookie;
pub(crate) mod forward_auth;
mod identity;
mod meter;
mod spelling;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sealgate_core::authority::{Allowance, Authority, Credential, Identity, Session};
use sealgate_core::clock::Timestamp;
use sealgate_core::error::{Denied, Error, Reason};
use sealgate_core::key::KeyId;
use sealgate_core::policy::{Demand, InjectedNames, Known, Policy, PolicyHandle, Undecided};

pub(crate) use self::cookie::Cookies;
pub use self::identity::IdentityHeaders;
pub(crate) use self::meter::Meter;
pub(crate) use self::spelling::is_spelling_of;
use self::spelling::remove_spellings;
use crate::app::HttpSettings;
use crate::error::{CredentialKind, Problem};
use crate::extract::{Presented, is_session_token, seal_key_of};
use crate::layer::{Unanswered, user_agent};
use crate::request_id::{RequestId, RequestIds};

/// Decides who passes.
pub(crate) struct Gate {
    authority: Arc<Authority>,
    policy: PolicyHandle,
    request_ids: RequestIds,
    seal_key_header: HeaderName,
    identity_headers: IdentityHeaders,
}

/// A request that is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Which gate is asked, for the logs.
    pub route: &'static str,
    /// The client's method.
    pub method: &'a Method,
    /// The path as the client sent it, without the query; none if nobody told it.
    pub path: Option<&'a str>,
    /// Headers, the credentials among them.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub address: IpAddr,
}

/// A request that may go through.
pub(crate) struct Passed {
    who: Who,
    /// The managed key that was sent beside a token, if it is not the token's own.
    beside: Option<KeyId>,
    /// What it is counted as.
    name: Arc<str>,
    /// Headers for the one behind the gate, by the rule.
    injected: Vec<(HeaderName, HeaderValue)>,
    /// What any rule of the policy adds.
    reserved: Arc<InjectedNames>,
}

/// Who sends a request that may go through.
enum Who {
    Anonymous,
    Managed(Identity),
    Session(Session),
}

impl Gate {
    pub fn new(
        authority: Arc<Authority>,
        request_ids: RequestIds,
        policy: PolicyHandle,
        http: &HttpSettings,
    ) -> Self {
        Self {
            policy,
            request_ids,
            seal_key_header: http.seal_key_header.clone(),
            identity_headers: http.identity_headers.clone(),
            authority,
        }
    }

    /// Decides about a request, and counts it: as a use of the key if it passes, as a refusal in the
    /// audit log if not.
    pub async fn check(&self, asked: &Asked<'_>) -> Result<Passed, Refused> {
        match self.check_now(asked) {
            Some(decided) => decided,
            None => self.check_with_store(asked).await,
        }
    }

    /// As [`Self::check`], from memory; nothing if that is not enough. Nothing was counted then.
    pub fn check_now(&self, asked: &Asked<'_>) -> Option<Result<Passed, Refused>> {
        if self.authority.settings().audit_all_requests {
            // Each use has to be durable before anybody hears of it.
            return None;
        }
        let (policy, now) = (self.policy.current(), self.authority.now());
        let decided = match self.decide_now(&policy, asked, now).transpose()? {
            Ok(passed) => {
                if let Some(key_id) = passed.key_id() {
                    let (address, name) = (asked.address, &passed.name);
                    self.authority.count_use(key_id, address, name, now);
                }
                Ok(passed)
            }
            Err(problem) => Err(self.refuse(asked, problem)),
        };
        Some(decided)
    }

    async fn check_with_store(&self, asked: &Asked<'_>) -> Result<Passed, Refused> {
        let policy = self.policy.current();
        let decided = async {
            let passed = self.decide(&policy, asked).await?;
            self.count(&passed, asked).await?;
            Ok(passed)
        };
        let decided: Result<_, Problem> = decided.await;
        decided.map_err(|problem| self.refuse(asked, problem))
    }

    /// From memory: a request with one credential that is known already, or without any.
    fn decide_now(
        &self,
        policy: &Policy,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<Option<Passed>, Problem> {
        let (demand, presented) = read(policy, asked)?;
        let (authority, address) = (&self.authority, asked.address);
        let who = match (presented.token, presented.key) {
            (Some(_), Some(_)) => return Ok(None),
            (None, None) => anonymous(demand)?,
            (None, Some(key)) => {
                let Some(verified) = authority.authenticate_now(Credential::Key(key), address, now)
                else {
                    return Ok(None);
                };
                managed(demand, verified, CredentialKind::Key)?
            }
            (Some(token), None) if is_session_token(token) => {
                let seal_key = seal_key_of(asked.headers, &self.seal_key_header)?;
                let Some(opened) = authority.open_session_now(token, seal_key, address, now) else {
                    return Ok(None);
                };
                session(demand, opened.map_err(Error::from))?
            }
            (Some(token), None) => {
                let Some(verified) =
                    authority.authenticate_now(Credential::Bearer(token), address, now)
                else {
                    return Ok(None);
                };
                managed(demand, verified, CredentialKind::Token)?
            }
        };
        passed(policy, demand, who).map(Some)
    }

    /// With the store's help where it is needed. All credentials of a request have to be honoured, and
    /// of two the token says who calls.
    async fn decide(&self, policy: &Policy, asked: &Asked<'_>) -> Result<Passed, Problem> {
        let (demand, presented) = read(policy, asked)?;
        let (authority, address) = (&self.authority, asked.address);
        let by_token = match presented.token {
            None => None,
            Some(token) if is_session_token(token) => {
                let seal_key = seal_key_of(asked.headers, &self.seal_key_header)?;
                let opened = authority.open_session(token, seal_key, address).await;
                Some(session(demand, opened)?)
            }
            Some(token) => {
                let verified = self.authenticate(Credential::Bearer(token), address);
                Some(managed(demand, verified.await?, CredentialKind::Token)?)
            }
        };
        let who = match (by_token, presented.key) {
            (Some(who), Some(key)) => {
                let paid = who.key_id();
                let verified = authority.authenticate_beside(key, address, paid).await;
                let beside = denied_or(verified)?
                    .map_err(|denied| Problem::refused(CredentialKind::Key, denied))?
                    .key_id();
                let mut passed = passed(policy, demand, who)?;
                passed.beside = Some(beside).filter(|beside| Some(*beside) != paid);
                return Ok(passed);
            }
            (Some(who), None) => who,
            (None, Some(key)) => {
                let verified = self.authenticate(Credential::Key(key), address).await?;
                managed(demand, verified, CredentialKind::Key)?
            }
            (None, None) => anonymous(demand)?,
        };
        passed(policy, demand, who)
    }

    async fn authenticate(
        &self,
        credential: Credential<'_>,
        address: IpAddr,
    ) -> Result<Result<Identity, Denied>, Problem> {
        denied_or(self.authority.authenticate(credential, address).await)
    }

    async fn count(&self, passed: &Passed, asked: &Asked<'_>) -> Result<(), Problem> {
        let origin = unanswered(asked, self.request_ids.next()).origin();
        let status = StatusCode::OK.as_u16();
        let (authority, name) = (&self.authority, &passed.name);
        match &passed.who {
            // Nobody's use; the service behind the gate has a log of its own.
            Who::Anonymous => {}
            Who::Managed(identity) => {
                let served = authority.served(identity.key_id(), name, &origin, status);
                served.await?;
            }
            Who::Session(session) => {
                let served = authority.served_session(session, name, &origin, status);
                served.await?;
            }
        }
        if let Some(key_id) = passed.beside {
            authority.served(key_id, name, &origin, status).await?;
        }
        Ok(())
    }

    /// Puts a refusal into the audit log, the metrics and the operator's log.
    pub fn refuse(&self, asked: &Asked<'_>, problem: Problem) -> Refused {
        let request_id = self.request_ids.next();
        unanswered(asked, request_id).account(&self.authority, &problem);
        Refused {
            problem: Box::new(problem),
            request_id,
        }
    }

    /// The headers that credentials come in: the one behind the gate needs none of them.
    pub fn credential_headers(&self) -> [HeaderName; 3] {
        let seal_key = self.seal_key_header.clone();
        [
            http::header::AUTHORIZATION,
            crate::extract::API_KEY,
            seal_key,
        ]
    }

    /// The header of seal keys.
    pub const fn seal_key_header(&self) -> &HeaderName {
        &self.seal_key_header
    }

    /// The headers in which the one behind the gate hears who calls.
    pub const fn identity_headers(&self) -> &IdentityHeaders {
        &self.identity_headers
    }

    /// What they say of a caller, in the order of their names.
    pub fn identity(&self, passed: &Passed) -> Result<[HeaderValue; 5], Problem> {
        let environment = self.authority.settings().environment;
        self.identity_headers.values(passed, environment)
    }

    /// Says in them who calls, in place of whatever they said.
    pub fn write_identity(&self, passed: &Passed, headers: &mut HeaderMap) -> Result<(), Problem> {
        let names = self.identity_headers.names();
        for (name, value) in names.into_iter().zip(self.identity(passed)?) {
            headers.insert(name, value);
        }
        Ok(())
    }
}

/// A request that may not go through, and the identifier under which the operator finds it.
pub(crate) struct Refused {
    pub problem: Box<Problem>,
    pub request_id: RequestId,
}

impl Passed {
    /// The managed key that was used, itself or through a token, or that seals the session.
    pub fn key_id(&self) -> Option<KeyId> {
        self.who.key_id()
    }

    /// What is left of the key's rate limit, if it has one.
    pub fn allowance(&self) -> Option<Allowance> {
        match &self.who {
            Who::Anonymous => None,
            Who::Managed(identity) => identity.allowance(),
            Who::Session(session) => session.allowance(),
        }
    }

    /// What the rule adds for the one behind the gate, in place of what the client sent; cookies among
    /// the client's others.
    pub fn injected(&self, client: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let place = |(name, value): &(HeaderName, HeaderValue)| {
            let value = match *name {
                COOKIE => {
                    let names = self.reserved.cookies();
                    cookie::with(client.get_all(COOKIE), names, value)
                }
                _ => value.clone(),
            };
            (name.clone(), value)
        };
        self.injected.iter().map(place).collect()
    }

    /// The headers that some rule adds, in lower case: no client may send them, whichever rule decides.
    /// `Cookie` is not among them.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        self.reserved.headers()
    }

    /// What becomes of the client's cookies, if the rule adds none: those that another rule adds go.
    pub fn cookies(&self, client: &HeaderMap) -> Cookies {
        Cookies::without(client.get_all(COOKIE), self.reserved.cookies())
    }

    /// Removes what the client says in place of a rule.
    pub fn remove_forged(&self, headers: &mut HeaderMap) {
        for name in self.reserved() {
            remove_spellings(headers, name);
        }
        match self.cookies(headers) {
            Cookies::AsSent => {}
            Cookies::These(line) => {
                headers.insert(COOKIE, line);
            }
            Cookies::Nothing => {
                headers.remove(COOKIE);
            }
        }
    }
}

impl Who {
    fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Anonymous => None,
            Self::Managed(identity) => Some(identity.key_id()),
            Self::Session(session) => session.sealed_by().key_id(),
        }
    }
}

/// A refusal apart from what went wrong.
fn denied_or(verified: Result<Identity, Error>) -> Result<Result<Identity, Denied>, Problem> {
    match verified {
        Ok(identity) => Ok(Ok(identity)),
        Err(Error::Denied(denied)) => Ok(Err(denied)),
        Err(error) => Err(error.into()),
    }
}

/// A request as one that met a problem.
fn unanswered<'a>(asked: &'a Asked<'_>, request_id: RequestId) -> Unanswered<'a> {
    Unanswered {
        request_id,
        address: asked.address,
        route: asked.route,
        method: asked.method.as_str(),
        path: asked.path.unwrap_or(asked.route),
        user_agent: user_agent(asked.headers),
    }
}

/// What the policy wants of a request, and what it carries.
fn read<'a, 'p>(
    policy: &'p Policy,
    asked: &Asked<'a>,
) -> Result<(Demand<'p>, Presented<'a>), Problem> {
    let demand = policy.decide(asked.method.as_str(), asked.path);
    let demand = demand.map_err(|undecided| match undecided {
        Undecided::Ambiguous => Problem::ambiguous(
            "path",
            "it can be read in several ways, which is not safe here",
        ),
        Undecided::PathUnknown => Problem::ambiguous(
            "path",
            "there are rules for paths, and the proxy does not tell which one is asked for",
        ),
    })?;
    demand.admit_anybody()?;
    Ok((demand, Presented::read(asked.headers)?))
}

fn anonymous(demand: Demand<'_>) -> Result<Who, Problem> {
    if demand.is_anonymous() {
        return Ok(Who::Anonymous);
    }
    let (reason, key_id) = (Reason::NoCredential, None);
    Err(Problem::CredentialMissing(None, Denied { reason, key_id }))
}

fn managed(
    demand: Demand<'_>,
    verified: Result<Identity, Denied>,
    kind: CredentialKind,
) -> Result<Who, Problem> {
    let identity = verified.map_err(|denied| Problem::refused(kind, denied))?;
    demand.admit_identity(&identity)?;
    Ok(Who::Managed(identity))
}

/// A wrong seal key is the client's fault here, whatever the settings say: a proxy takes 500 for a fault
/// of its own.
fn session(demand: Demand<'_>, opened: Result<Session, Error>) -> Result<Who, Problem> {
    let session = opened.map_err(|error| Problem::of_session(error, StatusCode::UNAUTHORIZED))?;
    demand.admit_session(&session)?;
    Ok(Who::Session(session))
}

fn passed(policy: &Policy, demand: Demand<'_>, who: Who) -> Result<Passed, Problem> {
    let injected = match &who {
        Who::Anonymous => demand.injected(&Known::default()),
        Who::Managed(identity) => demand.injected(&Known::from(identity)),
        Who::Session(session) => demand.injected(&Known::from(session)),
    };
    let headers = injected?.into_iter().map(|(name, value)| {
        let pair = name.parse().ok().zip(HeaderValue::try_from(value).ok());
        let mut pair: (HeaderName, HeaderValue) =
            pair.ok_or_else(|| Problem::Internal(format!("{name} fits no header")))?;
        // It may be a password: no log shows it.
        pair.1.set_sensitive(true);
        Ok(pair)
    });
    Ok(Passed {
        injected: headers.collect::<Result<_, Problem>>()?,
        who,
        beside: None,
        name: Arc::clone(demand.name()),
        reserved: Arc::clone(policy.injected()),
    })
}
