//! Access tokens for a service's own requests: a managed key is exchanged for one, and it is renewed
//! before it expires.

mod authorize;
mod exchange;
mod secret;

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Mutex as Turn;

pub use self::authorize::{Authorize, AuthorizeError, AuthorizeLayer};
pub use self::secret::{AccessToken, ManagedKey};

use self::exchange::Grant;
use crate::clock::{Clock, Moment, SystemClock};
use crate::error::Error;
use crate::sealgate::Sealgate;

/// The least time from a failure to the next question. It doubles up to the last; whoever wants a token
/// meanwhile is told of the failure.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The longest that Sealgate can have us wait, whatever it says.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A token is not handed out in the last part of its life: this much of it, as a divisor.
const LAST_PART: u32 = 20;

/// Gives out access tokens. Clones are one source, and share its token.
///
/// The managed key is sent to be exchanged and otherwise stays here: a token is renewed without it, from
/// about half of its life on and while it is still good, until its line of renewals is at its end. Many
/// that ask at once share one question to the server.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

struct Inner {
    sealgate: Sealgate,
    key: ManagedKey,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held by the one that asks.
    turn: Turn<()>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failed>,
}

/// A token, and what is to become of it.
#[derive(Clone)]
struct Held {
    token: AccessToken,
    /// When the answer was asked for: the life of the token is counted from here, by this machine's
    /// clock alone.
    since: Moment,
    lifetime: Duration,
    /// The lifetime that a token has which was just exchanged. A renewal that gives less is the last.
    whole_lifetime: Duration,
    /// After how much of its life to renew it.
    renew_after: Duration,
}

/// The last question came to nothing.
struct Failed {
    error: Error,
    since: Moment,
    pause: Duration,
}

/// What is to be done for who wants a token.
enum Step {
    /// This one is good.
    Take(AccessToken),
    /// This one is good, and should be renewed.
    TakeAndRenew(AccessToken),
    /// There is none.
    Ask,
}

impl TokenSource {
    /// A source that exchanges this key; nothing is asked yet.
    pub fn new(sealgate: Sealgate, key: ManagedKey) -> Self {
        Self::with_clock(sealgate, key, Arc::new(SystemClock::default()))
    }

    /// As [`new`](Self::new), by another clock than the system's.
    pub fn with_clock(sealgate: Sealgate, key: ManagedKey, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            sealgate,
            key,
            clock,
            state: Mutex::default(),
            turn: Turn::new(()),
        }))
    }

    /// A token that is good for a while: the one that is held, or a new one.
    ///
    /// # Errors
    /// If Sealgate gives none. It is not asked again for a moment after that, so that a service that is
    /// busy does not ask it for each of its requests.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match self.0.step()? {
            Step::Take(token) => Ok(token),
            Step::TakeAndRenew(token) => {
                self.renew_in_background();
                Ok(token)
            }
            Step::Ask => self.0.ask_in_turn().await,
        }
    }

    /// Throws a token away that an API has refused, so that the next one is exchanged anew. Does nothing if
    /// another token is held by now.
    pub fn invalidate(&self, token: &AccessToken) {
        let mut state = self.0.state();
        if state.held.as_ref().is_some_and(|held| held.token == *token) {
            state.held = None;
        }
    }

    /// Renews unless somebody is at it.
    fn renew_in_background(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let inner = Arc::clone(&self.0);
        runtime.spawn(async move {
            let Ok(_turn) = inner.turn.try_lock() else {
                return;
            };
            if matches!(inner.step(), Ok(Step::TakeAndRenew(_)))
                && let Err(error) = inner.ask().await
            {
                tracing::warn!(%error, "the access token is not renewed yet");
            }
        });
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done now.
    fn step(&self) -> Result<Step, Error> {
        let now = self.clock.now();
        let state = self.state();
        let failed = state.failed.as_ref();
        let failed = failed.filter(|failed| now.since(failed.since) < failed.pause);
        if let Some(held) = &state.held {
            let age = now.since(held.since);
            let token = held.token.clone();
            if age < held.renew_after || failed.is_some() && age < held.last_moment() {
                return Ok(Step::Take(token));
            }
            if age < held.last_moment() {
                return Ok(Step::TakeAndRenew(token));
            }
        }
        failed.map_or(Ok(Step::Ask), |failed| Err(failed.error.clone()))
    }

    /// Waits for whoever asks already, and asks if that has brought nothing.
    async fn ask_in_turn(&self) -> Result<AccessToken, Error> {
        let _turn = self.turn.lock().await;
        match self.step()? {
            Step::Take(token) | Step::TakeAndRenew(token) => Ok(token),
            Step::Ask => self.ask().await,
        }
    }

    /// Asks for a token, and keeps what comes of it.
    async fn ask(&self) -> Result<AccessToken, Error> {
        let asked = self.renewed_or_exchanged().await;
        let mut state = self.state();
        match asked {
            Ok(held) => {
                let token = held.token.clone();
                state.held = Some(held);
                state.failed = None;
                Ok(token)
            }
            Err(error) => {
                let last = state.failed.take().map(|failed| failed.pause);
                state.failed = Some(Failed {
                    pause: pause(&error, last),
                    since: self.clock.now(),
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }

    async fn renewed_or_exchanged(&self) -> Result<Held, Error> {
        let held = self.state().held.clone();
        if let Some(held) = held
            && self.clock.now().since(held.since) < held.lifetime
        {
            let since = self.clock.now();
            match exchange::renew(&self.sealgate, &held.token).await {
                Ok(grant) if grant.lifetime >= held.whole_lifetime => {
                    return Ok(Held::of(grant, since, held.whole_lifetime));
                }
                // The line is at its end, or the token was ended: the key begins another.
                Ok(_) | Err(Error::Refused { .. }) => (),
                Err(error) => return Err(error),
            }
        }
        let since = self.clock.now();
        let grant = exchange::exchange(&self.sealgate, &self.key).await?;
        let whole_lifetime = grant.lifetime;
        Ok(Held::of(grant, since, whole_lifetime))
    }
}

impl Held {
    fn of(grant: Grant, since: Moment, whole_lifetime: Duration) -> Self {
        Self {
            renew_after: grant.lifetime.mul_f64(part_before_renewal(&grant.token)),
            token: grant.token,
            since,
            lifetime: grant.lifetime,
            whole_lifetime,
        }
    }

    /// From which age on it is not handed out any more.
    fn last_moment(&self) -> Duration {
        self.lifetime.saturating_sub(self.lifetime / LAST_PART)
    }
}

/// After which part of its life a token is renewed: half, and up to a tenth more. The token itself decides,
/// so that services which began together do not renew together.
fn part_before_renewal(token: &AccessToken) -> f64 {
    let mut hasher = DefaultHasher::new();
    token.expose().hash(&mut hasher);
    let thousandth = u16::try_from(hasher.finish() % 1_000).unwrap_or_default();
    0.5 + f64::from(thousandth) / 10_000.0
}

/// For how long nobody asks again.
fn pause(error: &Error, last: Option<Duration>) -> Duration {
    match error {
        Error::TooManyRequests { retry_after } => *retry_after,
        _ => last.map_or(FIRST_RETRY, |last| (2 * last).min(LAST_RETRY)),
    }
    .clamp(FIRST_RETRY, LONGEST_WAIT)
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenSource")
            .field(&self.0.sealgate)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_at_half_of_their_life_or_a_little_later_and_not_all_at_once() {
        let parts: Vec<_> = (0..50)
            .map(|n| part_before_renewal(&AccessToken::new(format!("token-{n}")).unwrap()))
            .collect();
        assert!(parts.iter().all(|part| (0.5..0.6).contains(part)));
        let (first, rest) = parts.split_first().unwrap();
        assert!(rest.iter().any(|part| (part - first).abs() > 0.02));
    }

    #[test]
    fn the_pause_after_a_failure_grows_to_a_bound_unless_the_server_says_how_long() {
        let away = Error::Unreachable(String::new());
        let mut last = None;
        for millis in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let next = pause(&away, last);
            assert_eq!(next, Duration::from_millis(millis));
            last = Some(next);
        }
        let wait = |seconds| {
            let retry_after = Duration::from_secs(seconds);
            pause(&Error::TooManyRequests { retry_after }, None)
        };
        assert_eq!(wait(7), Duration::from_secs(7));
        assert_eq!(wait(0), FIRST_RETRY);
        assert_eq!(wait(1_000_000), LONGEST_WAIT);
    }
}
