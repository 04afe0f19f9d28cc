//! Sealed values and the `sg1.` envelope.

use sealgate_token::seal::{
    Envelope, MAX_PLAINTEXT_BYTES, OpenError, PlaintextTooLong, SealingKey, seal_envelope,
};
use uuid::Uuid;

const NONCE: [u8; 12] = [3; 12];
const LINEAGE: Uuid = Uuid::from_u128(0x0198_c5f2_7d1a_7b3c_9e4f_0123_4567_89ab);

fn key() -> SealingKey {
    SealingKey::new(&[7; 32])
}

fn envelope(plaintext: &[u8]) -> String {
    seal_envelope(&key(), 5, NONCE, LINEAGE, plaintext).expect("short enough")
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

/// RFC 8452 appendix C.2.
#[test]
fn the_aes_256_gcm_siv_vectors_of_rfc_8452() {
    let mut key = [0; 32];
    key[0] = 1;
    let key = SealingKey::from(key);
    let mut nonce = [0; 12];
    nonce[0] = 3;
    for (plaintext, aad, result) in [
        ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
        (
            "0100000000000000",
            "",
            "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
        ),
        (
            "0200000000000000",
            "01",
            "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
        ),
    ] {
        let sealed = key.seal(nonce, &bytes(aad), &bytes(plaintext));
        assert_eq!(sealed[..12], nonce);
        assert_eq!(sealed[12..], bytes(result));
        assert_eq!(*key.open(&bytes(aad), &sealed).unwrap(), bytes(plaintext));
    }
}

#[test]
fn a_sealed_value_opens_with_the_same_key_and_associated_data_only() {
    let sealed = key().seal(NONCE, b"keys/1/secret", b"plain");
    assert_eq!(**key().open(b"keys/1/secret", &sealed).unwrap(), *b"plain");
    assert_eq!(
        key().open(b"keys/2/secret", &sealed),
        Err(OpenError::Rejected)
    );
    let other = SealingKey::new(&[8; 32]);
    assert_eq!(
        other.open(b"keys/1/secret", &sealed),
        Err(OpenError::Rejected)
    );
    for length in 0..sealed.len() {
        let error = key().open(b"keys/1/secret", &sealed[..length]).unwrap_err();
        let reason = if length < 28 {
            OpenError::Truncated
        } else {
            OpenError::Rejected
        };
        assert_eq!(error, reason);
    }
}

#[test]
fn an_envelope_reads_back_with_its_version() {
    for plaintext in [&b""[..], b"a", "Grüße, 世界".as_bytes(), &[0; 5000]] {
        let text = envelope(plaintext);
        assert!(text.starts_with("sg1."));
        let envelope = Envelope::parse(&text).unwrap();
        assert_eq!(envelope.version(), 5);
        assert_eq!(**envelope.open(&key(), LINEAGE).unwrap(), *plaintext);
    }
}

#[test]
fn another_lineage_or_key_does_not_open_an_envelope() {
    let envelope = Envelope::parse(&envelope(b"plain")).unwrap();
    let other = SealingKey::new(&[8; 32]);
    assert_eq!(envelope.open(&key(), Uuid::nil()), Err(OpenError::Rejected));
    assert_eq!(envelope.open(&other, LINEAGE), Err(OpenError::Rejected));
}

#[test]
fn an_envelope_cut_anywhere_is_refused() {
    let text = envelope(b"plain");
    for length in 0..text.len() {
        let opened = Envelope::parse(&text[..length]).and_then(|e| e.open(&key(), LINEAGE));
        assert!(opened.is_err(), "{length}");
    }
}

/// The version is among the bytes that are tried, so it cannot be changed either.
#[test]
fn an_envelope_with_any_bit_changed_is_refused() {
    let text = envelope(b"some plaintext, long enough for several blocks of the cipher");
    for place in 0..text.len() {
        for bit in 0..7 {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= 1 << bit;
            let changed = String::from_utf8(changed).unwrap();
            let opened = Envelope::parse(&changed).and_then(|e| e.open(&key(), LINEAGE));
            assert!(opened.is_err(), "{place} {bit}");
        }
    }
}

#[test]
fn each_refusal_has_its_reason_and_all_read_the_same() {
    let good = envelope(b"plain");
    let body = good.strip_prefix("sg1.").unwrap();
    let mut messages = Vec::new();
    for (text, reason) in [
        (String::new(), "malformed"),
        (body.to_owned(), "malformed"),
        (format!("sg2.{body}"), "malformed"),
        (format!("SG1.{body}"), "malformed"),
        (format!("sg1{body}"), "malformed"),
        (format!(" {good}"), "malformed"),
        ("sg1.".to_owned(), "truncated"),
        ("sg1.AAAA".to_owned(), "truncated"),
        ("sg1.AAAAAAAA".to_owned(), "truncated"),
        (format!("{good}="), "non_canonical_encoding"),
        (format!("{good}\n"), "non_canonical_encoding"),
        (format!("{good}.{body}"), "non_canonical_encoding"),
        (format!("sg1.ä{body}"), "non_canonical_encoding"),
        (format!("sg1.{}", "A".repeat(1 << 21)), "too_long"),
    ] {
        let error = Envelope::parse(&text).unwrap_err();
        assert_eq!(error.reason(), reason, "{text:.40}");
        messages.push(error.to_string());
    }
    messages.push(OpenError::Rejected.to_string());
    messages.dedup();
    assert_eq!(messages, ["the sealed value could not be opened"]);
}

#[test]
fn the_longest_plaintext_fits_a_body_and_one_byte_more_is_refused() {
    let longest = vec![b'x'; MAX_PLAINTEXT_BYTES];
    let text = envelope(&longest);
    assert!(text.len() + r#"{"ciphertext":""}"#.len() <= 1 << 20);
    let opened = Envelope::parse(&text)
        .unwrap()
        .open(&key(), LINEAGE)
        .unwrap();
    assert_eq!(*opened, longest);
    let longer = vec![b'x'; MAX_PLAINTEXT_BYTES + 1];
    assert_eq!(
        seal_envelope(&key(), 5, NONCE, LINEAGE, &longer),
        Err(PlaintextTooLong)
    );
}

#[test]
fn a_sealing_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", key()), "SealingKey([redacted])");
}
