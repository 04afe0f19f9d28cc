//! What a million keys cost in memory. Alone in its file: nothing else may grow the process.

use sealgate_core::clock::Timestamp;
use sealgate_core::key::{Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt};
use sealgate_core::keyring::Keyring;
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::random::{SeededRandom, array, uuid};
use sealgate_core::secret::Secret;

const KEYS: usize = 1_000_000;
const ALLOWED_BYTES_A_KEY: usize = 160;

#[test]
fn a_million_keys_take_at_most_160_bytes_each() {
    let random = SeededRandom::new(1);
    let ring = Keyring::default();
    let permissions = ["api:read", "api:read api:write", "billing:*"]
        .map(|text| Permissions::parse(text).unwrap());
    ring.apply(&record(&random, &permissions[0]));

    let before = resident_bytes();
    for n in 1..KEYS {
        ring.apply(&record(&random, &permissions[n % permissions.len()]));
    }
    let each = (resident_bytes() - before) / KEYS;

    assert_eq!(ring.len(), KEYS);
    println!("{each} bytes a key");
    assert!(each <= ALLOWED_BYTES_A_KEY, "{each} bytes a key");
}

fn record(random: &SeededRandom, permissions: &Permissions) -> KeyRecord {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let created_at = Timestamp::from_seconds(1_700_000_000);
    let id = KeyId(uuid(random, created_at));
    let prefix: [u8; 8] = array::<8>(random).map(|byte| ALPHABET[usize::from(byte) % 32]);
    KeyRecord {
        id,
        prefix: KeyPrefix::parse(std::str::from_utf8(&prefix).expect("well-formed"))
            .expect("well-formed"),
        salt: Salt(array(random)),
        hash: KeyHash::new(array(random)),
        token_secret: Secret::random(random),
        name: "one of a million".to_owned(),
        description: String::new(),
        permissions: permissions.clone(),
        is_admin: false,
        environment: Environment::Production,
        rate_limit: None,
        allowed_ips: AllowList::default(),
        state: KeyState::Active,
        created_at,
        expires_at: None,
        rotated_from: None,
        lineage: id,
        last_used_at: None,
        use_count: 0,
        version: 1,
    }
}

/// What the process holds in memory, by the kernel's account.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS is told");
    let kibibytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<usize>().ok());
    kibibytes.expect("VmRSS is a number") * 1024
}
