//! Verification in process with a million keys loaded: a managed key, an access token seen for the
//! first time, the same token again. `cargo bench -p sealgate-core`

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgate_core::authority::{Authority, Credential, Settings};
use sealgate_core::clock::{Clock, ManualClock, Timestamp};
use sealgate_core::key::{
    Environment, KeyHasher, KeyId, KeyRecord, KeyState, PresentedKey, Salt, generate,
};
use sealgate_core::master::MasterKey;
use sealgate_core::network::AllowList;
use sealgate_core::permission::{Permission, Permissions};
use sealgate_core::random::{SeededRandom, array, uuid};
use sealgate_core::secret::Secret;
use sealgate_store::{Sqlite, SqliteOptions};
use sealgate_token::jwt::{Claims, issue_hs256};

const KEYS: usize = 1_000_000;
const CACHE: usize = 100_000;
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Loaded {
    authority: Authority,
    /// The text of each key, and a token of it.
    credentials: Vec<(String, String)>,
    /// Keeps the store's folder.
    _folder: tempfile::TempDir,
}

fn load(token_cache: usize) -> Loaded {
    let random = Arc::new(SeededRandom::new(1));
    let clock = Arc::new(ManualClock::at(NOW));
    let master = MasterKey::new(Secret::new([7; 32]));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = SqliteOptions {
        path: folder.path().join("bench.db"),
        create: true,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let store = runtime.expect("a runtime").block_on(Sqlite::open(
        options,
        &master,
        random.clone(),
        Arc::clone(&clock) as Arc<dyn Clock>,
    ));
    let settings = Settings {
        token_cache,
        ..Settings::default()
    };
    let store = Arc::new(store.expect("a store"));
    let authority = Authority::new(store, clock, random.clone(), &master, settings);
    let hasher = KeyHasher::new(&master.pepper());
    let permissions = Permissions::parse("api:read api:write").expect("well-formed");
    let credentials = (0..KEYS)
        .map(|_| {
            let (record, text) = key(&random, &hasher, &permissions);
            authority.keyring().apply(&record);
            (text, token(&random, &record))
        })
        .collect();
    Loaded {
        authority,
        credentials,
        _folder: folder,
    }
}

fn key(
    random: &SeededRandom,
    hasher: &KeyHasher,
    permissions: &Permissions,
) -> (KeyRecord, String) {
    let text = generate(random).expose().to_owned();
    let presented = PresentedKey::parse(&text).expect("well-formed");
    let (salt, id) = (Salt(array(random)), KeyId(uuid(random, NOW)));
    let record = KeyRecord {
        id,
        prefix: presented.prefix(),
        salt,
        hash: hasher.hash(&presented, &salt),
        token_secret: Secret::random(random),
        name: "one of a million".to_owned(),
        description: String::new(),
        permissions: permissions.clone(),
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

fn token(random: &SeededRandom, record: &KeyRecord) -> String {
    let claims = Claims {
        iss: "sealgate".to_owned(),
        sub: record.id.0,
        prefix: record.prefix.to_string(),
        permissions: record.permissions.as_str().to_owned(),
        is_admin: false,
        iat: NOW.as_seconds(),
        exp: NOW.as_seconds() + 3_600,
        auth_time: NOW.as_seconds(),
        jti: uuid(random, NOW),
    };
    issue_hs256(&claims, record.token_secret.expose()).expect("a token")
}

fn verify(authority: &Authority, credential: Credential<'_>) {
    let identity = authority
        .verify(credential, HERE, NOW)
        .expect("a good credential");
    identity.require(Permission::READ).expect("it may read");
    black_box(identity);
}

/// Draws credentials from the first `among` keys, in an order that no cache foresees.
fn draws(loaded: &Loaded, among: usize) -> impl Iterator<Item = &(String, String)> {
    let mut state = 1_usize;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        &loaded.credentials[(state >> 33) % among]
    })
}

fn verification(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a million keys");
    let hasher = KeyHasher::new(&Secret::new([9; 32]));
    let text = generate(&SeededRandom::new(9)).expose().to_owned();
    let key = PresentedKey::parse(&text).expect("well-formed");
    group.bench_function("reference: HMAC-SHA-256 of salt and key", |bencher| {
        bencher.iter(|| hasher.hash(black_box(&key), &Salt([1; 16])));
    });
    let loaded = load(0);
    for among in [1_000, KEYS] {
        let mut drawn = draws(&loaded, among);
        group.bench_function(format!("managed key, drawn from {among}"), |bencher| {
            bencher.iter(|| {
                let (key, _) = drawn.next().expect("endless");
                verify(&loaded.authority, Credential::Key(black_box(key)));
            });
        });
        let mut drawn = draws(&loaded, among);
        group.bench_function(
            format!("access token, first time, drawn from {among}"),
            |bencher| {
                bencher.iter(|| {
                    let (_, token) = drawn.next().expect("endless");
                    verify(&loaded.authority, Credential::Bearer(black_box(token)));
                });
            },
        );
    }
    drop(loaded);
    let loaded = load(CACHE);
    let mut drawn = draws(&loaded, 1_000);
    group.bench_function(
        "access token, verified before, drawn from 1000",
        |bencher| {
            bencher.iter(|| {
                let (_, token) = drawn.next().expect("endless");
                verify(&loaded.authority, Credential::Bearer(black_box(token)));
            });
        },
    );
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
