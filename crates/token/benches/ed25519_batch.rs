//! What an Ed25519 signature costs to verify: alone, as the server does it, and in batches, as it does not.
//! `docs/performance.md` says why, and `tests/ed25519_batch.rs` shows what a batch would take.
//!
//! All signatures are of one key, each under a message as large as a session token. What is printed for a
//! batch is the time of all of it; its throughput is in signatures.

use std::hint::black_box;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, verify_batch};
use sha2::{Digest as _, Sha512};

const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Of the bytes that are signed for a session token.
const MESSAGE_BYTES: usize = 1_024;

/// Signatures of one key.
struct Signed {
    key: VerifyingKey,
    messages: Vec<Vec<u8>>,
    signatures: Vec<Signature>,
}

impl Signed {
    fn new(count: usize) -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let messages = (0..count).map(|number| {
            let digest = Sha512::digest(number.to_be_bytes());
            digest.iter().copied().cycle().take(MESSAGE_BYTES).collect()
        });
        let messages: Vec<Vec<u8>> = messages.collect();
        Self {
            key: key.verifying_key(),
            signatures: messages.iter().map(|message| key.sign(message)).collect(),
            messages,
        }
    }

    /// The last signature is one of another message.
    fn with_a_forged_one(mut self) -> Self {
        let last = self.signatures.len() - 1;
        self.messages[last][0] ^= 1;
        self
    }

    /// As a library does it, which is told a key for each signature.
    fn verify_with_keys(&self) -> bool {
        let messages: Vec<&[u8]> = self.messages.iter().map(Vec::as_slice).collect();
        let keys = vec![self.key; messages.len()];
        verify_batch(&messages, &self.signatures, &keys).is_ok()
    }

    /// As little work as there can be where all signatures are of one key: a random sum of their equations
    /// has one point for each, and two more.
    fn verify_with_one_key(&self) -> bool {
        let key = self.key.as_bytes();
        let mut transcript = Sha512::new();
        let hashes: Vec<Scalar> = self
            .signatures
            .iter()
            .zip(&self.messages)
            .map(|(signature, message)| {
                let hash = Sha512::new().chain_update(signature.r_bytes());
                let hash: [u8; 64] = hash
                    .chain_update(key)
                    .chain_update(message)
                    .finalize()
                    .into();
                transcript.update(hash);
                transcript.update(signature.s_bytes());
                Scalar::from_bytes_mod_order_wide(&hash)
            })
            .collect();
        let seed = transcript.finalize();
        let weights = (0..hashes.len()).map(|number| {
            let digest = Sha512::new()
                .chain_update(seed)
                .chain_update(number.to_be_bytes());
            let digest = digest.finalize();
            let mut weight = [0; 16];
            weight.copy_from_slice(&digest[..16]);
            Scalar::from(u128::from_le_bytes(weight))
        });
        let weights: Vec<Scalar> = weights.collect();
        let parts = self.signatures.iter().map(|signature| {
            let part = Scalar::from_canonical_bytes(*signature.s_bytes());
            Option::<Scalar>::from(part)
        });
        let Some(parts) = parts.collect::<Option<Vec<Scalar>>>() else {
            return false;
        };
        let sum = |values: &[Scalar]| -> Scalar {
            values
                .iter()
                .zip(&weights)
                .map(|(value, weight)| value * weight)
                .sum()
        };
        let points = self
            .signatures
            .iter()
            .map(|it| CompressedEdwardsY(*it.r_bytes()).decompress());
        let fixed = [ED25519_BASEPOINT_POINT, self.key.to_edwards()];
        let scalars = [-sum(&parts), sum(&hashes)]
            .into_iter()
            .chain(weights.iter().copied());
        let points = fixed.into_iter().map(Some).chain(points);
        EdwardsPoint::optional_multiscalar_mul(scalars, points).is_some_and(|sum| sum.is_identity())
    }
}

fn alone(criterion: &mut Criterion) {
    let signed = Signed::new(1);
    let (message, signature) = (signed.messages[0].as_slice(), signed.signatures[0]);
    let bytes = signature.to_bytes();
    let aws_lc = ParsedPublicKey::new(&ED25519, signed.key.as_bytes()).expect("a public key");
    let mut group = criterion.benchmark_group("ed25519_alone");
    group.throughput(Throughput::Elements(1));
    group.bench_function("aws_lc", |bencher| {
        bencher.iter(|| {
            aws_lc
                .verify_sig(black_box(message), black_box(&bytes))
                .is_ok()
        });
    });
    group.bench_function("dalek_strict", |bencher| {
        let key = signed.key;
        bencher.iter(|| {
            key.verify_strict(black_box(message), black_box(&signature))
                .is_ok()
        });
    });
    group.finish();
}

fn together(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ed25519_batch");
    for size in SIZES {
        let signed = Signed::new(size);
        assert!(signed.verify_with_keys() && signed.verify_with_one_key());
        let forged = Signed::new(size).with_a_forged_one();
        assert!(!forged.verify_with_keys() && !forged.verify_with_one_key());
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("dalek", size), |bencher| {
            bencher.iter(|| black_box(&signed).verify_with_keys());
        });
        group.bench_function(BenchmarkId::new("one_key", size), |bencher| {
            bencher.iter(|| black_box(&signed).verify_with_one_key());
        });
    }
    group.finish();
}

criterion_group!(benches, alone, together);
criterion_main!(benches);
