//! What Sealgate publishes, kept fresh in the background: the keys of tokens, and the list of what was
//! revoked.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sealgate_token::jwt::{KeySet, MAX_KEY_SET_BYTES};
use sealgate_token::paseto::SessionKeySet;
use sealgate_token::revocations::{InvalidList, MAX_LIST_BYTES, RevocationList};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::VerifierOptions;
use super::judge::{Confirmed, Keys, Known};
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::sealgate::{Answer, Question, Sealgate};

const ACCESS_KEYS: &str = "/.well-known/jwks.json";
const SESSION_KEYS: &str = "/.well-known/paseto-keys.json";
const REVOCATIONS: &str = "/.well-known/sealgate-revocations";

/// The least time from one fetch of the keys to the next. Anybody can send tokens with made-up key ids,
/// and must not thereby have us flood the server; a good token of a new key waits no longer than this.
const KEY_FETCH_PAUSE: Duration = Duration::from_secs(5);
/// The least time for which keys are kept, whatever the server says.
const MIN_KEY_REFRESH: Duration = Duration::from_secs(30);
/// Bounds of the pause between two questions for the list, whatever the server says.
const MIN_LIST_PAUSE: Duration = Duration::from_millis(500);
/// The first pause after something could not be fetched. It doubles up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// What Sealgate publishes.
pub(super) struct Published {
    sealgate: Sealgate,
    issuer: String,
    has_sessions: bool,
    max_staleness: Duration,
    key_refresh: Duration,
    clock: Arc<dyn Clock>,
    known: watch::Sender<Known>,
    attempts: watch::Sender<Attempts>,
    wanted: Notify,
}

/// The fetches of keys so far.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    last_began: Option<Moment>,
    is_under_way: bool,
    finished: u64,
}

impl Published {
    pub fn new(sealgate: Sealgate, options: &VerifierOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            sealgate,
            issuer: options.issuer.clone(),
            has_sessions: options.sessions.is_some(),
            max_staleness: options.max_staleness,
            key_refresh: options.key_refresh,
            clock,
            known: watch::Sender::default(),
            attempts: watch::Sender::default(),
            wanted: Notify::new(),
        }
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Waits until keys and list have come.
    pub async fn ready(&self) {
        let mut known = self.known.subscribe();
        let is_ready = |known: &Known| known.keys.is_some() && known.revocations.is_some();
        // The sender is this, and outlives the wait.
        let _ = known.wait_for(is_ready).await;
    }

    /// Has the keys fetched anew, and waits for them; or does nothing, if they have only just been. Many
    /// at once share one fetch.
    pub async fn refetch_keys(&self) {
        let mut attempts = self.attempts.subscribe();
        let Attempts {
            last_began,
            is_under_way,
            finished,
        } = *attempts.borrow_and_update();
        let is_recent = |began| self.clock.now().since(began) < KEY_FETCH_PAUSE;
        if !is_under_way {
            if last_began.is_some_and(is_recent) {
                return;
            }
            self.wanted.notify_one();
        }
        // Two questions, one after the other.
        let patience = 2 * self.sealgate.timeout();
        let _ = timeout(patience, attempts.wait_for(|now| now.finished > finished)).await;
    }

    /// Fetches the keys again and again, and when somebody wants them.
    pub async fn keep_keys(self: Arc<Self>) {
        let mut trouble = Trouble::new("keys");
        loop {
            let began = self.clock.now();
            self.attempts.send_modify(|attempts| {
                attempts.last_began = Some(began);
                attempts.is_under_way = true;
            });
            let fetched = self.fetch_keys(began).await;
            self.attempts.send_modify(|attempts| {
                attempts.is_under_way = false;
                attempts.finished += 1;
            });
            let pause = match fetched {
                Ok(max_age) => {
                    trouble.is_over();
                    let refresh = max_age.unwrap_or(self.key_refresh).max(MIN_KEY_REFRESH);
                    refresh.min(self.key_refresh)
                }
                Err(error) => trouble.pause(&error),
            };
            self.wait(pause, began).await;
        }
    }

    /// Waits for a time, or until somebody wants the keys. A wish from before the last fetch is granted
    /// already.
    async fn wait(&self, pause: Duration, began: Moment) {
        let wish = async {
            loop {
                self.wanted.notified().await;
                if self.clock.now().since(began) >= KEY_FETCH_PAUSE {
                    return;
                }
            }
        };
        let _ = timeout(pause, wish).await;
    }

    /// Fetches the keys; gives for how long the server says they can be kept.
    async fn fetch_keys(&self, asked_at: Moment) -> Result<Option<Duration>, Error> {
        let answer = self.fetch(ACCESS_KEYS, MAX_KEY_SET_BYTES).await?;
        let access = KeySet::parse(text_of(&answer)?).map_err(unusable)?;
        let sessions = if self.has_sessions {
            let answer = self.fetch(SESSION_KEYS, MAX_KEY_SET_BYTES).await?;
            SessionKeySet::parse(text_of(&answer)?).map_err(unusable)?
        } else {
            SessionKeySet::default()
        };
        let keys = Arc::new(Keys {
            access,
            sessions,
            asked_at,
        });
        self.known.send_modify(|known| known.keys = Some(keys));
        Ok(max_age(&answer.headers))
    }

    async fn fetch(&self, path: &str, limit: usize) -> Result<Answer, Error> {
        let question = Question {
            method: Method::GET,
            path,
            headers: HeaderMap::new(),
            limit,
        };
        let answer = self.sealgate.ask(&question).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            status => Err(unusable(format!("{path} has status {}", status.as_u16()))),
        }
    }

    /// Fetches the list again and again.
    pub async fn keep_list(self: Arc<Self>) {
        let mut trouble = Trouble::new("revocations");
        loop {
            let pause = match self.fetch_list().await {
                Ok(ttl) => {
                    trouble.is_over();
                    ttl.min(self.max_staleness / 2).max(MIN_LIST_PAUSE)
                }
                Err(error) => trouble.pause(&error),
            };
            sleep(pause).await;
        }
    }

    /// Asks for the list; gives after how long to ask again.
    async fn fetch_list(&self) -> Result<Duration, Error> {
        if self.known.borrow().keys.is_none() {
            self.refetch_keys().await;
        }
        let had = self.known.borrow().revocations.clone();
        let asked_at = self.clock.now();
        // Of a list that is over it is no use to hear that it has not changed.
        let current = had
            .as_ref()
            .filter(|had| !had.list.is_expired(asked_at.unix_seconds()));
        let etag = current.and_then(|had| had.etag.clone());
        let question = Question {
            method: Method::GET,
            path: REVOCATIONS,
            headers: etag.into_iter().map(|etag| (IF_NONE_MATCH, etag)).collect(),
            limit: MAX_LIST_BYTES,
        };
        let answer = self.sealgate.ask(&question).await?;
        let confirmed = match (answer.status, had) {
            (StatusCode::NOT_MODIFIED, Some(had)) => Confirmed { asked_at, ..had },
            (StatusCode::OK, had) => {
                let list = self.read_list(&answer).await?;
                Confirmed::after(had, list, answer.headers.get(ETAG).cloned(), asked_at)
            }
            (status, _) => {
                let status = status.as_u16();
                return Err(unusable(format!("{REVOCATIONS} has status {status}")));
            }
        };
        let ttl = Duration::from_secs(confirmed.list.ttl_seconds().into());
        self.known
            .send_modify(|known| known.revocations = Some(confirmed));
        Ok(ttl)
    }

    /// Reads a list. If a key signed it that is not known, the keys have changed.
    async fn read_list(&self, answer: &Answer) -> Result<RevocationList, Error> {
        match self.verify_list(answer).await? {
            Err(InvalidList::UnknownSigner { .. }) => {
                self.refetch_keys().await;
                self.verify_list(answer).await?.map_err(unusable)
            }
            read => read.map_err(unusable),
        }
    }

    /// Verifies a list on a thread of its own: a long one takes a while.
    async fn verify_list(
        &self,
        answer: &Answer,
    ) -> Result<Result<RevocationList, InvalidList>, Error> {
        let Some(keys) = self.known.borrow().keys.clone() else {
            return Err(unusable("there are no keys yet to verify the list with"));
        };
        let (body, issuer) = (answer.body.clone(), self.issuer.clone());
        let now = self.clock.now().unix_seconds();
        let reading = tokio::task::spawn_blocking(move || {
            let text = str::from_utf8(&body).map_err(|_| unusable("the list is not text"))?;
            Ok(RevocationList::verify(text, &keys.access, &issuer, now))
        });
        reading.await.map_err(unusable)?
    }
}

fn text_of(answer: &Answer) -> Result<&str, Error> {
    str::from_utf8(&answer.body).map_err(|_| unusable("it is not text"))
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Answer(error.to_string())
}

/// RFC 9111 section 5.2.2.1.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    values
        .filter_map(|value| HeaderValue::to_str(value).ok())
        .flat_map(|value| value.split(','))
        .find_map(|directive| directive.trim().strip_prefix("max-age="))
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
}

/// Something that cannot be fetched: it is tried again, and the log hears of it once.
struct Trouble {
    what: &'static str,
    failures: u32,
}

impl Trouble {
    const fn new(what: &'static str) -> Self {
        Self { what, failures: 0 }
    }

    /// How long to wait before the next try.
    fn pause(&mut self, error: &Error) -> Duration {
        let what = self.what;
        if self.failures == 0 {
            tracing::warn!(%error, "cannot fetch the {what}; trying on");
        } else {
            tracing::debug!(%error, "cannot fetch the {what} yet");
        }
        let pause = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        pause.min(LAST_RETRY)
    }

    fn is_over(&mut self) {
        if self.failures > 0 {
            tracing::info!("the {} come again", self.what);
        }
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_keys_can_be_kept_is_read_from_among_other_directives() {
        let age = |text: &str| {
            let value = HeaderValue::from_str(text).unwrap();
            max_age(&HeaderMap::from_iter([(CACHE_CONTROL, value)]))
        };
        assert_eq!(age("public, max-age=300"), Some(Duration::from_mins(5)));
        assert_eq!(age("no-store"), None);
        assert_eq!(age("max-age=soon"), None);
    }

    #[test]
    fn the_pause_between_tries_grows_to_a_bound() {
        let mut trouble = Trouble::new("keys");
        let error = unusable("gone");
        let pauses: Vec<_> = (0..40).map(|_| trouble.pause(&error).as_millis()).collect();
        assert_eq!(pauses[..5], [250, 500, 1_000, 2_000, 2_000]);
        assert_eq!(pauses[39], 2_000);
        trouble.is_over();
        assert_eq!(trouble.pause(&error).as_millis(), 250);
    }
}
