//! What holds for all inputs, not only for the ones that came to mind.

use crate::forge::{HS256, NOW, POLICY, SECRET, claims, payload, sign, verify};
use proptest::prelude::*;
use sealgate_token::jwt::{Claims, Untrusted, issue_hs256};
use sealgate_token::seal::{Envelope, SealingKey, seal_envelope};
use uuid::Uuid;

/// Any claims that may be issued and are in force now.
fn any_claims() -> impl Strategy<Value = Claims> {
    let text = r#"[^"\\\x00-\x1f]{0,60}"#;
    let ids = (any::<u128>(), any::<u128>());
    let times = (0..=NOW, 0..=NOW, NOW + 1..=253_402_300_799);
    (ids, text, text, any::<bool>(), times).prop_map(
        |((sub, jti), prefix, permissions, is_admin, (one, other, exp))| Claims {
            iss: POLICY.issuer.to_owned(),
            sub: Uuid::from_u128(sub),
            prefix,
            permissions,
            is_admin,
            iat: one.max(other),
            exp,
            auth_time: one.min(other),
            jti: Uuid::from_u128(jti),
        },
    )
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Untrusted::parse(&text);
        let _ = Envelope::parse(&text);
    }

    #[test]
    fn no_text_of_three_parts_makes_the_parser_panic(
        text in r"[A-Za-z0-9_\-]{0,80}\.[A-Za-z0-9_\-]{0,80}\.[A-Za-z0-9_\-]{40,90}",
    ) {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn no_signed_header_or_payload_makes_the_parser_panic(
        header in any::<String>(),
        claims in any::<Vec<u8>>(),
    ) {
        let _ = verify(&sign(&header, payload()));
        let _ = verify(&sign(HS256, claims));
    }

    #[test]
    fn no_change_to_a_signed_payload_makes_the_parser_panic(
        place in any::<prop::sample::Index>(),
        insert in any::<String>(),
    ) {
        let mut altered = payload();
        altered.insert_str(place.index(altered.len()), &insert);
        let _ = verify(&sign(HS256, altered));
    }

    #[test]
    fn what_is_issued_is_verified(claims in any_claims()) {
        let trusted = verify(&issue_hs256(&claims, &SECRET).unwrap()).unwrap();
        prop_assert_eq!(trusted.key_id(), claims.sub);
        prop_assert_eq!(trusted.jti(), claims.jti);
        prop_assert_eq!(trusted.prefix(), claims.prefix);
        prop_assert_eq!(trusted.permissions(), claims.permissions);
        prop_assert_eq!(trusted.is_admin(), claims.is_admin);
        prop_assert_eq!(trusted.issued_at(), claims.iat);
        prop_assert_eq!(trusted.expires_at(), claims.exp);
        prop_assert_eq!(trusted.auth_time(), claims.auth_time);
    }

    #[test]
    fn any_other_character_anywhere_is_refused(
        place in any::<prop::sample::Index>(),
        other in any::<char>(),
    ) {
        let token = issue_hs256(&claims(), &SECRET).unwrap();
        let place = place.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(place..=place, &other.to_string());
        prop_assume!(changed != token);
        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn what_is_sealed_opens(
        key: [u8; 32],
        nonce: [u8; 12],
        version: u32,
        lineage: u128,
        plaintext: Vec<u8>,
    ) {
        let (key, lineage) = (SealingKey::new(&key), Uuid::from_u128(lineage));
        let text = seal_envelope(&key, version, nonce, lineage, &plaintext).unwrap();
        let envelope = Envelope::parse(&text).unwrap();
        prop_assert_eq!(envelope.version(), version);
        let opened = envelope.open(&key, lineage).unwrap();
        prop_assert_eq!(&*opened, &plaintext);
    }
}
