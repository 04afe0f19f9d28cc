//! For the operator's monitoring. None of these says anything of keys or callers.

pub(super) mod health;
pub(super) mod metrics;
pub(super) mod ready;
