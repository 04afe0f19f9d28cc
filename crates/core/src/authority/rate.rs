//! Rate limits of keys that have one: the generic cell rate algorithm, over an hour. Keys without a
//! limit pay nothing for it.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::collections::HashMap;

use crate::clock::Clock;
use crate::error::{Denied, Reason};
use crate::key::KeyId;
use crate::keyring::Held;

/// What a key may still do under its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests an hour.
    pub limit: u32,
    /// Requests left now.
    pub remaining: u32,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Moments, StateInformationMiddleware>;

/// The limiters of the keys that were used and have a limit.
#[derive(Debug)]
pub(super) struct RateLimits {
    clock: Moments,
    limiters: Mutex<HashMap<KeyId, (u32, Arc<Limiter>)>>,
}

impl RateLimits {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock: Moments(clock),
            limiters: Mutex::default(),
        }
    }

    /// Takes one request off what the key may do; nothing for a key without a limit.
    pub(super) fn spend(&self, held: &Held) -> Result<Option<Allowance>, Denied> {
        let Some(limit) = held.profile.rate_limit.and_then(NonZeroU32::new) else {
            return Ok(None);
        };
        match self.limiter(held.key_id, limit).check() {
            Ok(state) => Ok(Some(Allowance {
                limit: limit.get(),
                remaining: state.remaining_burst_capacity(),
            })),
            Err(refusal) => {
                let wait = refusal.wait_time_from(GovernorClock::now(&self.clock));
                let retry_after = Duration::from_secs(wait.as_secs() + 1);
                let reason = Reason::RateLimited {
                    limit: limit.get(),
                    retry_after,
                };
                Err(Denied {
                    reason,
                    key_id: Some(held.key_id),
                })
            }
        }
    }

    /// The key's limiter; a new one if its limit was changed.
    fn limiter(&self, key_id: KeyId, limit: NonZeroU32) -> Arc<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        match limiters.get(&key_id) {
            Some((known, limiter)) if *known == limit.get() => Arc::clone(limiter),
            _ => {
                let quota = Quota::per_hour(limit);
                let limiter = RateLimiter::direct_with_clock(quota, self.clock.clone())
                    .with_middleware::<StateInformationMiddleware>();
                let limiter = Arc::new(limiter);
                limiters.insert(key_id, (limit.get(), Arc::clone(&limiter)));
                limiter
            }
        }
    }
}

/// Our clock, as the limiter wants it.
#[derive(Clone)]
struct Moments(Arc<dyn Clock>);

impl GovernorClock for Moments {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let millis = u64::try_from(self.0.now().as_millis()).unwrap_or(0);
        Nanos::from(Duration::from_millis(millis))
    }
}

impl std::fmt::Debug for Moments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moments")
    }
}
