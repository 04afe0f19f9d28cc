//! Session tokens: as they are meant to be, and every way in which one is refused.

use crate::session_forge::{
    JTI, NOW, POLICY, SEAL_KEY, USER_DATA, claims, footer, key, pasetors_verifies, payload, sign,
    token, verify, verify_at,
};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use sealgate_token::jwt::{CLOCK_LEEWAY_SECONDS, InvalidToken, IssueError};
use sealgate_token::paseto::{
    MAX_TOKEN_BYTES, MAX_USER_DATA_BYTES, SealError, SessionClaims, SessionDataKey, SessionPolicy,
    SessionSigningKey, UntrustedSession, WrongSealKey,
};
use uuid::Uuid;

/// Message and footer of a token, decoded.
fn parts(token: &str) -> (Vec<u8>, Vec<u8>) {
    let parts = token.strip_prefix("v4.public.").expect("a public token");
    let (message, footer) = parts.split_once('.').expect("a footer");
    let decode = |part| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    (decode(message), decode(footer))
}

fn join(message: impl AsRef<[u8]>, footer: impl AsRef<[u8]>) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    format!(
        "v4.public.{}.{}",
        encode(message.as_ref()),
        encode(footer.as_ref())
    )
}

fn refusal(payload: impl AsRef<[u8]>) -> InvalidToken {
    verify(&sign(payload, footer())).expect_err("a token to be refused")
}

#[test]
fn a_token_starts_as_the_guide_shows_and_reads_back() {
    let token = token();
    assert!(
        token.starts_with("v4.public.eyJhdWQiOiJnb21hbHV1bSIs"),
        "{token}"
    );
    let untrusted = UntrustedSession::parse(&token).unwrap();
    assert_eq!(untrusted.claimed_kid(), key().kid());
    let (session, claims) = (verify(&token).unwrap(), claims());
    assert_eq!(session.audience(), claims.aud);
    assert_eq!(session.issuer(), claims.iss);
    assert_eq!(session.subject(), claims.sub);
    assert_eq!(session.issued_at(), claims.iat);
    assert_eq!(session.expires_at(), claims.exp);
    assert_eq!(session.jti(), claims.jti);
    assert_eq!(session.session_id(), claims.sid);
    assert_eq!(session.auth_time(), claims.auth_time);
    assert_eq!(session.epoch(), claims.epoch);
    let opened = SessionDataKey::derive(SEAL_KEY).open(session.jti(), session.data());
    assert_eq!(*opened.unwrap(), USER_DATA);
}

#[test]
fn claims_and_footer_are_written_in_their_order() {
    let claims = SessionClaims {
        data: "v4.local.AA".to_owned(),
        sub: "a\"i\\s\u{e9}".to_owned(),
        ..claims()
    };
    let token = key().issue(&claims).unwrap();
    let (message, written_footer) = parts(&token);
    let json = String::from_utf8(message[..message.len() - 64].to_vec()).unwrap();
    assert_eq!(
        json,
        concat!(
            r#"{"aud":"gomaluum","iss":"gomaluum","sub":"a\"i\\sé","iat":"2027-01-15T08:00:00Z","#,
            r#""nbf":"2027-01-15T08:00:00Z","exp":"2027-01-15T16:00:00Z","#,
            r#""jti":"019bf000-8e2b-7c4d-8f50-fedcba987654","#,
            r#""sid":"019bef00-8e2b-7c4d-8f50-0123456789ab","auth_time":"2027-01-15T07:59:00Z","#,
            r#""epoch":1790000000000,"data":"v4.local.AA"}"#,
        )
    );
    assert_eq!(written_footer, footer().as_bytes());
    assert_eq!(verify(&token).unwrap().subject(), claims.sub);
}

#[test]
fn every_altered_byte_of_a_token_is_refused() {
    let token = token();
    for place in 0..token.len() {
        for other in ['A', 'B', '_', '.', '=', ' ', '\0'] {
            let mut changed = token.clone();
            changed.replace_range(place..=place, &other.to_string());
            assert_eq!(verify(&changed).is_ok(), changed == token, "{changed}");
        }
        assert!(verify(&token[..place]).is_err());
    }
}

#[test]
fn every_altered_bit_of_what_is_encoded_is_refused() {
    let (message, footer) = parts(&token());
    for place in 0..message.len() {
        let mut changed = message.clone();
        changed[place] ^= 1 << (place % 8);
        let refused = verify(&join(changed, &footer));
        assert_eq!(refused, Err(InvalidToken::BadSignature), "{place}");
    }
    for place in 0..footer.len() {
        let mut changed = footer.clone();
        changed[place] ^= 1 << (place % 8);
        assert!(verify(&join(&message, changed)).is_err(), "{place}");
    }
}

#[test]
fn claims_are_not_read_before_the_signature_is_right() {
    let (mut message, footer) = parts(&sign("not even JSON", footer()));
    let signed = join(&message, &footer);
    assert_eq!(verify(&signed), Err(InvalidToken::Malformed));
    message[0] ^= 1;
    let altered = join(&message, &footer);
    assert_eq!(verify(&altered), Err(InvalidToken::BadSignature));
}

#[test]
fn a_token_is_dead_from_its_expiry_on() {
    let token = token();
    let session = verify_at(&token, NOW + 28_799).unwrap();
    assert_eq!(session.check_time(NOW + 28_799), Ok(()));
    assert_eq!(session.check_time(NOW + 28_800), Err(InvalidToken::Expired));
    assert_eq!(verify_at(&token, NOW + 28_800), Err(InvalidToken::Expired));
    assert_eq!(verify_at(&token, i64::MAX), Err(InvalidToken::Expired));
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_leeway() {
    let later_start = SessionClaims {
        nbf: NOW + 100,
        ..claims()
    };
    let tokens = [
        (token(), NOW),
        (key().issue(&later_start).unwrap(), NOW + 100),
    ];
    for (token, start) in tokens {
        assert!(verify_at(&token, start - CLOCK_LEEWAY_SECONDS).is_ok());
        let early = verify_at(&token, start - CLOCK_LEEWAY_SECONDS - 1);
        assert_eq!(early, Err(InvalidToken::NotYetValid));
        assert_eq!(verify_at(&token, i64::MIN), Err(InvalidToken::NotYetValid));
    }
}

#[test]
fn a_token_for_another_audience_or_by_another_issuer_is_refused() {
    let token = UntrustedSession::parse(&token()).unwrap();
    for (audience, issuer, reason) in [
        ("Gomaluum", "gomaluum", "wrong_audience"),
        ("", "gomaluum", "wrong_audience"),
        ("gomaluum", "gomaluum ", "wrong_issuer"),
    ] {
        let policy = SessionPolicy::new(audience, issuer);
        let refused = token.verify(key().verifying_key(), &policy, NOW);
        assert_eq!(refused.unwrap_err().reason(), reason);
    }
}

#[test]
fn a_token_of_another_key_is_refused_whichever_it_names() {
    let other = SessionSigningKey::from_seed(&[8; 32]).unwrap();
    let of_other = other.issue(&claims()).unwrap();
    assert_eq!(verify(&of_other), Err(InvalidToken::KeyMismatch));
    let (message, _) = parts(&of_other);
    let renamed = join(message, footer());
    assert_eq!(verify(&renamed), Err(InvalidToken::BadSignature));
    let misnamed = sign(payload(), format!(r#"{{"kid":"{}"}}"#, other.kid()));
    assert_eq!(verify(&misnamed), Err(InvalidToken::KeyMismatch));
    let untrusted = UntrustedSession::parse(&misnamed).unwrap();
    let refused = untrusted.verify(other.verifying_key(), &POLICY, NOW);
    assert_eq!(refused, Err(InvalidToken::BadSignature));
}

#[test]
fn claims_are_read_strictly() {
    let good = payload();
    assert!(verify(&sign(&good, footer())).is_ok());
    let altered = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        refusal(good.replacen(from, to, 1))
    };
    let wrong_type = |member| InvalidToken::WrongType { member };
    for (from, to, expected) in [
        (
            r#""aud":"gomaluum""#,
            r#""aud":["gomaluum"]"#,
            wrong_type("aud"),
        ),
        (r#""sub":"aisyah""#, r#""sub":null"#, wrong_type("sub")),
        (
            r#""iat":"2027-01-15T08:00:00Z""#,
            r#""iat":1800000000"#,
            wrong_type("iat"),
        ),
        ("T08:00:00Z", "T08:00:00+00:00", wrong_type("iat")),
        ("T08:00:00Z", "T08:00:00.5Z", wrong_type("iat")),
        ("019bf000-8e2b", "019BF000-8e2b", wrong_type("jti")),
        ("019bf000-8e2b", "019bf0008e2b", wrong_type("jti")),
        ("1790000000000", "1790000000000.0", wrong_type("epoch")),
        ("1790000000000", r#""1790000000000""#, wrong_type("epoch")),
        (
            r#""iss":"gomaluum","#,
            "",
            InvalidToken::Missing { member: "iss" },
        ),
        (
            r#""aud":"#,
            r#""role":1,"aud":"#,
            InvalidToken::UnknownClaim,
        ),
        (r#""aud":"#, r#""\u0061ud":"#, InvalidToken::Malformed),
        (
            r#""sub":"#,
            r#""sub":"x","sub":"#,
            InvalidToken::Duplicate { member: "sub" },
        ),
        ("2027-01-15T16", "2027-01-15T08", wrong_type("exp")),
        ("2027-01-15T07:59", "2027-01-15T16:59", wrong_type("exp")),
    ] {
        assert_eq!(altered(from, to), expected, "{to}");
    }
    assert_eq!(refusal(format!("{good} x")), InvalidToken::Malformed);
    assert_eq!(refusal(b"\xFF"), InvalidToken::Malformed);
    assert_eq!(refusal("[]"), InvalidToken::Malformed);
}

#[test]
fn the_footer_is_the_key_id_and_nothing_else() {
    let good = footer();
    for (footer, expected) in [
        (good.replace('}', r#","x":1}"#), InvalidToken::UnknownFooter),
        (good.replace("kid", "Kid"), InvalidToken::UnknownFooter),
        (good.replace("kid", "wpk"), InvalidToken::UnknownFooter),
        (
            good.replace('}', r#","kid":"x"}"#),
            InvalidToken::Duplicate { member: "kid" },
        ),
        ("{}".to_owned(), InvalidToken::Missing { member: "kid" }),
        (
            r#"{"kid":1}"#.to_owned(),
            InvalidToken::WrongType { member: "kid" },
        ),
        (key().kid().to_owned(), InvalidToken::Malformed),
        (format!("{good}{good}"), InvalidToken::Malformed),
    ] {
        let refused = UntrustedSession::parse(&sign(payload(), &footer));
        assert_eq!(refused.err(), Some(expected), "{footer}");
    }
}

#[test]
fn other_forms_of_a_token_are_malformed() {
    let good = token();
    let (head, footer) = good.rsplit_once('.').unwrap();
    let signature_alone = format!("v4.public.{}.{footer}", URL_SAFE_NO_PAD.encode([1; 64]));
    for other in [
        "",
        "v4.public.",
        "v4.public..",
        head,
        &good["v4.".len()..],
        &good.replacen("public", "local", 1),
        &good.replacen("v4", "v3", 1),
        &good.replacen("v4", "V4", 1),
        &format!("{good}.AA"),
        &format!("{head}."),
        &format!("v4.public..{footer}"),
        &format!(" {good}"),
        &signature_alone,
    ] {
        let refused = UntrustedSession::parse(other).err();
        assert_eq!(refused, Some(InvalidToken::Malformed), "{other}");
    }
}

#[test]
fn a_token_has_one_spelling_in_base64() {
    // Three payloads of which at least two leave bits over in the last character.
    for sub in ["a", "ab", "abc"] {
        let claims = SessionClaims {
            sub: sub.to_owned(),
            ..claims()
        };
        let good = key().issue(&claims).unwrap();
        let (message, footer) = parts(&good);
        let encoded_footer = URL_SAFE_NO_PAD.encode(&footer);
        let padded = format!("v4.public.{}.{encoded_footer}", URL_SAFE.encode(&message));
        if padded != good {
            let refused = verify(&padded).unwrap_err();
            assert_eq!(refused, InvalidToken::NonCanonicalEncoding);
            let (head, _) = good.rsplit_once('.').unwrap();
            let last = head.bytes().last().unwrap();
            let stray = format!(
                "{}{}.{encoded_footer}",
                &head[..head.len() - 1],
                (last + 1) as char
            );
            let refused = verify(&stray).unwrap_err();
            assert_eq!(refused, InvalidToken::NonCanonicalEncoding);
        }
        for (place, bad) in [(10, "+"), (10, "/"), (good.len(), "="), (good.len(), "\n")] {
            let mut other = good.clone();
            other.insert_str(place, bad);
            assert!(verify(&other).is_err(), "{other}");
        }
    }
}

#[test]
fn a_token_that_is_too_long_is_neither_issued_nor_looked_at() {
    let of_length = |length| SessionClaims {
        sub: "u".repeat(length),
        ..claims()
    };
    let longest = (5000..MAX_TOKEN_BYTES)
        .map_while(|length| key().issue(&of_length(length)).ok())
        .last()
        .unwrap();
    assert!((MAX_TOKEN_BYTES - 1..=MAX_TOKEN_BYTES).contains(&longest.len()));
    assert!(verify(&longest).is_ok());
    let longer = key().issue(&of_length(MAX_TOKEN_BYTES));
    assert_eq!(longer, Err(IssueError::TooLong));
    let text = "v4.public.".to_owned() + &"A".repeat(MAX_TOKEN_BYTES);
    let refused = UntrustedSession::parse(&text).err();
    assert_eq!(refused, Some(InvalidToken::TooLong));
}

#[test]
fn the_most_user_data_fits_into_a_token_with_a_long_user_name() {
    let data_key = SessionDataKey::derive(SEAL_KEY);
    let user_data = "d".repeat(MAX_USER_DATA_BYTES);
    let claims = SessionClaims {
        sub: "u".repeat(150),
        data: data_key.seal(JTI, &user_data).unwrap(),
        ..claims()
    };
    let session = verify(&key().issue(&claims).unwrap()).unwrap();
    assert_eq!(*data_key.open(JTI, session.data()).unwrap(), user_data);
    assert_eq!(
        data_key.seal(JTI, &format!("{user_data}d")),
        Err(SealError::TooLong)
    );
    assert_eq!(data_key.seal(JTI, ""), Err(SealError::Empty));
}

#[test]
fn claims_that_would_not_be_read_back_are_not_issued() {
    let good = claims();
    let out_of_order = [
        (NOW, NOW, NOW, NOW),
        (NOW + 1, NOW, NOW, NOW),
        (NOW, NOW + 1, NOW, NOW + 1),
        (NOW, NOW, NOW + 1, NOW + 1),
        (-1, NOW, NOW, NOW + 1),
        (NOW, -1, NOW, NOW + 1),
        (NOW, NOW, -1, NOW + 1),
        (NOW, NOW, NOW, 253_402_300_800),
    ];
    for (iat, nbf, auth_time, exp) in out_of_order {
        let claims = SessionClaims {
            iat,
            nbf,
            exp,
            auth_time,
            ..good.clone()
        };
        assert_eq!(key().issue(&claims), Err(IssueError::Times));
    }
}

#[test]
fn an_inner_token_opens_with_its_own_seal_key_and_its_own_id_alone() {
    let data_key = SessionDataKey::derive(SEAL_KEY);
    let inner = data_key.seal(JTI, USER_DATA).unwrap();
    assert_eq!(*data_key.open(JTI, &inner).unwrap(), USER_DATA);
    let other_id = Uuid::from_u128(JTI.as_u128() + 1);
    assert_eq!(data_key.open(other_id, &inner), Err(WrongSealKey));
    for other in [
        b"gomaluum-default-key-2025".as_slice(),
        b"Gomaluum-default-key-2024",
        b"",
    ] {
        let foreign = SessionDataKey::derive(other);
        assert_eq!(foreign.open(JTI, &inner), Err(WrongSealKey));
    }
}

#[test]
fn every_altered_byte_of_an_inner_token_keeps_it_shut() {
    let data_key = SessionDataKey::derive(SEAL_KEY);
    let inner = data_key.seal(JTI, USER_DATA).unwrap();
    for place in 0..inner.len() {
        for other in ['A', 'B', '.', '=', '\0'] {
            let mut changed = inner.clone();
            changed.replace_range(place..=place, &other.to_string());
            let opened = data_key.open(JTI, &changed);
            assert_eq!(opened.is_ok(), changed == inner, "{changed}");
        }
        assert!(data_key.open(JTI, &inner[..place]).is_err());
    }
}

#[test]
fn the_same_user_data_is_never_sealed_alike_twice() {
    let data_key = SessionDataKey::derive(SEAL_KEY);
    let seal = || data_key.seal(JTI, USER_DATA).unwrap();
    assert_ne!(seal(), seal());
}

/// Alters the text of a token in one of the ways that an attacker or a network would.
fn altered(token: &str, place: usize, other: char, way: u8) -> String {
    let mut text = token.to_owned();
    match way % 5 {
        0 => {}
        1 => text.replace_range(place..=place, &other.to_string()),
        2 => text.truncate(place),
        3 => text.insert(place, other),
        _ => drop(text.remove(place)),
    }
    text
}

proptest! {
    #[test]
    fn this_crate_and_pasetors_agree_on_every_token(
        place in any::<prop::sample::Index>(),
        other in prop_oneof![any::<char>(), proptest::char::range('A', 'z')],
        way in any::<u8>(),
    ) {
        let token = token();
        let text = altered(&token, place.index(token.len()), other, way);
        prop_assert_eq!(verify(&text).is_ok(), pasetors_verifies(&text));
    }

    #[test]
    fn this_crate_and_pasetors_agree_on_altered_bytes(
        place in any::<prop::sample::Index>(),
        flip: u8,
    ) {
        let (mut message, footer) = parts(&token());
        let place = place.index(message.len());
        message[place] ^= flip;
        let text = join(message, footer);
        prop_assert_eq!(verify(&text).is_ok(), pasetors_verifies(&text));
        prop_assert_eq!(verify(&text).is_ok(), flip == 0);
    }

    #[test]
    fn what_is_issued_is_what_pasetors_signs(sub: String, epoch: i64, auth_time in 0..=NOW) {
        let claims = SessionClaims { sub, epoch, auth_time, ..claims() };
        let token = key().issue(&claims).unwrap();
        let (message, footer) = parts(&token);
        prop_assert_eq!(&token, &sign(&message[..message.len() - 64], footer));
        let session = verify(&token).unwrap();
        prop_assert_eq!(session.subject(), claims.sub);
        prop_assert_eq!(session.epoch(), epoch);
        prop_assert_eq!(session.auth_time(), auth_time);
    }

    #[test]
    fn no_signed_payload_or_footer_makes_the_parser_panic(
        payload in proptest::collection::vec(any::<u8>(), 1..200),
        other_footer in proptest::collection::vec(any::<u8>(), 1..100),
    ) {
        let _ = verify(&sign(&payload, footer()));
        let _ = verify(&sign(payload, other_footer));
    }

    #[test]
    fn what_is_sealed_for_a_session_opens(
        seal_key in proptest::collection::vec(any::<u8>(), 0..200),
        jti: u128,
        user_data in ".{1,300}",
    ) {
        let (key, jti) = (SessionDataKey::derive(&seal_key), Uuid::from_u128(jti));
        let inner = key.seal(jti, &user_data).unwrap();
        prop_assert_eq!(&*key.open(jti, &inner).unwrap(), &user_data);
    }
}
