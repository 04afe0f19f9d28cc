//! The derivation vectors and the token that `docs/session-tokens.md` shows, worked out again: by
//! Python's `cryptography` and `pyseto`, and by our own code.

use std::path::Path;

use sealgate_token::paseto::SessionDataKey;
use serde_json::{Value, json};
use uuid::Uuid;

use super::pyseto::Pyseto;
use super::text;
use crate::support::Home;

/// A row of the table of derived keys.
struct Vector {
    seal_key: String,
    /// In hexadecimal digits.
    data_key: String,
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/session-tokens.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows that end in 32 bytes of hexadecimal digits and begin with a key.
fn vectors(page: &str) -> Vec<Vector> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows = rows.map(|line| line.trim_matches('|').split('|').collect::<Vec<_>>());
    let vectors = rows.filter(|cells| cells.len() == 3).filter_map(|cells| {
        let code = |cell: &str| -> Option<String> {
            let inner = cell.trim().strip_prefix('`')?.strip_suffix('`')?;
            Some(inner.to_owned())
        };
        let (seal_key, data_key) = (code(cells[0])?, code(cells[2])?);
        let is_hex = data_key.len() == 64 && data_key.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then_some(Vector { seal_key, data_key })
    });
    vectors.collect()
}

/// The first word of the page with a beginning, of more than the beginning.
fn word<'a>(page: &'a str, beginning: &str) -> &'a str {
    let mut words = page.split(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '|'));
    words
        .find(|word| word.starts_with(beginning) && word.len() > beginning.len() + 8)
        .unwrap_or_else(|| panic!("the page shows no {beginning}"))
}

#[test]
fn every_derived_key_of_the_page_is_what_python_derives_and_what_we_seal_with() {
    let home = Home::new();
    let python = Pyseto::new(&home);
    let vectors = vectors(&page());
    assert!(vectors.len() >= 4, "the page was not read");
    let jti = Uuid::from_u128(0x01a3_185c_5000_7c4d_8f50_fedc_ba98_7654);
    let data = json!({"username": "aisyah"});
    for Vector { seal_key, data_key } in &vectors {
        let answers = python.ask(&[
            json!({"ask": "derive", "seal_key": seal_key}),
            json!({"ask": "seal", "seal_key": seal_key, "assertion": jti, "data": data}),
        ]);
        assert_eq!(answers[0]["data_key"], **data_key, "{seal_key}");
        let ours = SessionDataKey::derive(seal_key.as_bytes());
        let opened = ours
            .open(jti, &text(&answers[1]["token"]))
            .expect("the same key");
        assert_eq!(*opened, data.to_string(), "{seal_key}");
    }
}

#[test]
fn pyseto_opens_the_token_of_the_page_and_finds_what_the_page_says_is_in_it() {
    let home = Home::new();
    let page = page();
    let opened = Pyseto::new(&home).ask(&[json!({
        "ask": "open",
        "token": word(&page, "v4.public."),
        "public": word(&page, "k4.public."),
        "seal_key": word(&page, "gml_1703123456_"),
        "at": "any time",
    })]);
    let opened = &opened[0];
    assert_eq!(opened["kid"], word(&page, "k4.pid."), "{opened}");
    assert_eq!(opened["claims"]["data"], word(&page, "v4.local."));
    let shown = page
        .split('`')
        .find(|code| code.starts_with(r#"{"username":"#))
        .expect("the page shows user data");
    let shown: Value = serde_json::from_str(shown).expect("user data of JSON");
    assert_eq!(opened["data"], shown);
}
