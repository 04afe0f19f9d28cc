//! Owns the reading of the official test vectors, of <https://github.com/paseto-standard/test-vectors>,
//! by the unit tests of this module.

use serde::Deserialize;
use zeroize::Zeroizing;

pub const TOKENS: &str = include_str!("../../tests/vectors/paseto-v4.json");
pub const KEY_IDS: &str = include_str!("../../tests/vectors/paserk-k4.pid.json");
pub const PUBLIC_KEYS: &str = include_str!("../../tests/vectors/paserk-k4.public.json");
pub const SECRET_KEYS: &str = include_str!("../../tests/vectors/paserk-k4.secret.json");

#[derive(Deserialize)]
struct File {
    tests: Vec<Vector>,
}

/// One test, of tokens or of keys; what it has no use for is empty.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vector {
    pub name: String,
    pub expect_fail: bool,
    pub key: Option<String>,
    pub public_key: Option<String>,
    pub secret_key: Option<String>,
    pub secret_key_seed: Option<String>,
    pub token: Option<String>,
    pub payload: Option<String>,
    #[serde(default)]
    pub footer: String,
    #[serde(default)]
    pub implicit_assertion: String,
    pub paserk: Option<String>,
}

/// The vectors whose name starts like this.
pub fn named(file: &str, prefix: &str) -> Vec<Vector> {
    let file: File = serde_json::from_str(file).expect("a file of test vectors");
    let vectors: Vec<_> = file
        .tests
        .into_iter()
        .filter(|vector| vector.name.starts_with(prefix))
        .collect();
    assert!(!vectors.is_empty(), "no vector is called {prefix}");
    vectors
}

pub fn bytes<const N: usize>(hex: Option<&String>) -> Option<Zeroizing<[u8; N]>> {
    super::signing_key::hex(hex?)
}
