//! What a setting can be, and what is said of what it cannot be.

use hyper::header::HeaderValue;
use proptest::prelude::*;
use sealgate_core::seal_key::{PresentedSealKey, SealKeyFormat, SealKeyRules};
use sealgate_core::secret::SecretText;
use sealgate_token::jwt::{Claims, issue_hs256};
use uuid::Uuid;

use super::*;

fn refusal(toml: &str) -> String {
    let error = toml::from_str::<Settings>(toml).unwrap_err();
    error.message().to_owned()
}

#[test]
fn the_defaults_are_those_of_the_use_cases() {
    let (ours, theirs) = (
        Settings::default().authority(),
        authority::Settings::default(),
    );
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn the_example_shows_every_setting_at_its_default() {
    const EXAMPLE: &str = include_str!("../../../../sealgate.example.toml");
    assert_eq!(
        toml::from_str::<Settings>(EXAMPLE).unwrap(),
        Settings::default()
    );

    let is_setting = |line: &&str| line.contains(" = ") || line.starts_with("[[");
    let shown: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(is_setting).unwrap_or(line))
        .filter(|line| !line.starts_with('#'))
        .collect();
    let shown = shown.join("\n");
    let settings: Settings = toml::from_str(&shown).unwrap();
    assert_eq!(settings.policy().unwrap().rules().len(), 4);
    let shown: toml::Table = toml::from_str(&shown).unwrap();
    for variable in crate::env::SETTINGS {
        let mut path = variable.setting.split('.');
        let first = path.next().and_then(|name| shown.get(name));
        let found = path.fold(first, |found, name| found?.get(name));
        assert!(found.is_some(), "{} is missing", variable.setting);
    }
}

#[test]
fn what_a_setting_cannot_be_is_refused_with_what_it_can_be() {
    for (toml, says) in [
        ("keys.rotation_days = 0", "0 is not between 1 and 3650"),
        ("tokens.lifetime_seconds = -1", "-1 is not between 1 and"),
        ("tokens.issuer = ' '", "must not be empty"),
        ("tokens.issuer = 'a\"b'", "must not have double quotes"),
        (r"tokens.issuer = 'a\b'", "must not have double quotes"),
        (r#"tokens.issuer = "a\u0000b""#, "control characters"),
        (r#"tokens.issuer = "a\u0085b""#, "control characters"),
        ("log.level = 'inof'", "`inof` is not a log level"),
        ("server.cors_origins = ['https://a/b']", "not an origin"),
        (
            "server.trusted_proxies = ['10.0.0.0/33']",
            "not an address or a network",
        ),
        ("security.contact = ['me@example.com']", "mailto:"),
        ("audit.requests = 'some'", "`counted` or `all`"),
        (
            "forward_auth.headers = 'X-Original-Method'",
            "`either`, `x-original`, `x-forwarded`, `none`",
        ),
        ("sessions.audience = ''", "must not be empty"),
        ("sessions.header = 'x gomaluum'", "not the name of a header"),
        ("sessions.header = 'Authorization'", "a meaning of its own"),
        (
            "sessions.header = 'X-Original-Method'",
            "a meaning of its own",
        ),
        ("sessions.header = 'X-API-Key'", "a meaning of its own"),
        ("sessions.key_prefix = 'GML'", "1 to 16 lower-case letters"),
        ("sessions.key_prefix = 'g_l'", "1 to 16 lower-case letters"),
        ("sessions.default_key = 'short'", "8 to 128 characters"),
        ("sessions.default_key = 'schlüssel'", "printable ASCII"),
        ("sessions.default_key = ' with a space'", "at either end"),
        (
            "sessions.wrong_key_status = 403",
            "403 is neither 500 nor 401",
        ),
        ("passwords.max_concurrent = 257", "not between 0 and 256"),
        ("passwords.min_length = 0", "0 is not between 1 and 64"),
        ("identity.backend = 'x500'", "`embedded`, `http`"),
        (
            "identity.http.success = [199]",
            "199 is not between 200 and",
        ),
        ("identity.http.password_field = ''", "the name of a field"),
        (
            "identity_headers.subject = \"host\"",
            "the header `host` has a meaning of its own",
        ),
        ("tokens.cache = -1", "-1 is not between 0 and"),
        ("limits.anonymous_per_minute = 0", "0 is not between 1 and"),
        (
            "limits.public_per_minute = 1_000_001",
            "not between 0 and 1000000",
        ),
    ] {
        let refusal = refusal(toml);
        assert!(refusal.contains(says), "{toml}: {refusal}");
    }
}

#[test]
fn an_issuer_that_no_token_can_hold_is_refused() {
    let toml = |bytes: usize| format!("tokens.issuer = '{}'", "é".repeat(bytes / 2));
    assert!(toml::from_str::<Settings>(&toml(254)).is_ok());
    for bytes in [256, 6_000] {
        let says = format!("its {bytes} bytes are more than 255");
        assert!(refusal(&toml(bytes)).contains(&says));
    }
}

#[test]
fn settings_that_do_not_fit_each_other_are_named() {
    const DIGITS: &str = "0123456789ABCDEF0123456789abcdef01234567";
    let of_digits = format!("sessions.default_key = '{DIGITS}'");
    for (toml, says) in [
        ("tokens.max_lifetime_seconds = 60", "is less than"),
        ("tls.cert = 'x'", "tls.key is not"),
        ("sessions.max_lifetime_seconds = 60", "is less than"),
        (
            "sessions.default_key = 'gml_something'",
            "begin with `gml_`",
        ),
        ("sessions.default_key = 'a.dot within'", "no dot"),
        (&of_digits, "40 or more hexadecimal digits"),
        (
            "passwords.memory_kib = 7",
            "passwords.memory_kib: from 8 to",
        ),
        ("passwords.passes = 0", "passwords.passes: from 1 to"),
        ("identity.backend = 'http'", "identity.http.url is not set"),
        (
            "identity_headers.subject = \"X-Auth-Kind\"",
            "identity_headers.kind and identity_headers.subject are the same header, x-auth-kind",
        ),
        (
            "identity_headers.subject = \"x-gomaluum-key\"",
            "sessions.header and identity_headers.subject are the same header",
        ),
        ("identity.backend = 'ldap'", "identity.ldap.url is not set"),
        (
            "identity = { backend = 'ldap', ldap = { url = 'ldaps://x' } }",
            "one of user_dn",
        ),
        (
            "identity = { backend = 'ldap', ldap = { url = 'ldaps://x', search_base = 'dc=x', \
             bind_dn = 'cn=x' } }",
            "bind_password_file are set together",
        ),
    ] {
        let settings: Settings = toml::from_str(toml).unwrap();
        let complaint = settings.check().unwrap_err();
        assert!(complaint.contains(says), "{toml}: {complaint}");
        assert!(
            !complaint.contains(DIGITS),
            "a secret is shown: {complaint}"
        );
    }
}

proptest! {
    #[test]
    fn a_default_key_that_is_taken_fits_a_header_and_is_taken_for_no_other_kind(
        key in "[ -~]{8,128}|gml_[0-9]{1,12}_[0-9a-f]{40,64}|[0-9a-fA-F]{38,60}|\\PC{6,40}",
    ) {
        let table = toml::Table::from_iter([("default_key".to_owned(), key.clone().into())]);
        let settings = Sessions::deserialize(table);
        if let Some(settings) = settings.ok().filter(|settings| settings.check().is_ok()) {
            prop_assert!(HeaderValue::from_str(&key).is_ok_and(|header| header == key));
            let rules = settings.core().seal_keys;
            let other = SealKeyRules {
                default_key: SecretText::new("another default key".to_owned()),
                ..rules.clone()
            };
            let format = PresentedSealKey::parse(Some(&key), &rules).map(|key| key.format());
            prop_assert_eq!(format, Ok(SealKeyFormat::Default));
            prop_assert!(PresentedSealKey::parse(Some(&key), &other).is_err());
        }
    }

    #[test]
    fn an_issuer_that_is_taken_can_be_issued(iss in "\\PC{0,80}|[ -~]{1,260}|(?s).{0,8}") {
        let tokens = toml::Table::from_iter([("issuer".to_owned(), iss.clone().into())]);
        if let Ok(Tokens { issuer, .. }) = Tokens::deserialize(tokens) {
            prop_assert_eq!(&issuer, &iss);
            let claims = Claims {
                iss,
                sub: Uuid::nil(),
                prefix: "TcE8hG4L".to_owned(),
                permissions: "api:read".to_owned(),
                is_admin: false,
                iat: 1,
                exp: 2,
                auth_time: 1,
                jti: Uuid::nil(),
            };
            prop_assert!(issue_hs256(&claims, &[0x5A; 32]).is_ok());
        }
    }
}

#[test]
fn the_default_seal_key_is_never_shown() {
    let settings: Settings = toml::from_str("sessions.default_key = 'our own and secret'").unwrap();
    assert!(!settings.sessions.takes_well_known_key());
    assert!(!format!("{settings:?}").contains("our own"));
    assert!(!refusal("sessions.default_key = 'tööö secret'").contains("secret'"));
}
