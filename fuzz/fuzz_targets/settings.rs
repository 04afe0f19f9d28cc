//! A settings file.

#![no_main]

#[path = "../../crates/sealgate/src/settings/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the program uses more of it than its reading"
)]
mod settings;

use libfuzzer_sys::fuzz_target;
use sealgate_token::jwt::{Claims, issue_hs256};
use uuid::Uuid;

use self::settings::{Settings, parse_levels};

fuzz_target!(|text: &str| {
    let Ok(settings) = toml::from_str::<Settings>(text) else {
        return;
    };
    assert_eq!(toml::from_str(text).as_ref(), Ok(&settings));
    assert!(parse_levels(&settings.log.level).is_ok());
    if settings.check().is_ok() {
        let issued = issue_hs256(&claims(settings.authority().issuer), &[0x5A; 32]);
        assert!(issued.is_ok(), "tokens of this issuer cannot be issued");
    }
});

fn claims(iss: String) -> Claims {
    Claims {
        iss,
        sub: Uuid::nil(),
        prefix: "TcE8hG4L".to_owned(),
        permissions: "api:read api:write".to_owned(),
        is_admin: false,
        iat: 1_703_123_456,
        exp: 1_703_127_056,
        auth_time: 1_703_123_456,
        jti: Uuid::nil(),
    }
}
