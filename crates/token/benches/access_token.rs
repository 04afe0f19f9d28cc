//! What an access token costs: to read and verify on every request, to issue at each exchange.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgate_token::jwt::{Algorithm, Claims, Policy, SigningKey, Untrusted, issue_hs256};
use uuid::Uuid;

const NOW: i64 = 1_790_000_000;
const SECRET: [u8; 32] = [7; 32];
const POLICY: Policy<'static> = Policy::new("sealgate");

fn claims() -> Claims {
    Claims {
        iss: POLICY.issuer.to_owned(),
        sub: Uuid::from_u128(0x0198_c5f2_7d1a_7b3c_9e4f_0123_4567_89ab),
        prefix: "aB3dE5fG".to_owned(),
        permissions: "api:read api:write".to_owned(),
        is_admin: false,
        iat: NOW,
        exp: NOW + 3600,
        auth_time: NOW,
        jti: Uuid::from_u128(0x0198_c5f2_8e2b_7c4d_8f50_fedc_ba98_7654),
    }
}

fn hs256(criterion: &mut Criterion) {
    let token = issue_hs256(&claims(), &SECRET).expect("a token");
    let mut group = criterion.benchmark_group(format!("hs256/{} bytes", token.len()));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Untrusted::parse(black_box(&token)).expect("well formed"));
    });
    group.bench_function("parse and verify", |bencher| {
        bencher.iter(|| {
            Untrusted::parse(black_box(&token))
                .and_then(|token| token.verify_hs256(black_box(&SECRET), &POLICY, NOW))
                .expect("valid")
        });
    });
    let claims = claims();
    group.bench_function("issue", |bencher| {
        bencher.iter(|| issue_hs256(black_box(&claims), black_box(&SECRET)).expect("a token"));
    });
    group.finish();
}

fn server_keys(criterion: &mut Criterion) {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (key, _) = SigningKey::generate(algorithm).expect("a key");
        let token = key.issue(&claims()).expect("a token");
        let mut group = criterion.benchmark_group(algorithm.name());
        group.bench_function("parse and verify", |bencher| {
            bencher.iter(|| {
                Untrusted::parse(black_box(&token))
                    .and_then(|token| token.verify_server(key.verifying_key(), &POLICY, NOW))
                    .expect("valid")
            });
        });
        group.bench_function("issue", |bencher| {
            bencher.iter(|| key.issue(black_box(&claims())).expect("a token"));
        });
        group.finish();
    }
}

criterion_group!(benches, hs256, server_keys);
criterion_main!(benches);
