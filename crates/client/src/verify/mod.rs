//! Verifying the credentials of requests: here, with what Sealgate publishes, or by asking it.

mod judge;
mod layer;
mod refresh;
mod remote;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::request::Parts;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

pub use self::layer::{Verify, VerifyLayer};
pub use self::remote::IdentityHeaders;

use self::judge::{Rules, Unsettled};
use self::refresh::Published;
use crate::clock::{Clock, SystemClock};
use crate::credential::Presented;
use crate::error::Error;
use crate::identity::Identity;
use crate::refusal::Refusal;
use crate::sealgate::Sealgate;

/// Where credentials are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Here: access tokens of a server key, and sessions with a seal key of the client's own. Whatever only
    /// the server can verify is refused with 401.
    Local,
    /// By the server, each request: every kind of credential, counted, limited and held to the server's
    /// routes.
    Remote,
    /// Here where that is possible, and by the server where not. A token that is found to be bad here is
    /// refused here.
    LocalThenRemote,
}

/// What a [`Verifier`] goes by.
#[derive(Clone, Debug)]
pub struct VerifierOptions {
    /// Where credentials are verified.
    pub mode: Mode,
    /// The issuer of access tokens and of the list of revocations: the server's `tokens.issuer`.
    pub issuer: String,
    /// Whose session tokens are honoured here; none without.
    pub sessions: Option<SessionOptions>,
    /// The header of seal keys: the server's `sessions.header`.
    pub seal_key_header: HeaderName,
    /// The headers that the server tells the identity in: its `[identity_headers]`.
    pub identity_headers: IdentityHeaders,
    /// How old the revocations may be that a token is honoured by. Older ones are no ground to let
    /// anybody through: requests are refused with 503 until there are newer ones.
    pub max_staleness: Duration,
    /// How long published keys are kept at most before they are fetched anew. They are fetched sooner if
    /// the server says so, and when there is news of another key.
    pub key_refresh: Duration,
}

/// The claims that a session token has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Whom it is for: the server's `sessions.audience`.
    pub audience: String,
    /// Who issued it: the server's `sessions.issuer`.
    pub issuer: String,
}

impl Default for VerifierOptions {
    /// As a Sealgate server is set by default. Session tokens are for the server alone.
    fn default() -> Self {
        Self {
            mode: Mode::LocalThenRemote,
            issuer: "sealgate".to_owned(),
            sessions: None,
            seal_key_header: HeaderName::from_static("x-gomaluum-key"),
            identity_headers: IdentityHeaders::default(),
            max_staleness: Duration::from_secs(10),
            key_refresh: Duration::from_hours(1),
        }
    }
}

/// Verifies the credentials of requests. Clones are one verifier; what it fetches in the background ends
/// when the last of them is dropped.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    sealgate: Sealgate,
    mode: Mode,
    rules: Rules,
    identity_headers: IdentityHeaders,
    published: Option<Arc<Published>>,
    clock: Arc<dyn Clock>,
    _chores: Chores,
}

impl Verifier {
    /// Begins to fetch what is needed, and to keep it fresh. Nothing is let through before it has come;
    /// [`ready`](Self::ready) waits for it.
    ///
    /// # Errors
    /// [`Error::Option`] if an option cannot be used, or outside of a Tokio runtime.
    pub fn start(sealgate: Sealgate, options: VerifierOptions) -> Result<Self, Error> {
        Self::start_with_clock(sealgate, options, Arc::new(SystemClock::default()))
    }

    /// As [`start`](Self::start), by another clock than the system's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with_clock(
        sealgate: Sealgate,
        options: VerifierOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        check(&options)?;
        let mut chores = Chores::default();
        let published = match options.mode {
            Mode::Remote => None,
            Mode::Local | Mode::LocalThenRemote => {
                let runtime = Handle::try_current()
                    .map_err(|_| Error::Option("a verifier needs a Tokio runtime".to_owned()))?;
                let published = Published::new(sealgate.clone(), &options, Arc::clone(&clock));
                let published = Arc::new(published);
                chores.start(&runtime, Arc::clone(&published).keep_keys());
                chores.start(&runtime, Arc::clone(&published).keep_list());
                Some(published)
            }
        };
        Ok(Self(Arc::new(Inner {
            sealgate,
            mode: options.mode,
            rules: Rules {
                issuer: options.issuer,
                sessions: options.sessions,
                seal_key_header: options.seal_key_header,
                max_staleness: options.max_staleness,
            },
            identity_headers: options.identity_headers,
            published,
            clock,
            _chores: chores,
        })))
    }

    /// Waits until keys and revocations have come. There is no limit: put one around it.
    pub async fn ready(&self) {
        if let Some(published) = &self.0.published {
            published.ready().await;
        }
    }

    /// Who sent a request, by its credential. The permissions are for the caller to look at; where the
    /// server was asked, its routes were looked at too.
    ///
    /// # Errors
    /// The [`Refusal`] that the request is to be answered with.
    pub async fn verify(&self, parts: &Parts) -> Result<Identity, Refusal> {
        let Inner { rules, .. } = &*self.0;
        let presented = Presented::read(&parts.headers, &rules.seal_key_header)?;
        let Some(published) = &self.0.published else {
            return self.ask(parts).await;
        };
        let now = self.0.clock.now();
        let mut settled = rules.judge(&published.known(), &presented, now);
        if matches!(settled, Err(Unsettled::UnknownKey)) {
            published.refetch_keys().await;
            settled = rules.judge(&published.known(), &presented, self.0.clock.now());
        }
        match settled {
            Ok(identity) => Ok(identity),
            Err(Unsettled::Refused(refusal)) => Err(refusal),
            Err(unsettled) if self.0.mode == Mode::Local => Err(unsettled.into()),
            Err(_) => self.ask(parts).await,
        }
    }

    async fn ask(&self, parts: &Parts) -> Result<Identity, Refusal> {
        let Inner {
            sealgate,
            rules,
            identity_headers,
            ..
        } = &*self.0;
        remote::ask(sealgate, &rules.seal_key_header, identity_headers, parts).await
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("sealgate", &self.0.sealgate)
            .field("mode", &self.0.mode)
            .finish_non_exhaustive()
    }
}

fn check(options: &VerifierOptions) -> Result<(), Error> {
    for (name, duration) in [
        ("max_staleness", options.max_staleness),
        ("key_refresh", options.key_refresh),
    ] {
        if duration < Duration::from_secs(1) {
            return Err(Error::Option(format!("{name} is less than a second")));
        }
    }
    if options.issuer.is_empty() {
        return Err(Error::Option("the issuer has no name".to_owned()));
    }
    Ok(())
}

/// What goes on in the background, until this is dropped.
#[derive(Default)]
struct Chores(Vec<AbortHandle>);

impl Chores {
    fn start(&mut self, runtime: &Handle, chore: impl Future<Output = ()> + Send + 'static) {
        self.0.push(runtime.spawn(chore).abort_handle());
    }
}

impl Drop for Chores {
    fn drop(&mut self) {
        for chore in &self.0 {
            chore.abort();
        }
    }
}
