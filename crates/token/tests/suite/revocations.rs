//! The list of revocations: what is read back, and what is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use sealgate_token::jwt::{
    Algorithm, InvalidToken, IssueError, KeySet, Policy, SigningKey, Untrusted, jwk_set,
};
use sealgate_token::revocations::{InvalidList, RevocationClaims, RevocationList, UserHash};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::forge::{NOW, claims};

const SALT: [u8; 16] = [9; 16];
const KEY: Uuid = Uuid::from_u128(0x0198_c5f2_7d1a_7b3c_9e4f_0123_4567_89ab);
const ENDED: Uuid = Uuid::from_u128(0x0198_c5f2_8e2b_7c4d_8f50_fedc_ba98_7654);

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).expect("a key").0
}

fn set(keys: &[&SigningKey]) -> KeySet {
    KeySet::parse(&jwk_set(keys.iter().copied()).to_string()).expect("a set")
}

fn listed() -> RevocationClaims {
    RevocationClaims {
        iss: "sealgate".to_owned(),
        iat: NOW,
        exp: NOW + 3600,
        ttl: 2,
        token_lifetime: 3600,
        session_lifetime: 604_800,
        signers: vec!["k4.pid.x".to_owned()],
        keys: vec![(KEY, NOW + 10)],
        jtis: vec![ENDED],
        salt: SALT,
        users: vec![(UserHash::of(&SALT, "Ada"), 5)],
    }
}

fn verify(text: &str, key: &SigningKey) -> Result<RevocationList, InvalidList> {
    RevocationList::verify(text, &set(&[key]), "sealgate", NOW)
}

/// The refusal of a list whose payload and type are these, rightly signed.
fn refusal(typ: &str, payload: &str) -> InvalidToken {
    let (key, pkcs8) = SigningKey::generate(Algorithm::EdDsa).expect("a key");
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"{}"}}"#, key.kid());
    let [header, payload] = [header.as_str(), payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{payload}");
    let private = jsonwebtoken::EncodingKey::from_ed_der(&pkcs8);
    let algorithm = jsonwebtoken::Algorithm::EdDSA;
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &private, algorithm);
    let text = format!("{message}.{}", signature.expect("a signature"));
    match verify(&text, &key).expect_err("refused") {
        InvalidList::Refused(reason) => reason,
        InvalidList::UnknownSigner { .. } => panic!("the key is in the set"),
    }
}

fn payload() -> Value {
    let text = listed().sign(&key()).expect("a list");
    let payload = text.split('.').nth(1).expect("three parts");
    let json = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

const TYPE: &str = "sealgate-revocations+jwt";

#[test]
fn a_list_is_written_as_the_specification_says() {
    let text = listed().sign(&key()).expect("a list");
    let parts: Vec<&str> = text.split('.').collect();
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url"));
    // SHA-256 of sixteen bytes of 9 and `ada`.
    let hash = URL_SAFE_NO_PAD.encode(<sha2::Sha256 as sha2::Digest>::digest(
        b"\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\tada",
    ));
    assert_eq!(
        json.expect("text"),
        format!(
            concat!(
                r#"{{"iss":"sealgate","iat":1790000000,"exp":1790003600,"ttl":2,"#,
                r#""token_lifetime":3600,"session_lifetime":604800,"#,
                r#""signers":["k4.pid.x"],"#,
                r#""keys":{{"0198c5f2-7d1a-7b3c-9e4f-0123456789ab":1790000010}},"#,
                r#""jtis":["0198c5f2-8e2b-7c4d-8f50-fedcba987654"],"#,
                r#""salt":"CQkJCQkJCQkJCQkJCQkJCQ","users":{{"{}":5}}}}"#,
            ),
            hash
        )
    );
}

#[test]
fn a_list_tells_what_is_dead_by_either_algorithm() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (key, _) = SigningKey::generate(algorithm).expect("a key");
        let list = verify(&listed().sign(&key).expect("a list"), &key).expect("good");
        assert!(!list.is_key_revoked(KEY, NOW + 9));
        assert!(list.is_key_revoked(KEY, NOW + 10));
        assert!(!list.is_key_revoked(ENDED, NOW + 10));
        assert!(list.is_token_revoked(ENDED) && !list.is_token_revoked(KEY));
        assert!(list.is_user_revoked("ADA", 5) && list.is_user_revoked("ada", 4));
        assert!(!list.is_user_revoked("ada", 6) && !list.is_user_revoked("bob", 5));
        assert!(list.is_signer_honoured("k4.pid.x") && !list.is_signer_honoured("k4.pid.y"));
        assert_eq!((list.len(), list.ttl_seconds()), (3, 2));
        assert_eq!((list.issued_at(), list.expires_at()), (NOW, NOW + 3600));
    }
}

#[test]
fn what_is_over_by_the_issuers_clock_is_over_by_one_that_is_behind() {
    let key = key();
    let text = RevocationClaims {
        keys: vec![(KEY, NOW)],
        ..listed()
    }
    .sign(&key);
    let keys = set(&[&key]);
    let list = RevocationList::verify(&text.expect("a list"), &keys, "sealgate", NOW - 20);
    assert!(list.expect("good").is_key_revoked(KEY, NOW - 20));
}

#[test]
fn an_access_token_of_a_dead_key_or_that_was_ended_is_revoked() {
    let key = key();
    let token = key.issue(&claims()).expect("a token");
    let untrusted = Untrusted::parse(&token).expect("a token");
    let trusted = untrusted
        .verify_server(key.verifying_key(), &Policy::new("sealgate"), NOW)
        .expect("good");
    let revokes = |change: fn(&mut RevocationClaims)| {
        let mut listed = listed();
        (listed.keys, listed.jtis) = (Vec::new(), Vec::new());
        change(&mut listed);
        let text = listed.sign(&key).expect("a list");
        let list = verify(&text, &key).expect("good");
        list.revokes_token(&trusted, NOW)
    };
    assert!(!revokes(|_| ()));
    assert!(revokes(|listed| listed.keys = vec![(KEY, NOW)]));
    assert!(revokes(|listed| listed.jtis = vec![ENDED]));
}

#[test]
fn a_list_vouches_for_no_token_that_lives_for_longer_than_it_tells_of() {
    let key = key();
    let token = key.issue(&claims()).expect("a token");
    let untrusted = Untrusted::parse(&token).expect("a token");
    let trusted = untrusted
        .verify_server(key.verifying_key(), &Policy::new("sealgate"), NOW)
        .expect("good");
    let lifetime = trusted.expires_at() - trusted.issued_at();
    for (token_lifetime, vouches) in [(lifetime, true), (lifetime - 1, false)] {
        let listed = RevocationClaims {
            token_lifetime,
            ..listed()
        };
        let list = verify(&listed.sign(&key).expect("a list"), &key).expect("good");
        assert_eq!(list.vouches_for_token(&trusted), vouches);
    }
}

#[test]
fn a_list_by_a_key_that_is_not_known_says_so() {
    let (known, other) = (key(), key());
    let text = listed().sign(&other).expect("a list");
    let kid = other.kid();
    assert_eq!(
        verify(&text, &known).expect_err("refused"),
        InvalidList::UnknownSigner { kid }
    );
}

#[test]
fn a_list_is_held_to_its_issuer_and_its_times() {
    let key = key();
    let text = listed().sign(&key).expect("a list");
    let at = |issuer, now| {
        RevocationList::verify(&text, &set(&[&key]), issuer, now).map(|list| list.len())
    };
    let refused = |reason| Err(InvalidList::Refused(reason));
    assert_eq!(at("other", NOW), refused(InvalidToken::WrongIssuer));
    assert_eq!(at("sealgate", NOW - 30), Ok(3));
    assert_eq!(at("sealgate", NOW - 31), refused(InvalidToken::NotYetValid));
    assert_eq!(at("sealgate", NOW + 3599), Ok(3));
    assert_eq!(at("sealgate", NOW + 3600), refused(InvalidToken::Expired));
}

#[test]
fn a_token_is_no_list_and_a_list_no_token() {
    let key = key();
    let token = key.issue(&claims()).expect("a token");
    assert_eq!(
        verify(&token, &key).expect_err("refused"),
        InvalidList::Refused(InvalidToken::WrongTokenType)
    );
    let list = RevocationClaims {
        keys: Vec::new(),
        ..listed()
    };
    let list = list.sign(&key).expect("a list");
    assert_eq!(
        Untrusted::parse(&list).expect_err("refused"),
        InvalidToken::WrongTokenType
    );
}

#[test]
fn the_same_is_not_listed_twice_and_nothing_else_than_what_belongs_there() {
    let good = payload().to_string();
    let twice = |part: &str| good.replacen(part, &format!("{part},{part}"), 1);
    for member in [
        "iss",
        "iat",
        "exp",
        "ttl",
        "token_lifetime",
        "session_lifetime",
        "signers",
        "keys",
        "jtis",
        "salt",
        "users",
    ] {
        let mut without = payload();
        without.as_object_mut().expect("an object").remove(member);
        let reason = refusal(TYPE, &without.to_string());
        assert_eq!(reason, InvalidToken::Missing { member });
        let mut other = payload();
        other[member] = json!([[]]);
        let reason = refusal(TYPE, &other.to_string());
        assert_eq!(reason, InvalidToken::WrongType { member });
    }
    let id = format!("\"{ENDED}\"");
    assert_eq!(
        refusal(TYPE, &twice(&id)),
        InvalidToken::WrongType { member: "jtis" }
    );
    let key = format!("\"{KEY}\":1790000010");
    assert_eq!(
        refusal(TYPE, &twice(&key)),
        InvalidToken::WrongType { member: "keys" }
    );
    assert_eq!(
        refusal(TYPE, &twice("\"ttl\":2")),
        InvalidToken::Duplicate { member: "ttl" }
    );
    let capitals = good.replace("fedcba987654", "FEDCBA987654");
    assert_eq!(
        refusal(TYPE, &capitals),
        InvalidToken::WrongType { member: "jtis" }
    );
    assert_eq!(refusal("JWT", &good), InvalidToken::WrongTokenType);
    assert_eq!(refusal(TYPE, &format!("{good} x")), InvalidToken::Malformed);
}

#[test]
fn a_claim_of_a_later_version_is_passed_over() {
    let mut later = payload();
    later["later"] = json!({"a": [1, null, "b"]});
    later["iss"] = json!("other");
    // Read as far as the issuer, which is looked at after all else was read.
    assert_eq!(refusal(TYPE, &later.to_string()), InvalidToken::WrongIssuer);
}

#[test]
fn a_list_that_would_be_refused_is_not_signed() {
    for (iat, exp) in [(NOW, NOW), (-1, NOW), (NOW, 253_402_300_800)] {
        let listed = RevocationClaims {
            iat,
            exp,
            ..listed()
        };
        assert_eq!(listed.sign(&key()), Err(IssueError::Times));
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back(
        keys in prop::collection::hash_map(any::<u128>(), 0..NOW, 0..20),
        jtis in prop::collection::hash_set(any::<u128>(), 0..20),
        users in prop::collection::hash_map("[a-zé]{1,8}", any::<i64>(), 0..5),
        salt: [u8; 16],
    ) {
        let key = key();
        let text = RevocationClaims {
            keys: keys.iter().map(|(id, from)| (Uuid::from_u128(*id), *from)).collect(),
            jtis: jtis.iter().map(|id| Uuid::from_u128(*id)).collect(),
            salt,
            users: users.iter().map(|(name, epoch)| (UserHash::of(&salt, name), *epoch)).collect(),
            ..listed()
        }
        .sign(&key)
        .expect("a list");
        let list = verify(&text, &key).expect("good");
        prop_assert_eq!(list.len(), keys.len() + jtis.len() + users.len());
        for id in keys.keys() {
            prop_assert!(list.is_key_revoked(Uuid::from_u128(*id), NOW));
        }
        for id in &jtis {
            prop_assert!(list.is_token_revoked(Uuid::from_u128(*id)));
        }
        for (name, epoch) in &users {
            prop_assert!(list.is_user_revoked(&name.to_uppercase(), *epoch));
        }
    }

    #[test]
    fn no_altered_list_is_taken(place in 0.0..1.0, with in "[A-Za-z0-9_.=-]") {
        let key = key();
        let mut text = listed().sign(&key).expect("a list");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let place = (place * text.len() as f64) as usize;
        prop_assume!(text[place..=place] != with);
        text.replace_range(place..=place, &with);
        prop_assert!(verify(&text, &key).is_err());
    }
}
