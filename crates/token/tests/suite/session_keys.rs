//! Session keys: how they are taken in, what is refused of them, and the oddities of Ed25519.

use std::fmt::Write;

use crate::session_forge::{claims, key, pasetors_verifies, token, verify};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate_token::jwt::InvalidToken;
use sealgate_token::paseto::{
    SessionKeyError, SessionSigningKey, SessionVerifyingKey, UntrustedSession,
};

/// The key of the official test vectors, as GoMaluum has one in its environment.
const SEED_HEX: &str = "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774";
const PUBLIC_HEX: &str = "1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes more text");
        text
    })
}

#[test]
fn a_signing_key_survives_every_way_of_keeping_it() {
    let key = key();
    let bytes = key.to_bytes();
    let (secret_hex, public_hex) = (hex(bytes.as_slice()), hex(&bytes[32..]));
    for read in [
        SessionSigningKey::from_bytes(&bytes),
        SessionSigningKey::from_paserk(&key.to_paserk()),
        SessionSigningKey::from_hex_pair(&secret_hex, &public_hex),
        SessionSigningKey::from_hex_pair(&secret_hex.to_uppercase(), &public_hex.to_uppercase()),
        SessionSigningKey::from_hex_pair(&secret_hex[..64], &public_hex),
    ] {
        let read = read.unwrap();
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.kid(), key.kid());
        let token = read.issue(&claims()).unwrap();
        assert!(verify(&token).is_ok() && pasetors_verifies(&token));
    }
}

#[test]
fn a_verifying_key_reads_back_and_verifies() {
    let key = key();
    let public = key.verifying_key();
    assert!(public.paserk().starts_with("k4.public."));
    assert!(public.kid().starts_with("k4.pid."));
    for read in [
        SessionVerifyingKey::from_paserk(&public.paserk()),
        SessionVerifyingKey::from_bytes(public.as_bytes()),
    ] {
        let read = read.unwrap();
        assert_eq!(read.as_bytes(), public.as_bytes());
        assert_eq!(read.kid(), public.kid());
        let token = UntrustedSession::parse(&token()).unwrap();
        let policy = crate::session_forge::POLICY;
        assert!(
            token
                .verify(&read, &policy, crate::session_forge::NOW)
                .is_ok()
        );
    }
}

#[test]
fn a_hex_pair_that_does_not_belong_together_is_refused() {
    let other = hex(key().verifying_key().as_bytes());
    let whole = format!("{SEED_HEX}{PUBLIC_HEX}");
    assert!(SessionSigningKey::from_hex_pair(&whole, PUBLIC_HEX).is_ok());
    assert!(SessionSigningKey::from_hex_pair(SEED_HEX, PUBLIC_HEX).is_ok());
    for (secret, public, expected) in [
        (&whole, other.as_str(), SessionKeyError::Mismatch),
        (&SEED_HEX.to_owned(), &other, SessionKeyError::Mismatch),
        // The public key is right, and the half of the secret key that repeats it is not.
        (
            &format!("{SEED_HEX}{other}"),
            PUBLIC_HEX,
            SessionKeyError::Mismatch,
        ),
        (
            &whole[1..].to_owned(),
            PUBLIC_HEX,
            SessionKeyError::SecretHex,
        ),
        (
            &format!("{whole}00"),
            PUBLIC_HEX,
            SessionKeyError::SecretHex,
        ),
        (
            &whole.replace('b', "g"),
            PUBLIC_HEX,
            SessionKeyError::SecretHex,
        ),
        (&String::new(), PUBLIC_HEX, SessionKeyError::SecretHex),
        (&whole, &PUBLIC_HEX[2..], SessionKeyError::PublicHex),
        (&whole, "", SessionKeyError::PublicHex),
    ] {
        let refused = SessionSigningKey::from_hex_pair(secret, public);
        assert_eq!(refused.err(), Some(expected), "{secret} {public}");
    }
    assert_eq!(
        SessionKeyError::Mismatch.to_string(),
        "the secret key and the public key do not belong together"
    );
}

#[test]
fn a_seed_with_another_keys_public_half_is_refused() {
    let mut bytes = key().to_bytes();
    bytes[40] ^= 1;
    let refused = SessionSigningKey::from_bytes(&bytes);
    assert_eq!(refused.err(), Some(SessionKeyError::Mismatch));
    let paserk = format!("k4.secret.{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    let refused = SessionSigningKey::from_paserk(&paserk);
    assert_eq!(refused.err(), Some(SessionKeyError::Mismatch));
}

#[test]
fn only_the_paserk_of_the_right_kind_is_read() {
    let (secret, public) = (key().to_paserk(), key().verifying_key().paserk());
    for other in [
        "",
        "k4.secret.",
        &public,
        &secret.replace("k4", "k2"),
        &secret.replace("k4", "K4"),
        &secret.replace("secret", "local"),
        &secret[.."k4.secret.".len() + 43],
        &format!("{}=", *secret),
        &format!("{} ", *secret),
        &format!("{}\n", *secret),
    ] {
        let refused = SessionSigningKey::from_paserk(other).err();
        assert_eq!(refused, Some(SessionKeyError::NotPaserk("k4.secret.")));
    }
    for other in [
        "",
        &secret,
        &public.replace("k4", "k3"),
        &format!("{public}A"),
    ] {
        let refused = SessionVerifyingKey::from_paserk(other).err();
        assert_eq!(refused, Some(SessionKeyError::NotPaserk("k4.public.")));
    }
}

/// Every spelling of a point of small order, both signs of x, after libsodium's
/// `ge25519_has_small_order`.
fn weak_keys() -> Vec<[u8; 32]> {
    let of = |first: u8, rest: u8, last: u8| {
        let mut y = [rest; 32];
        (y[0], y[31]) = (first, last);
        y
    };
    let one_of_order_eight = [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98,
        0xF0, 0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53,
        0xFC, 0x05,
    ];
    let other_of_order_eight = [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67,
        0x0F, 0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC,
        0x03, 0x7A,
    ];
    let mut keys = vec![
        [0; 32],
        of(1, 0, 0),
        of(0xEC, 0xFF, 0x7F),
        of(0xED, 0xFF, 0x7F),
        of(0xEE, 0xFF, 0x7F),
        of(0xFF, 0xFF, 0x7F),
        one_of_order_eight,
        other_of_order_eight,
    ];
    for y in keys.clone() {
        let mut negative = y;
        negative[31] |= 0x80;
        keys.push(negative);
    }
    keys
}

#[test]
fn a_public_key_of_small_order_or_in_a_second_spelling_is_refused() {
    for bytes in weak_keys() {
        let refused = SessionVerifyingKey::from_bytes(&bytes).err();
        assert_eq!(refused, Some(SessionKeyError::WeakPublicKey), "{bytes:?}");
        let paserk = format!("k4.public.{}", URL_SAFE_NO_PAD.encode(bytes));
        let refused = SessionVerifyingKey::from_paserk(&paserk).err();
        assert_eq!(refused, Some(SessionKeyError::WeakPublicKey));
    }
}

/// The order of the base point, 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The token with the order added so many times to its signature's second half: the same number to
/// anyone who does not check its range (RFC 8032 section 5.1.7).
fn with_other_scalar(token: &str, times: usize) -> Option<String> {
    let (head, footer) = token.rsplit_once('.')?;
    let mut message = URL_SAFE_NO_PAD
        .decode(head.strip_prefix("v4.public.")?)
        .ok()?;
    let scalar = message.last_chunk_mut::<32>()?;
    for _ in 0..times {
        let mut carry = 0;
        for (byte, addend) in scalar.iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(addend) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        if carry > 0 {
            return None;
        }
    }
    let message = URL_SAFE_NO_PAD.encode(message);
    Some(format!("v4.public.{message}.{footer}"))
}

#[test]
fn a_signature_has_no_second_form() {
    let good = token();
    assert_eq!(with_other_scalar(&good, 0).as_ref(), Some(&good));
    for times in 1..15 {
        let second = with_other_scalar(&good, times).expect("no more than 2^256");
        assert_ne!(second, good);
        assert_eq!(verify(&second), Err(InvalidToken::BadSignature));
        assert!(!pasetors_verifies(&second));
    }
}

#[test]
fn a_signature_of_the_neutral_point_and_zero_is_refused() {
    let good = token();
    let (head, footer) = good.rsplit_once('.').unwrap();
    let mut message = URL_SAFE_NO_PAD.decode(&head["v4.public.".len()..]).unwrap();
    for first in [0, 1] {
        let signature = message.last_chunk_mut::<64>().unwrap();
        *signature = [0; 64];
        signature[0] = first;
        let forged = format!("v4.public.{}.{footer}", URL_SAFE_NO_PAD.encode(&message));
        assert_eq!(verify(&forged), Err(InvalidToken::BadSignature));
    }
}

#[test]
fn debug_shows_ids_alone() {
    let key = key();
    let shown = format!("{key:?}");
    assert!(shown.contains(key.kid()), "{shown}");
    let bytes = key.to_bytes();
    let secret = hex(&bytes[..32]);
    assert!(
        !shown.contains(&secret) && !shown.contains("7, 7"),
        "{shown}"
    );
    let public = format!("{:?}", key.verifying_key());
    assert_eq!(public, format!("SessionVerifyingKey({:?})", key.kid()));
    let token = token();
    let untrusted = UntrustedSession::parse(&token).unwrap();
    let shown = format!("{untrusted:?}");
    assert!(!shown.contains("message"), "{shown}");
    let shown = format!("{:?}", verify(&token).unwrap());
    assert!(!shown.contains("v4.local"), "{shown}");
}
