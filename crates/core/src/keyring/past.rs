//! What must not come back: which reads of the store are too old to be believed. Versions cannot tell
//! where rows were damaged, or where the whole store was put back to an earlier state.

use std::collections::HashMap;

use uuid::Uuid;

/// When the store was asked, as the keyring counts: taken before the question, and handed in with
/// the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Counts moments; a new one begins when something must not come back.
#[derive(Debug, Default)]
pub(super) struct Past {
    now: Moment,
    forgotten_at: Moment,
    condemned: HashMap<Uuid, Moment>,
    is_complete: bool,
}

impl Past {
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// Whether an answer is of a store that was replaced since.
    pub fn has_forgotten(&self, as_of: Moment) -> bool {
        as_of < self.forgotten_at
    }

    /// From when on a copy of a key is believed, if the key is condemned.
    pub fn condemned_at(&self, id: Uuid) -> Option<Moment> {
        self.condemned.get(&id).copied()
    }

    /// Says whether the key was not condemned already.
    pub fn condemn(&mut self, id: Uuid) -> bool {
        self.now.0 += 1;
        self.condemned.insert(id, self.now).is_none()
    }

    pub fn acquit(&mut self, id: Uuid) {
        self.condemned.remove(&id);
    }

    pub fn forget(&mut self) {
        self.now.0 += 1;
        *self = Self {
            now: self.now,
            forgotten_at: self.now,
            ..Self::default()
        };
    }

    /// Every key was read after this moment, and nothing was forgotten since.
    pub fn complete(&mut self, as_of: Moment) {
        self.is_complete |= !self.has_forgotten(as_of);
    }

    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }
}
