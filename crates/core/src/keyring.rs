//! The keyring: what verification needs of every key, in memory, so that it asks no disk.
//!
//! Copies of a key arrive from several sides (the change feed, a look-up after a miss, this process's
//! own changes) and in any order. Each carries the version of its row, and the highest wins: a
//! look-up that read a key just before it was revoked cannot bring it back. The feed's follower puts
//! in every key it reads, known or not, so that there is always a version to lose against.
//!
//! At most 160 bytes a key: a slot of 128, and two index entries of a `u32` and a byte each.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::key::{
    Environment, KeyHash, KeyHasher, KeyId, KeyPrefix, KeyRecord, PresentedKey, Salt, Status,
};
use crate::network::AllowList;
use crate::permission::Permissions;
use crate::secret::Secret;

/// A power of two: so many locks share the readers of each half of the keyring.
const SHARDS: usize = 64;
/// Slots are allocated so many at a time, so that growth copies nothing and wastes little.
const CHUNK: usize = 256;

/// What every key may do, and from where: shared by the keys for which it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// What the key may do.
    pub permissions: Permissions,
    /// Whether it administers Sealgate.
    pub is_admin: bool,
    /// The stage it belongs to.
    pub environment: Environment,
    /// Requests an hour; no limit if absent.
    pub rate_limit: Option<u32>,
    /// Where it may be used from.
    pub allowed_ips: AllowList,
}

impl Profile {
    fn of(record: &KeyRecord) -> Self {
        Self {
            permissions: record.permissions.clone(),
            is_admin: record.is_admin,
            environment: record.environment,
            rate_limit: record.rate_limit,
            allowed_ips: record.allowed_ips.clone(),
        }
    }
}

/// A key the keyring holds, as far as verification cares.
#[derive(Clone, Debug)]
pub struct Held {
    /// The key.
    pub key_id: KeyId,
    /// Its visible prefix.
    pub prefix: KeyPrefix,
    /// Its state as recorded.
    pub status: Status,
    /// Until when it is honoured.
    pub honoured_until: Timestamp,
    /// What it may do, and from where.
    pub profile: Arc<Profile>,
}

impl Held {
    /// The state at a moment: what is recorded as active may have expired since.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> Status {
        match self.status {
            Status::Active if now >= self.honoured_until => Status::Expired,
            status => status,
        }
    }

    /// Whether the key is honoured at a moment: active, or rotated and in its grace.
    #[must_use]
    pub fn is_honoured(&self, now: Timestamp) -> bool {
        now < self.honoured_until
    }

    /// Whether the key may be used from an address.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.profile.allowed_ips.allows(address)
    }
}

/// What came of looking a presented key up.
#[derive(Debug)]
pub enum Lookup {
    /// It is this one.
    Found(Held),
    /// Its prefix is this key's, but it is another key.
    Wrong(KeyId),
    /// No key here has its prefix.
    Unknown,
}

struct Slot {
    id: Uuid,
    prefix: KeyPrefix,
    salt: Salt,
    hash: KeyHash,
    token_secret: Secret<32>,
    honoured_until: Timestamp,
    profile: Arc<Profile>,
    version: u32,
    status: Status,
}

impl Slot {
    fn held(&self) -> Held {
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
struct Slots {
    chunks: Vec<Vec<Slot>>,
    by_id: HashTable<u32>,
}

impl Slots {
    fn at(&self, place: u32) -> &Slot {
        let place = place as usize;
        &self.chunks[place / CHUNK][place % CHUNK]
    }

    fn place_of(&self, id: Uuid) -> Option<u32> {
        self.by_id
            .find(hash_id(id), |place| self.at(*place).id == id)
            .copied()
    }

    fn push(&mut self, slot: Slot) -> u32 {
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
}

/// Where a slot is: its shard in the lowest bits, its place there in the others.
type Address = u32;

/// Every key, ready for verification.
pub struct Keyring {
    slots: [RwLock<Slots>; SHARDS],
    /// Locked before `slots`, never after.
    by_prefix: [RwLock<HashTable<Address>>; SHARDS],
    profiles: Mutex<HashSet<Arc<Profile>>>,
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            slots: std::array::from_fn(|_| RwLock::default()),
            by_prefix: std::array::from_fn(|_| RwLock::default()),
            profiles: Mutex::default(),
        }
    }
}

impl Keyring {
    /// Takes a copy of a key, unless a newer one is here.
    pub fn apply(&self, record: &KeyRecord) {
        let slot = Slot {
            id: record.id.0,
            prefix: record.prefix,
            salt: record.salt,
            hash: record.hash,
            token_secret: record.token_secret.clone(),
            honoured_until: record.honoured_until(),
            profile: self.intern(Profile::of(record)),
            version: record.version,
            status: record.state.status(),
        };
        let (prefix, shard) = (slot.prefix, shard_of(hash_id(slot.id)));
        let place = {
            let mut slots = write(&self.slots[shard]);
            if let Some(place) = slots.place_of(slot.id) {
                let place = place as usize;
                let known = &mut slots.chunks[place / CHUNK][place % CHUNK];
                if slot.version > known.version {
                    *known = slot;
                }
                return;
            }
            slots.push(slot)
        };
        let address = (place << SHARDS.trailing_zeros()) | u32::try_from(shard).unwrap_or(0);
        let hash = hash_prefix(prefix);
        write(&self.by_prefix[shard_of(hash)]).insert_unique(hash, address, |known| {
            hash_prefix(self.slot(*known, |slot| slot.prefix))
        });
    }

    /// Looks a presented key up; every key with its prefix is tried, each in constant time.
    #[must_use]
    pub fn look_up(&self, key: &PresentedKey<'_>, hasher: &KeyHasher) -> Lookup {
        let hash = hash_prefix(key.prefix());
        let mut result = Lookup::Unknown;
        let addresses = read(&self.by_prefix[shard_of(hash)]);
        for address in addresses.iter_hash(hash) {
            let candidate = self.slot(*address, |slot| {
                (slot.prefix == key.prefix()).then(|| {
                    let is_it = hasher.hash(key, &slot.salt) == slot.hash;
                    (KeyId(slot.id), is_it.then(|| slot.held()))
                })
            });
            match (candidate, &result) {
                (Some((_, Some(held))), _) => result = Lookup::Found(held),
                (Some((id, None)), Lookup::Unknown) => result = Lookup::Wrong(id),
                _ => {}
            }
        }
        result
    }

    /// A key by its identifier, and what `read` makes of the secret of its access tokens.
    pub fn with_token_secret<T>(
        &self,
        id: KeyId,
        read_secret: impl FnOnce(&Secret<32>) -> T,
    ) -> Option<(Held, T)> {
        let slots = read(&self.slots[shard_of(hash_id(id.0))]);
        let slot = slots.at(slots.place_of(id.0)?);
        Some((slot.held(), read_secret(&slot.token_secret)))
    }

    /// A key by its identifier.
    #[must_use]
    pub fn held(&self, id: KeyId) -> Option<Held> {
        self.with_token_secret(id, |_| ()).map(|(held, ())| held)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().map(|slots| read(slots).by_id.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn slot<T>(&self, address: Address, read_slot: impl FnOnce(&Slot) -> T) -> T {
        let shard = address as usize % SHARDS;
        read_slot(read(&self.slots[shard]).at(address >> SHARDS.trailing_zeros()))
    }

    fn intern(&self, profile: Profile) -> Arc<Profile> {
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if profiles.len() == profiles.capacity() {
            profiles.retain(|profile| Arc::strong_count(profile) > 1);
        }
        if let Some(known) = profiles.get(&profile) {
            return Arc::clone(known);
        }
        let profile = Arc::new(profile);
        profiles.insert(Arc::clone(&profile));
        profile
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.len())
    }
}

const fn shard_of(hash: u64) -> usize {
    // The table itself uses the lowest and the highest bits.
    (hash >> 32) as usize % SHARDS
}

const fn hash_id(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    mix(high ^ low.rotate_left(32))
}

const fn hash_prefix(prefix: KeyPrefix) -> u64 {
    mix(prefix.as_u64())
}

/// Spreads what is random already (identifiers, prefixes) over all bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both halves of the product are kept"
)]
const fn mix(value: u64) -> u64 {
    let product = (value ^ 0x9E37_79B9_7F4A_7C15) as u128 * 0xD6E8_FEB8_6659_FD93;
    (product >> 64) as u64 ^ product as u64
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyState, generate};
    use crate::random::{SeededRandom, array, uuid};
    use crate::secret::SecretText;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn hasher() -> KeyHasher {
        KeyHasher::new(&Secret::new([3; 32]))
    }

    fn key(random: &SeededRandom) -> (KeyRecord, SecretText) {
        key_from(random, generate(random))
    }

    fn key_from(random: &SeededRandom, text: SecretText) -> (KeyRecord, SecretText) {
        let presented = PresentedKey::parse(text.expose()).unwrap();
        let salt = Salt(array(random));
        let id = KeyId(uuid(random, NOW));
        let record = KeyRecord {
            id,
            prefix: presented.prefix(),
            salt,
            hash: hasher().hash(&presented, &salt),
            token_secret: Secret::random(random),
            name: "k".into(),
            description: String::new(),
            permissions: Permissions::parse("api:read").unwrap(),
            is_admin: false,
            environment: Environment::Production,
            rate_limit: None,
            allowed_ips: AllowList::default(),
            state: KeyState::Active,
            created_at: NOW,
            expires_at: None,
            rotated_from: None,
            lineage: id,
            last_used_at: None,
            use_count: 0,
            version: 1,
        };
        (record, text)
    }

    fn look_up(ring: &Keyring, text: &SecretText) -> Lookup {
        ring.look_up(&PresentedKey::parse(text.expose()).unwrap(), &hasher())
    }

    #[test]
    fn each_of_many_keys_is_found_by_key_and_by_identifier() {
        let (random, ring) = (SeededRandom::new(1), Keyring::default());
        let keys: Vec<_> = (0..5_000).map(|_| key(&random)).collect();
        for (record, _) in &keys {
            ring.apply(record);
        }
        assert_eq!(ring.len(), 5_000);
        for (record, text) in &keys {
            assert!(
                matches!(look_up(&ring, text), Lookup::Found(held) if held.key_id == record.id)
            );
            let (_, secret) = ring.with_token_secret(record.id, Secret::clone).unwrap();
            assert_eq!(secret, record.token_secret);
        }
        assert!(matches!(look_up(&ring, &key(&random).1), Lookup::Unknown));
    }

    #[test]
    fn keys_with_the_same_prefix_are_told_apart() {
        let (random, ring) = (SeededRandom::new(2), Keyring::default());
        let original =
            |fill: &str| SecretText::new(format!("abcdefgh.abcdefgh{}", fill.repeat(48)));
        let (a, a_text) = key_from(&random, original("a"));
        let (b, b_text) = key_from(&random, original("b"));
        ring.apply(&a);
        ring.apply(&b);
        assert!(matches!(look_up(&ring, &a_text), Lookup::Found(held) if held.key_id == a.id));
        assert!(matches!(look_up(&ring, &b_text), Lookup::Found(held) if held.key_id == b.id));
        assert!(matches!(look_up(&ring, &original("c")), Lookup::Wrong(_)));
    }

    #[test]
    fn an_older_copy_never_replaces_a_newer_one_in_whatever_order_they_come() {
        let (random, ring) = (SeededRandom::new(3), Keyring::default());
        let (read_before_revoke, text) = key(&random);
        let mut revoked = read_before_revoke.clone().revoke(NOW, None).unwrap();
        revoked.version = 2;
        for copies in [
            [&read_before_revoke, &revoked],
            [&revoked, &read_before_revoke],
        ] {
            for copy in copies {
                ring.apply(copy);
            }
            let Lookup::Found(held) = look_up(&ring, &text) else {
                panic!("lost")
            };
            assert_eq!(held.status_at(NOW), Status::Revoked);
            assert!(!held.is_honoured(NOW));
        }
    }

    #[test]
    fn keys_that_may_do_the_same_share_one_profile_and_unused_ones_are_dropped() {
        let (random, ring) = (SeededRandom::new(4), Keyring::default());
        let (mut record, _) = key(&random);
        for version in 1..1_000 {
            record.version = version;
            record.permissions = Permissions::parse(&format!("api:{version}")).unwrap();
            ring.apply(&record);
        }
        assert!(ring.profiles.lock().unwrap().len() < 100);
        for _ in 0..100 {
            ring.apply(&key(&random).0);
        }
        let mut shared = ring.profiles.lock().unwrap();
        shared.retain(|profile| Arc::strong_count(profile) > 1);
        assert_eq!(shared.len(), 2);
    }

    #[test]
    fn a_slot_fits_in_two_cache_lines() {
        assert!(size_of::<Slot>() <= 128);
    }
}
