//! Where keys lie in memory: in chunks, found by their identifiers.

use std::sync::Arc;

use hashbrown::HashTable;
use uuid::Uuid;

use super::{Held, Profile, hash_id};
use crate::clock::Timestamp;
use crate::key::{KeyHash, KeyId, KeyPrefix, Salt, Status};
use crate::secret::Secret;

/// Slots are allocated so many at a time, so that growth copies nothing and wastes little.
const CHUNK: usize = 512;

/// A key in the keyring: two cache lines, and no third.
#[repr(align(64))]
pub(super) struct Slot {
    pub id: Uuid,
    pub prefix: KeyPrefix,
    pub salt: Salt,
    pub hash: KeyHash,
    pub token_secret: Secret<32>,
    pub honoured_until: Timestamp,
    pub profile: Arc<Profile>,
    pub version: u32,
    pub status: Status,
}

impl Slot {
    pub fn held(&self) -> Held {
        Held {
            key_id: KeyId(self.id),
            prefix: self.prefix,
            status: self.status,
            honoured_until: self.honoured_until,
            profile: Arc::clone(&self.profile),
        }
    }
}

/// Slots of one shard, with their index by identifier.
#[derive(Default)]
pub(super) struct Slots {
    chunks: Vec<Vec<Slot>>,
    by_id: HashTable<u32>,
}

impl Slots {
    pub fn at(&self, place: u32) -> &Slot {
        let place = place as usize;
        &self.chunks[place / CHUNK][place % CHUNK]
    }

    pub fn place_of(&self, id: Uuid) -> Option<u32> {
        self.by_id
            .find(hash_id(id), |place| self.at(*place).id == id)
            .copied()
    }

    pub fn find_mut(&mut self, id: Uuid) -> Option<&mut Slot> {
        let place = self.place_of(id)? as usize;
        Some(&mut self.chunks[place / CHUNK][place % CHUNK])
    }

    pub fn push(&mut self, slot: Slot) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let hash = hash_id(slot.id);
        let chunk = self
            .chunks
            .last_mut()
            .expect("a chunk was just made sure of");
        let place = u32::try_from(full + chunk.len()).expect("a shard has under 2³² keys");
        chunk.push(slot);
        let Self { chunks, by_id } = self;
        by_id.insert_unique(hash, place, |place| {
            let place = *place as usize;
            hash_id(chunks[place / CHUNK][place % CHUNK].id)
        });
        place
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }
}
