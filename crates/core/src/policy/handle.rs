//! The policy that is in force, and how it is replaced while requests are judged by it.

use std::sync::{Arc, PoisonError, RwLock};

use super::Policy;

/// The policy that is in force; all clones of it share one.
#[derive(Clone, Debug, Default)]
pub struct PolicyHandle(Arc<RwLock<Arc<Policy>>>);

impl PolicyHandle {
    /// One that begins with a policy.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }

    /// The policy that is in force now. A request is judged by one from beginning to end.
    pub fn current(&self) -> Arc<Policy> {
        let policy = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&policy)
    }

    /// Puts another policy in force.
    pub fn replace(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rule, RuleDraft};
    use super::*;

    #[test]
    fn a_policy_that_is_replaced_stays_for_those_who_hold_it() {
        let handle = PolicyHandle::default();
        let (held, other) = (handle.current(), handle.clone());
        let rule = Rule::new(&RuleDraft {
            path: "/*".to_owned(),
            ..RuleDraft::default()
        });
        let policy = Policy::new(crate::key::Environment::Production, vec![rule.unwrap()]);
        other.replace(policy.unwrap());
        assert!(held.is_empty());
        assert!(!handle.current().is_empty());
    }
}
