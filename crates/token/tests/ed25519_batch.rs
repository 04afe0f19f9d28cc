//! Why signatures are not verified in batches: a batch takes some that nobody takes alone, and which ones
//! depends on what else is in it.
//!
//! Only who has the signing key can make such a signature: its point R is off by one of small order, and
//! the rest is computed for that R ("Taming the many `EdDSAs`", Chalkias, Garillot,
//! Nikolaenko, 2020).

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::{
    Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey, verify_batch,
};
use sha2::{Digest as _, Sha512};

const SEED: [u8; 32] = [7; 32];
/// How many batches are tried.
const BATCHES: usize = 256;

/// A signature whose R is off by a point of small order.
fn sign_with_torsion(message: &[u8], torsion: EdwardsPoint) -> Signature {
    let expanded = Sha512::digest(SEED);
    let secret: [u8; 32] = expanded[..32].try_into().unwrap();
    let secret = Scalar::from_bytes_mod_order(clamp_integer(secret));
    let nonce = Sha512::new()
        .chain_update(&expanded[32..])
        .chain_update(message);
    let nonce = Scalar::from_bytes_mod_order_wide(&nonce.finalize().into());
    let point = (EdwardsPoint::mul_base(&nonce) + torsion).compress();
    let hash = Sha512::new()
        .chain_update(point.as_bytes())
        .chain_update(EdwardsPoint::mul_base(&secret).compress().as_bytes())
        .chain_update(message);
    let hash = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    Signature::from_components(point.to_bytes(), (nonce + hash * secret).to_bytes())
}

/// Whether each verifier of one signature takes it: AWS-LC, and both of dalek's.
fn alone(key: &VerifyingKey, message: &[u8], signature: &Signature) -> [bool; 3] {
    let aws_lc = UnparsedPublicKey::new(&ED25519, key.as_bytes());
    [
        aws_lc.verify(message, &signature.to_bytes()).is_ok(),
        key.verify(message, signature).is_ok(),
        key.verify_strict(message, signature).is_ok(),
    ]
}

/// In how many of [`BATCHES`] batches, each with another good signature beside them, these are taken.
fn taken(key: &SigningKey, odd: &[(&[u8], Signature)]) -> usize {
    let is_taken = |number: &usize| {
        let companion = number.to_be_bytes();
        let signed = (companion.as_slice(), key.sign(&companion));
        let (messages, signatures): (Vec<&[u8]>, Vec<Signature>) =
            odd.iter().copied().chain([signed]).unzip();
        let keys = vec![key.verifying_key(); messages.len()];
        verify_batch(&messages, &signatures, &keys).is_ok()
    };
    (0..BATCHES).filter(is_taken).count()
}

#[test]
fn a_batch_takes_a_signature_or_not_by_what_is_in_it_beside() {
    let key = SigningKey::from_bytes(&SEED);
    let public = key.verifying_key();
    let good = sign_with_torsion(b"good", EIGHT_TORSION[0]);
    assert_eq!(alone(&public, b"good", &good), [true; 3]);
    assert_eq!(taken(&key, &[(b"good", good)]), BATCHES);

    // A point of small order, and its order: its multiple by a random weight is nothing in one of so many
    // batches.
    for (torsion, order) in [(4, 2), (2, 4), (1, 8)] {
        let odd = sign_with_torsion(b"odd", EIGHT_TORSION[torsion]);
        assert_eq!(alone(&public, b"odd", &odd), [false; 3]);
        let taken = taken(&key, &[(b"odd", odd)]);
        println!("order {order}: taken in {taken} of {BATCHES} batches");
        let expected = BATCHES / order;
        assert!(
            (expected / 2..expected * 2).contains(&taken),
            "{order}: {taken}"
        );
        assert!(taken > 0 && taken < BATCHES, "{order}: {taken}");
    }
}
