//! What a session token costs: to verify and open on a request that finds nothing cached, and to
//! issue at a log-in. One plain Ed25519 verification stands beside it, as the part that no program
//! can save.

use std::hint::black_box;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use criterion::{Criterion, criterion_group, criterion_main};
use sealgate_token::paseto::{
    SessionClaims, SessionDataKey, SessionPolicy, SessionSigningKey, UntrustedSession,
};
use uuid::Uuid;

const NOW: i64 = 1_800_000_000;
const JTI: Uuid = Uuid::from_u128(0x019b_f000_8e2b_7c4d_8f50_fedc_ba98_7654);
const POLICY: SessionPolicy<'static> = SessionPolicy::new("gomaluum", "gomaluum");
const SEAL_KEY: &[u8] =
    b"gml_1800000000_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const USER_DATA_BYTES: usize = 300;

fn claims(user_data: &str) -> SessionClaims {
    SessionClaims {
        aud: POLICY.audience.to_owned(),
        iss: POLICY.issuer.to_owned(),
        sub: "aisyah".to_owned(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 28_800,
        jti: JTI,
        sid: Uuid::nil(),
        auth_time: NOW,
        epoch: 1_790_000_000_000,
        data: SessionDataKey::derive(SEAL_KEY)
            .seal(JTI, user_data)
            .expect("an inner token"),
    }
}

fn session(criterion: &mut Criterion) {
    let key = SessionSigningKey::from_seed(&[7; 32]).expect("a key");
    let user_data = "d".repeat(USER_DATA_BYTES);
    let token = key.issue(&claims(&user_data)).expect("a token");
    let verify = |token: &str| {
        UntrustedSession::parse(token)
            .and_then(|token| token.verify(key.verifying_key(), &POLICY, NOW))
            .expect("valid")
    };
    let mut group = criterion.benchmark_group(format!("session/{} bytes", token.len()));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| UntrustedSession::parse(black_box(&token)).expect("well formed"));
    });
    group.bench_function("parse and verify", |bencher| {
        bencher.iter(|| verify(black_box(&token)));
    });
    group.bench_function("derive and open", |bencher| {
        let session = verify(&token);
        bencher.iter(|| {
            SessionDataKey::derive(black_box(SEAL_KEY))
                .open(session.jti(), session.data())
                .expect("its seal key")
        });
    });
    group.bench_function("parse, verify, derive and open", |bencher| {
        bencher.iter(|| {
            let session = verify(black_box(&token));
            SessionDataKey::derive(black_box(SEAL_KEY))
                .open(session.jti(), session.data())
                .expect("its seal key")
        });
    });
    group.bench_function("derive, seal and issue", |bencher| {
        bencher.iter(|| key.issue(&claims(black_box(&user_data))).expect("a token"));
    });
    group.finish();
}

fn ed25519(criterion: &mut Criterion) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let public = ParsedPublicKey::new(&ED25519, pair.public_key()).expect("its public half");
    let message = [0x5A; 900];
    let signature = pair.sign(&message);
    criterion.bench_function("ed25519/verify 900 bytes", |bencher| {
        bencher.iter(|| public.verify_sig(black_box(&message), signature.as_ref()));
    });
}

criterion_group!(benches, session, ed25519);
criterion_main!(benches);
