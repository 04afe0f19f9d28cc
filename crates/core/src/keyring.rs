//! The keyring: what verification needs of every key, in memory, so that it asks no disk.
//!
//! Copies of a key arrive from several sides (the change feed, a look-up after a miss, this process's
//! own changes) and in any order. Each carries the version of its row, and the highest wins: a
//! look-up that read a key just before it was revoked cannot bring it back. The feed's follower puts
//! in every key it reads, known or not, so that there is always a version to lose against. Where
//! versions cannot tell, the [`Moment`] at which the store was asked does.
//!
//! At most 160 bytes a key: a slot of 128, and two index entries of a `u32` and a byte each.

mod ended;
mod held;
mod past;
mod recent;
mod slots;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;
use uuid::Uuid;

use self::ended::{End, Ended};
use self::held::CONDEMNED;
pub use self::held::{Held, Profile};
pub use self::past::Moment;
use self::past::Past;
use self::recent::Recent;
use self::slots::{Slot, Slots};
use crate::clock::Timestamp;
use crate::key::{KeyHasher, KeyId, KeyPrefix, KeyRecord, PresentedKey};
use crate::secret::Secret;

/// A power of two: so many locks share the readers of each half of the keyring.
const SHARDS: usize = 64;

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

/// Where a slot is: its shard in the lowest bits, its place there in the others.
type Address = u32;

/// Every key, ready for verification.
pub struct Keyring {
    /// Locked before all others by whoever changes the keyring; no look-up takes it.
    past: RwLock<Past>,
    slots: [RwLock<Slots>; SHARDS],
    /// Locked before `slots`, never after.
    by_prefix: [RwLock<HashTable<Address>>; SHARDS],
    profiles: Mutex<HashSet<Arc<Profile>>>,
    /// Keys by the fingerprints of what was presented, where one prefix alone leads; locked last.
    presented: Recent<Held>,
    /// Keys by their identifiers, with the secrets of their access tokens; locked last.
    named: Recent<(Held, Secret<32>)>,
    /// Locked after the slots of the key that it is about.
    ended: Mutex<Ended>,
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            past: RwLock::default(),
            slots: std::array::from_fn(|_| RwLock::default()),
            by_prefix: std::array::from_fn(|_| RwLock::default()),
            profiles: Mutex::default(),
            presented: Recent::default(),
            named: Recent::default(),
            ended: Mutex::default(),
        }
    }
}

impl Keyring {
    /// The moment to hand in with what the store answers to a question asked now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        read(&self.past).now()
    }

    /// Takes a copy of a key that was read just now, unless a newer one is here.
    pub fn apply(&self, record: &KeyRecord) {
        self.apply_as_of(record, self.moment());
    }

    /// Takes a copy of a key, unless a newer one is here or it was condemned since the store was
    /// asked, or everything was forgotten since.
    pub fn apply_as_of(&self, record: &KeyRecord, as_of: Moment) {
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
        let end = End::of(record);
        let past = read(&self.past);
        if past.has_forgotten(as_of) {
            return;
        }
        if past.condemned_at(slot.id).is_none() {
            self.put(slot, end, |new, known| new > known);
        } else {
            drop(past);
            self.apply_to_condemned(slot, end, as_of);
        }
    }

    /// A copy read after the damage was found brings the key back: its row was repaired.
    fn apply_to_condemned(&self, slot: Slot, end: End, as_of: Moment) {
        let mut past = write(&self.past);
        let id = slot.id;
        let is_late = past.condemned_at(id).is_some_and(|at| as_of < at);
        if past.has_forgotten(as_of) || is_late {
            return;
        }
        if self.put(slot, end, |new, known| new >= known) {
            past.acquit(id);
        }
    }

    /// Puts a key in, over a known version if `wins` says so; says whether it did.
    fn put(&self, slot: Slot, end: End, wins: impl FnOnce(u32, u32) -> bool) -> bool {
        let (prefix, shard) = (slot.prefix, shard_of(hash_id(slot.id)));
        let place = {
            let mut slots = write(&self.slots[shard]);
            if let Some(known) = slots.find_mut(slot.id) {
                let wins = wins(slot.version, known.version);
                if wins {
                    // What came between two versions may have moved the end to and fro.
                    let is_next = slot.version <= known.version.saturating_add(1);
                    let known_until = is_next.then_some(known.honoured_until);
                    self.note_end(&slot, end, known_until);
                    self.forget_copies(known);
                    *known = slot;
                }
                return wins;
            }
            self.note_end(&slot, end, None);
            slots.push(slot)
        };
        let address = (place << SHARDS.trailing_zeros()) | u32::try_from(shard).unwrap_or(0);
        let hash = hash_prefix(prefix);
        let mut addresses = write(&self.by_prefix[shard_of(hash)]);
        addresses.insert_unique(hash, address, |known| {
            hash_prefix(self.slot(*known, |slot| slot.prefix))
        });
        // From now on the prefix leads to two keys, maybe.
        self.presented.forget(hash);
        true
    }

    /// Forgets copies of a slot that is about to change; its lock is held.
    fn forget_copies(&self, slot: &Slot) {
        self.presented.forget(hash_prefix(slot.prefix));
        self.named.forget(hash_id(slot.id));
    }

    fn note_end(&self, slot: &Slot, end: End, known_until: Option<Timestamp>) {
        let is_original = slot.version <= 1;
        lock(&self.ended).note(slot.id, end, known_until, is_original);
    }

    /// What grows whenever what [`Self::ended`] tells has changed.
    #[must_use]
    pub fn ended_generation(&self) -> u64 {
        lock(&self.ended).generation()
    }

    /// Keys that stopped, or will, before a token that they were exchanged for has expired, each with the
    /// second from which on its tokens are dead.
    #[must_use]
    pub fn ended(&self) -> Vec<(Uuid, i64)> {
        lock(&self.ended).published()
    }

    /// Forgets keys of which no token can be alive, where none lives for longer than so many seconds.
    pub fn forget_ended(&self, now: Timestamp, lifetime_seconds: i64) {
        lock(&self.ended).forget(now, lifetime_seconds);
    }

    /// Stops honouring a key, whatever its version: its row cannot be read. Says whether that is
    /// news.
    pub fn condemn(&self, id: KeyId, as_of: Moment) -> bool {
        let mut past = write(&self.past);
        if past.has_forgotten(as_of) {
            return false;
        }
        if let Some(known) = write(&self.slots[shard_of(hash_id(id.0))]).find_mut(id.0) {
            self.forget_copies(known);
            known.honoured_until = CONDEMNED;
        }
        lock(&self.ended).condemn(id.0);
        past.condemn(id.0)
    }

    /// Whether a key's row cannot be read.
    #[must_use]
    pub fn is_condemned(&self, id: KeyId) -> bool {
        read(&self.past).condemned_at(id.0).is_some()
    }

    /// Empties the keyring: the store is not the one it was filled from. What was asked before is
    /// not taken any more.
    pub fn forget_all(&self) {
        let mut past = write(&self.past);
        past.forget();
        // In this order no address is ever without its slot.
        for addresses in &self.by_prefix {
            *write(addresses) = HashTable::default();
        }
        for slots in &self.slots {
            *write(slots) = Slots::default();
        }
        self.presented.forget_all();
        self.named.forget_all();
        lock(&self.ended).forget_all();
    }

    /// Whether what the store was asked then still counts: nothing was forgotten since.
    #[must_use]
    pub fn remembers(&self, as_of: Moment) -> bool {
        !read(&self.past).has_forgotten(as_of)
    }

    /// Takes note that every key of the store was put in, the first of them asked for at `as_of`.
    pub fn complete(&self, as_of: Moment) {
        write(&self.past).complete(as_of);
    }

    /// Whether every key of the store is in it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        read(&self.past).is_complete()
    }

    /// Looks a presented key up; every key with its prefix is tried, each in constant time. Should
    /// two rows be the same key, the one that is honoured for less long counts.
    ///
    /// A key that was found so is found by its fingerprint the next time, until its row changes.
    #[must_use]
    pub fn look_up(&self, key: &PresentedKey<'_>, hasher: &KeyHasher) -> Lookup {
        let (hash, print) = (hash_prefix(key.prefix()), hasher.fingerprint(key));
        if let Some(held) = self.presented.find(hash, print, Held::clone) {
            return Lookup::Found(held);
        }
        let (mut found, mut other) = (None::<Held>, None);
        let addresses = read(&self.by_prefix[shard_of(hash)]);
        let has_prefix = |slot: &Slot| slot.prefix == key.prefix();
        let candidates = addresses
            .iter_hash(hash)
            .filter(|address| self.slot(**address, has_prefix))
            .count();
        for address in addresses.iter_hash(hash) {
            self.slot(*address, |slot| {
                if !has_prefix(slot) {
                    return;
                }
                if hasher.hash(key, &slot.salt) != slot.hash {
                    other = Some(KeyId(slot.id));
                } else if found
                    .as_ref()
                    .is_none_or(|held| slot.honoured_until < held.honoured_until)
                {
                    let held = slot.held();
                    if candidates == 1 {
                        // Before the locks are given back: neither has the row changed since, nor
                        // has another key come to share the prefix.
                        self.presented.put(hash, print, held.clone());
                    }
                    found = Some(held);
                }
            });
        }
        match (found, other) {
            (Some(held), _) => Lookup::Found(held),
            (None, Some(id)) => Lookup::Wrong(id),
            (None, None) => Lookup::Unknown,
        }
    }

    /// A key by its identifier.
    #[must_use]
    pub fn held(&self, id: KeyId) -> Option<Held> {
        self.named(id, |(held, _)| held.clone())
    }

    /// A key by its identifier, with the secret of its access tokens.
    #[must_use]
    pub fn held_with_token_secret(&self, id: KeyId) -> Option<(Held, Secret<32>)> {
        self.named(id, Clone::clone)
    }

    fn named<T>(&self, id: KeyId, take: impl Fn(&(Held, Secret<32>)) -> T) -> Option<T> {
        let (hash, name) = (hash_id(id.0), id.0.as_u128());
        if let Some(taken) = self.named.find(hash, name, &take) {
            return Some(taken);
        }
        let slots = read(&self.slots[shard_of(hash)]);
        let slot = slots.at(slots.place_of(id.0)?);
        let copy = (slot.held(), slot.token_secret.clone());
        let taken = take(&copy);
        // Before the lock is given back: nobody can have changed it since.
        self.named.put(hash, name, copy);
        Some(taken)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().map(|slots| read(slots).len()).sum()
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
        let mut profiles = lock(&self.profiles);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Environment, KeyState, Salt, Status, generate};
    use crate::network::AllowList;
    use crate::permission::Permissions;
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
            let (_, secret) = ring.held_with_token_secret(record.id).unwrap();
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
    fn a_key_of_which_versions_were_missed_is_told_of_though_its_known_end_is_no_later() {
        let (random, ring) = (SeededRandom::new(8), Keyring::default());
        let (mut record, _) = key(&random);
        record.expires_at = Some(NOW.plus_seconds(300));
        ring.apply(&record);
        // In between its expiry was put off until tomorrow, and tokens were issued that live for longer.
        let mut revoked = record.clone().revoke(NOW.plus_seconds(360), None).unwrap();
        revoked.version = 3;
        ring.apply(&revoked);
        assert_eq!(ring.ended(), [(record.id.0, NOW.as_seconds() + 360)]);
        // The next version of a key that ended when it was to end tells nothing.
        let (mut record, _) = key(&random);
        record.expires_at = Some(NOW.plus_seconds(300));
        ring.apply(&record);
        let mut revoked = record.clone().revoke(NOW.plus_seconds(360), None).unwrap();
        revoked.version = 2;
        ring.apply(&revoked);
        assert_eq!(ring.ended().len(), 1);
    }

    #[test]
    fn a_condemned_key_is_dead_whatever_its_version_until_it_is_read_again() {
        let (random, ring) = (SeededRandom::new(5), Keyring::default());
        let (mut record, text) = key(&random);
        let is_honoured = || match look_up(&ring, &text) {
            Lookup::Found(held) => held.is_honoured(NOW),
            _ => false,
        };
        let before = ring.moment();
        assert!(ring.condemn(record.id, before), "not known yet");
        ring.apply_as_of(&record, before);
        assert!(!is_honoured(), "a late copy");
        ring.apply(&record);
        assert!(is_honoured(), "read again, and readable");

        let before = ring.moment();
        assert!(ring.condemn(record.id, before));
        assert!(!ring.condemn(record.id, before), "no news");
        record.version = 9;
        ring.apply_as_of(&record, before);
        assert!(!is_honoured(), "a late copy, however new");
        record.version = 0;
        ring.apply(&record);
        assert!(!is_honoured(), "an older version");
        record.version = 1;
        ring.apply(&record);
        assert!(is_honoured(), "its row was repaired");
    }

    #[test]
    fn what_was_asked_before_everything_was_forgotten_is_not_taken() {
        let (random, ring) = (SeededRandom::new(6), Keyring::default());
        let keys: Vec<_> = (0..1_000).map(|_| key(&random)).collect();
        let before = ring.moment();
        for (record, _) in &keys {
            ring.apply(record);
        }
        ring.complete(before);
        assert!(ring.is_complete());
        ring.forget_all();
        assert!(ring.is_empty() && !ring.is_complete() && !ring.remembers(before));
        ring.apply_as_of(&keys[0].0, before);
        ring.complete(before);
        assert!(!ring.condemn(keys[0].0.id, before));
        assert!(ring.is_empty() && !ring.is_complete());
        for (record, text) in &keys {
            assert!(matches!(look_up(&ring, text), Lookup::Unknown));
            ring.apply(record);
            assert!(matches!(look_up(&ring, text), Lookup::Found(_)));
        }
    }

    #[test]
    fn a_key_that_was_found_before_is_what_its_row_is_now() {
        let (random, ring) = (SeededRandom::new(9), Keyring::default());
        let (record, text) = key(&random);
        let (other, other_text) = key(&random);
        ring.apply(&record);
        ring.apply(&other);
        let honoured = || {
            let by_key = match look_up(&ring, &text) {
                Lookup::Found(held) => held.is_honoured(NOW),
                _ => false,
            };
            let by_id = ring
                .held(record.id)
                .is_some_and(|held| held.is_honoured(NOW));
            assert!(
                matches!(look_up(&ring, &other_text), Lookup::Found(held) if held.key_id == other.id)
            );
            assert_eq!(by_key, by_id);
            by_key
        };
        assert!(honoured() && honoured());
        let mut revoked = record.clone().revoke(NOW, None).unwrap();
        revoked.version = 2;
        ring.apply(&revoked);
        assert!(!honoured() && !honoured());
        let back = KeyRecord {
            version: 3,
            ..record.clone()
        };
        ring.apply(&back);
        assert!(honoured() && honoured());
        ring.condemn(record.id, ring.moment());
        assert!(!honoured() && !honoured());
        ring.apply(&back);
        assert!(honoured() && honoured());
        ring.forget_all();
        assert!(matches!(look_up(&ring, &text), Lookup::Unknown));
        assert!(ring.held(record.id).is_none());
    }

    #[test]
    fn a_second_row_of_a_key_that_was_found_before_counts_at_once() {
        let random = SeededRandom::new(10);
        let (alive, text) = key(&random);
        let dead = KeyRecord {
            id: KeyId(uuid(&random, NOW)),
            ..alive.clone().revoke(NOW, None).unwrap()
        };
        let ring = Keyring::default();
        ring.apply(&alive);
        for _ in 0..2 {
            assert!(
                matches!(look_up(&ring, &text), Lookup::Found(held) if held.key_id == alive.id)
            );
        }
        ring.apply(&dead);
        for _ in 0..2 {
            assert!(matches!(look_up(&ring, &text), Lookup::Found(held) if held.key_id == dead.id));
        }
    }

    #[test]
    fn of_more_keys_than_there_is_room_for_each_is_found() {
        let (random, ring) = (SeededRandom::new(11), Keyring::default());
        let keys: Vec<_> = (0..20_000).map(|_| key(&random)).collect();
        for (record, _) in &keys {
            ring.apply(record);
        }
        for _ in 0..2 {
            for (record, text) in &keys {
                let Lookup::Found(held) = look_up(&ring, text) else {
                    panic!("lost")
                };
                assert_eq!(held.key_id, record.id);
                assert_eq!(ring.held(record.id).unwrap().key_id, record.id);
            }
        }
    }

    #[test]
    fn of_two_rows_of_one_key_the_dead_one_counts() {
        let random = SeededRandom::new(7);
        let (alive, text) = key(&random);
        let dead = KeyRecord {
            id: KeyId(uuid(&random, NOW)),
            ..alive.clone().revoke(NOW, None).unwrap()
        };
        for rows in [[&alive, &dead], [&dead, &alive]] {
            let ring = Keyring::default();
            for row in rows {
                ring.apply(row);
            }
            assert!(matches!(look_up(&ring, &text), Lookup::Found(held) if held.key_id == dead.id));
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
