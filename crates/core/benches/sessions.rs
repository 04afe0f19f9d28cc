//! Verifying a session token and opening its data: seen for the first time, seen before with the same
//! seal key; beside one plain Ed25519 verification. `cargo bench -p sealgate-core --bench sessions`

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_executor::block_on;
use sealgate_core::audit::Origin;
use sealgate_core::authority::{
    Authority, Caller, Login, PasswordSettings, SessionSettings, Settings,
};
use sealgate_core::clock::{ManualClock, Timestamp};
use sealgate_core::master::MasterKey;
use sealgate_core::password::HashingCost;
use sealgate_core::random::SeededRandom;
use sealgate_core::secret::{Secret, SecretText};
use sealgate_core::user::UserRequest;
use sealgate_store::{Sqlite, SqliteOptions};

const SESSIONS: usize = 1_000;
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Site {
    authority: Authority,
    /// Tokens, and the seal key of each.
    sessions: Vec<(String, String)>,
    /// Keeps the store's folder.
    _folder: tempfile::TempDir,
    /// Keeps the store's writer running.
    _runtime: tokio::runtime::Runtime,
}

fn site(cache: usize) -> Site {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (authority, sessions) = runtime.block_on(log_in(folder.path(), cache));
    Site {
        authority,
        sessions,
        _folder: folder,
        _runtime: runtime,
    }
}

async fn log_in(folder: &std::path::Path, cache: usize) -> (Authority, Vec<(String, String)>) {
    let random = Arc::new(SeededRandom::new(1));
    let clock = Arc::new(ManualClock::at(NOW));
    let master = MasterKey::new(Secret::new([7; 32]));
    let options = SqliteOptions {
        path: folder.join("bench.db"),
        create: true,
    };
    let store = Sqlite::open(options, &master, random.clone(), clock.clone()).await;
    let cost = HashingCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    let settings = Settings {
        sessions: SessionSettings {
            cache,
            ..SessionSettings::default()
        },
        passwords: PasswordSettings {
            cost,
            ..PasswordSettings::default()
        },
        ..Settings::default()
    };
    let store = Arc::new(store.expect("a store"));
    let authority = Authority::new(store, clock, random, &master, settings);
    authority.start().await.expect("starts");
    authority.load_keys().await.expect("loads");
    let user: UserRequest = serde_json::from_value(serde_json::json!({
        "username": "ada",
        "password": "correct horse battery staple",
        "display_name": "Ada Lovelace",
        "email": "ada@example.com",
        "roles": ["student"],
        "attributes": {"portal": "d1f0c9a7e5b34c2f8a6e", "faculty": "Kulliyyah of Engineering", "semester": 3},
    }))
    .expect("a user");
    let caller = Caller::command_line("bench");
    authority.create_user(user, &caller).await.expect("made");
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        let seal_key = authority.generate_seal_key().expose().to_owned();
        let login = Login {
            username: "ada",
            password: SecretText::new("correct horse battery staple".to_owned()),
            seal_key: Some(&seal_key),
            address: HERE,
            origin: &Origin::default(),
        };
        let logged_in = authority.login(login).await.expect("logs in");
        sessions.push((logged_in.token.expose().to_owned(), seal_key));
    }
    (authority, sessions)
}

fn open(authority: &Authority, (token, seal_key): &(String, String)) {
    let session = block_on(authority.open_session(token, Some(seal_key), HERE));
    black_box(session.expect("a session"));
}

fn sessions(criterion: &mut Criterion) {
    let cold = site(0);
    let bytes = cold.sessions[0].0.len();
    let mut all = cold.sessions.iter().cycle();
    criterion.bench_function(
        &format!("session token of {bytes} bytes, first time"),
        |bencher| {
            bencher.iter(|| open(&cold.authority, all.next().expect("endless")));
        },
    );
    let warm = site(10_000);
    for session in &warm.sessions {
        open(&warm.authority, session);
    }
    let mut all = warm.sessions.iter().cycle();
    criterion.bench_function(
        "session token, opened before with the same seal key",
        |bencher| {
            bencher.iter(|| open(&warm.authority, all.next().expect("endless")));
        },
    );
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let message = vec![0x5A; 900];
    let signature = pair.sign(&message);
    let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
    criterion.bench_function("reference: one Ed25519 verification", |bencher| {
        bencher.iter(|| public.verify(black_box(&message), signature.as_ref()));
    });
}

criterion_group!(benches, sessions);
criterion_main!(benches);
