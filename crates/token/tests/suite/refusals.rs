//! Every way a token can be wrong, each refused for its own reason.

use crate::forge::{
    HS256, NOW, POLICY, SECRET, claims, payload, seal_parts, sign, verify, verify_at,
};
use sealgate_token::jwt::{
    Algorithm, CLOCK_LEEWAY_SECONDS, InvalidToken, MAX_TOKEN_BYTES, SigningKey, Untrusted,
    VerifyingKey, issue_hs256,
};

#[track_caller]
fn assert_refused(token: &str, reason: &str) {
    let refused = verify(token).map(|_| ()).map_err(|error| error.reason());
    assert_eq!(refused, Err(reason), "{token}");
}

#[track_caller]
fn assert_payload_refused(payload: &str, reason: &str) {
    assert_refused(&sign(HS256, payload), reason);
}

#[test]
fn the_forger_of_these_tests_makes_good_tokens_too() {
    assert!(verify(&sign(HS256, payload())).is_ok());
}

#[test]
fn a_token_has_three_parts_and_none_is_empty() {
    let good = sign(HS256, payload());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts")
    };
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{good}.{signature}"),
        format!("{header}.{good}"),
        format!(".{good}"),
        format!("{good}."),
    ] {
        assert_refused(&token, "malformed");
    }
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at() {
    assert_refused(&"a".repeat(MAX_TOKEN_BYTES), "malformed");
    assert_refused(&"a".repeat(MAX_TOKEN_BYTES + 1), "too_long");
    assert_refused(
        &sign(HS256, format!("{}{}", payload(), " ".repeat(8000))),
        "too_long",
    );
}

#[test]
fn other_algorithms_are_unknown() {
    for alg in [
        "none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "PS256", "ES384", "EDDSA",
        "eddsa", "Ed25519", "HS256 ", "ES256K",
    ] {
        let header = format!(
            r#"{{"alg":"{alg}","typ":"JWT","kid":"{}"}}"#,
            "A".repeat(43)
        );
        assert_refused(&sign(header, payload()), "unknown_algorithm");
    }
    let unsigned = sign(r#"{"alg":"none","typ":"JWT"}"#, payload());
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    assert_refused(&format!("{unsigned}."), "malformed");
}

#[test]
fn an_hs256_header_has_one_spelling() {
    for header in [
        r#"{"typ":"JWT","alg":"HS256"}"#,
        r#"{ "alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#,
        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}\n",
    ] {
        assert_refused(&sign(header, payload()), "non_canonical_header");
    }
    // Escapes, even of our own words, are never written and so never read.
    assert_refused(
        &sign(r#"{"alg":"HS\u003256","typ":"JWT"}"#, payload()),
        "wrong_type",
    );
    assert_refused(
        &sign(r#"{"\u0061lg":"HS256","typ":"JWT"}"#, payload()),
        "malformed",
    );
}

#[test]
fn a_header_has_no_other_members_and_each_once() {
    for (member, reason) in [
        (r#""crit":["exp"]"#, "unknown_critical"),
        (r#""crit":[]"#, "unknown_critical"),
        (r#""jwk":{"kty":"oct","k":"AA"}"#, "embedded_key"),
        (r#""jku":"https://evil.example/keys""#, "embedded_key"),
        (r#""x5u":"https://evil.example/cert""#, "embedded_key"),
        (r#""x5c":[]"#, "embedded_key"),
        (r#""x5t#S256":"AA""#, "embedded_key"),
        (r#""b64":false"#, "unknown_header"),
        (r#""zip":"DEF""#, "unknown_header"),
        (r#""cty":"JWT""#, "unknown_header"),
        (r#""":1"#, "unknown_header"),
        (r#""alg":"EdDSA""#, "duplicate"),
        (r#""typ":"JWT""#, "duplicate"),
        (r#""kid":"x""#, "duplicate"),
    ] {
        let kid = "A".repeat(43);
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}",{member}}}"#);
        assert_refused(&sign(header, payload()), reason);
    }
}

#[test]
fn a_server_header_is_complete_and_of_the_right_types() {
    let kid = format!(r#""kid":"{}""#, "A".repeat(43));
    for (header, reason) in [
        ("{}".to_owned(), "missing"),
        (format!(r#"{{"typ":"JWT",{kid}}}"#), "missing"),
        (format!(r#"{{"alg":"EdDSA",{kid}}}"#), "missing"),
        (r#"{"alg":"EdDSA","typ":"JWT"}"#.to_owned(), "missing"),
        (
            format!(r#"{{"alg":["EdDSA"],"typ":"JWT",{kid}}}"#),
            "wrong_type",
        ),
        (format!(r#"{{"alg":null,"typ":"JWT",{kid}}}"#), "wrong_type"),
        (
            format!(r#"{{"alg":"EdDSA","typ":"at+jwt",{kid}}}"#),
            "wrong_token_type",
        ),
        (
            r#"{"alg":"EdDSA","typ":"JWT","kid":"../../etc/passwd"}"#.to_owned(),
            "wrong_type",
        ),
        (
            r#"{"alg":"EdDSA","typ":"JWT","kid":7}"#.to_owned(),
            "wrong_type",
        ),
        (
            format!(r#"[{{"alg":"EdDSA","typ":"JWT",{kid}}}]"#),
            "malformed",
        ),
        (format!(r#"{{"alg":"EdDSA","typ":"JWT",{kid}"#), "malformed"),
        (
            format!(r#"{{"alg":"EdDSA","typ":"JWT",{kid}}}{{}}"#),
            "malformed",
        ),
        ("null".to_owned(), "malformed"),
        ("\u{feff}{}".to_owned(), "malformed"),
    ] {
        assert_refused(&sign(header, payload()), reason);
    }
    assert_refused(&sign(b"{\"alg\":\"\xff\"}", payload()), "malformed");
}

/// The classic confusion: the public key, which anyone has, used as an HMAC secret.
#[test]
fn a_server_key_does_not_verify_hs256_nor_a_secret_a_server_token() {
    let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let by_secret = issue_hs256(&claims(), &SECRET).unwrap();
    let by_server = key.issue(&claims()).unwrap();
    let verified =
        Untrusted::parse(&by_secret)
            .unwrap()
            .verify_server(key.verifying_key(), &POLICY, NOW);
    assert_eq!(verified, Err(InvalidToken::AlgorithmMismatch));
    assert_eq!(verify(&by_server), Err(InvalidToken::AlgorithmMismatch));

    let (payload, header) = (payload(), r#"{"alg":"EdDSA","typ":"JWT","kid":""#);
    let header = format!(r#"{header}{}"}}"#, key.kid());
    assert_refused(&sign(header, payload), "bad_signature");
}

#[test]
fn a_server_token_is_verified_with_the_key_and_algorithm_that_it_names() {
    let (first, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let (second, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let (other, _) = SigningKey::generate(Algorithm::Es256).unwrap();
    let token = first.issue(&claims()).unwrap();
    let verify =
        |token: &str, key: &VerifyingKey| Untrusted::parse(token)?.verify_server(key, &POLICY, NOW);
    assert!(verify(&token, first.verifying_key()).is_ok());
    assert_eq!(
        verify(&token, second.verifying_key()),
        Err(InvalidToken::KeyMismatch)
    );
    assert_eq!(
        verify(&token, other.verifying_key()),
        Err(InvalidToken::AlgorithmMismatch)
    );

    // Another key's token under this key's name.
    let (_, rest) = token.split_once('.').unwrap();
    let foreign = second.issue(&claims()).unwrap();
    let (foreign_header, _) = foreign.split_once('.').unwrap();
    let forged = format!("{foreign_header}.{rest}");
    assert_eq!(
        verify(&forged, second.verifying_key()),
        Err(InvalidToken::BadSignature)
    );
}

#[test]
fn a_time_is_a_plain_whole_number_in_range() {
    for (claim, value) in [("iat", NOW), ("exp", NOW + 3600), ("auth_time", NOW - 60)] {
        let good = format!(r#""{claim}":{value}"#);
        for bad in [
            format!(r#""{value}""#),
            "-1".to_owned(),
            "-0".to_owned(),
            format!("{value}.0"),
            format!("{value}e0"),
            "1e300".to_owned(),
            "253402300800".to_owned(),
            i64::MAX.to_string(),
            u64::MAX.to_string(),
            "null".to_owned(),
            "true".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
        ] {
            let altered = payload().replace(&good, &format!(r#""{claim}":{bad}"#));
            assert_payload_refused(&altered, "wrong_type");
        }
        for bad in [
            "01",
            "+1",
            "0x10",
            "NaN",
            "Infinity",
            "1e999",
            &"9".repeat(400),
            "",
        ] {
            let altered = payload().replace(&good, &format!(r#""{claim}":{bad}"#));
            assert_payload_refused(&altered, "malformed");
        }
    }
}

#[test]
fn claims_are_of_the_right_types() {
    for (good, bad) in [
        (r#""iss":"sealgate""#, r#""iss":["sealgate"]"#),
        (r#""iss":"sealgate""#, r#""iss":null"#),
        (r#""iss":"sealgate""#, r#""iss":"\u0073ealgate""#),
        (r#""prefix":"aB3dE5fG""#, r#""prefix":7"#),
        (r#""is_admin":false"#, r#""is_admin":"true""#),
        (r#""is_admin":false"#, r#""is_admin":1"#),
        (
            r#""permissions":"api:read api:write""#,
            r#""permissions":["*"]"#,
        ),
    ] {
        let altered = payload().replace(good, bad);
        assert_ne!(altered, payload());
        assert_payload_refused(&altered, "wrong_type");
    }
}

#[test]
fn ids_are_lower_case_uuids_with_hyphens_and_sub_is_kid() {
    let id = claims().sub.to_string();
    for bad in [
        id.to_uppercase(),
        id.replace('-', ""),
        format!("{{{id}}}"),
        format!("urn:uuid:{id}"),
        format!(" {id}"),
        id[1..].to_owned(),
        id.replace('9', "g"),
        String::new(),
    ] {
        assert_payload_refused(&payload().replace(&id, &bad), "wrong_type");
        let jti = claims().jti.to_string();
        assert_payload_refused(&payload().replace(&jti, &bad), "wrong_type");
    }
    let other = payload().replacen(&id, &claims().jti.to_string(), 1);
    assert_payload_refused(&other, "key_mismatch");
}

#[test]
fn no_claim_is_unknown_missing_or_there_twice() {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&payload()).unwrap();
    assert_eq!(object.len(), 10);
    for (name, value) in &object {
        let mut without = object.clone();
        without.remove(name);
        let without = serde_json::to_string(&without).unwrap();
        assert_payload_refused(&without, "missing");

        let twice = payload().replacen('{', &format!(r#"{{"{name}":{value},"#), 1);
        assert_payload_refused(&twice, "duplicate");
    }
    for unknown in [
        r#""nbf":0"#,
        r#""aud":"x""#,
        r#""scope":"*""#,
        r#""":0"#,
        r#""Iss":"x""#,
    ] {
        let more = payload().replacen('{', &format!("{{{unknown},"), 1);
        assert_payload_refused(&more, "unknown_claim");
    }
}

#[test]
fn a_payload_is_one_json_object() {
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    for bad in [
        "",
        " ",
        "{",
        "null",
        "[]",
        "0",
        "\"\"",
        "{}{}",
        "{]",
        "\u{feff}{}",
        &deep,
    ] {
        let reason = verify(&sign(HS256, bad)).unwrap_err().reason();
        assert_eq!(reason, "malformed", "{bad}");
    }
    assert_payload_refused("{}", "missing");
    assert_payload_refused(&format!("{}x", payload()), "malformed");
    let not_text = payload()
        .into_bytes()
        .into_iter()
        .map(|b| b | 0x80)
        .collect::<Vec<u8>>();
    assert_refused(&sign(HS256, not_text), "malformed");
}

/// Such a payload cannot be issued here, but who holds the key's secret may order JSON as they like.
#[test]
fn the_order_of_the_claims_does_not_matter() {
    let sorted: serde_json::Value = serde_json::from_str(&payload()).unwrap();
    let spaced = serde_json::to_string_pretty(&sorted).unwrap();
    assert_eq!(
        verify(&sign(HS256, spaced)),
        verify(&sign(HS256, payload()))
    );
}

#[test]
fn base64url_is_canonical_in_every_part() {
    let good = sign(HS256, payload());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts")
    };
    for suffix in ["=", "==", " ", "\n", "\t", "+", "/", "%3D", "ä", "\0"] {
        assert_refused(
            &seal_parts(&format!("{header}{suffix}"), claims),
            "non_canonical_encoding",
        );
        assert_refused(
            &seal_parts(header, &format!("{claims}{suffix}")),
            "non_canonical_encoding",
        );
        assert_refused(&format!("{good}{suffix}"), "bad_signature");
        let (kept, _) = signature.split_at(signature.len() - suffix.len().min(2));
        assert!(verify(&format!("{header}.{claims}.{kept}{suffix}")).is_err());
    }
    assert_refused(&format!(" {good}"), "non_canonical_encoding");
}

#[test]
fn bits_that_belong_to_no_byte_are_zero() {
    let good = sign(HS256, payload());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = alphabet.find(&signature[42..]).unwrap();
    // The last of 43 characters has two bits that no byte of the 32 holds.
    for stray in 1..4 {
        let last = &alphabet[value + stray..=value + stray];
        let token = format!("{signed}.{}{last}", &signature[..42]);
        assert_refused(&token, "non_canonical_encoding");
    }
    assert_refused(
        &seal_parts("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ8", "e30"),
        "malformed",
    );
    assert_refused(
        &seal_parts("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "e31"),
        "non_canonical_encoding",
    );
}

#[test]
fn a_token_cut_anywhere_is_refused() {
    let token = issue_hs256(&claims(), &SECRET).unwrap();
    for length in 0..token.len() {
        assert!(verify(&token[..length]).is_err(), "{length}");
        assert!(verify(&token[token.len() - length..]).is_err(), "{length}");
    }
}

#[test]
fn a_token_with_any_byte_changed_is_refused() {
    let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    for token in [
        issue_hs256(&claims(), &SECRET).unwrap(),
        key.issue(&claims()).unwrap(),
    ] {
        for place in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                let changed = String::from_utf8(bytes).unwrap();
                let by_secret = verify(&changed);
                let by_server = Untrusted::parse(&changed)
                    .and_then(|token| token.verify_server(key.verifying_key(), &POLICY, NOW));
                assert!(by_secret.is_err() && by_server.is_err(), "{place} {bit}");
            }
        }
    }
}

#[test]
fn another_secret_is_refused_before_the_claims_are_judged() {
    let token = issue_hs256(&claims(), &[8; 32]).unwrap();
    assert_refused(&token, "bad_signature");
    assert_eq!(
        verify_at(&token, NOW + 9000),
        Err(InvalidToken::BadSignature)
    );
}

#[test]
fn a_token_is_dead_at_its_expiry_to_the_second() {
    let token = issue_hs256(&claims(), &SECRET).unwrap();
    let trusted = verify_at(&token, NOW + 3599).unwrap();
    assert_eq!(trusted.check_time(NOW + 3599), Ok(()));
    assert_eq!(trusted.check_time(NOW + 3600), Err(InvalidToken::Expired));
    assert_eq!(verify_at(&token, NOW + 3600), Err(InvalidToken::Expired));
    assert_eq!(verify_at(&token, i64::MAX), Err(InvalidToken::Expired));
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_leeway() {
    let token = issue_hs256(&claims(), &SECRET).unwrap();
    assert!(verify_at(&token, NOW - CLOCK_LEEWAY_SECONDS).is_ok());
    let early = verify_at(&token, NOW - CLOCK_LEEWAY_SECONDS - 1);
    assert_eq!(early, Err(InvalidToken::NotYetValid));
    assert_eq!(verify_at(&token, i64::MIN), Err(InvalidToken::NotYetValid));
}

#[test]
fn another_issuer_is_refused() {
    for issuer in ["", "Sealgate", "sealgate ", "sealgat", "sealgateaB3dE5fG"] {
        let other = sealgate_token::jwt::Claims {
            iss: issuer.to_owned(),
            ..claims()
        };
        assert_refused(&issue_hs256(&other, &SECRET).unwrap(), "wrong_issuer");
    }
}

#[test]
fn no_error_shows_a_token() {
    let error = verify(&sign(HS256, payload().replace("is_admin", "hunter2"))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let token = issue_hs256(&claims(), &SECRET).unwrap();
    let untrusted = format!("{:?}", Untrusted::parse(&token).unwrap());
    assert_eq!(untrusted, "Untrusted { signer: KeySecret, .. }");
}
