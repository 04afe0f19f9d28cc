//! Owns the list of signature algorithms, by their names in RFC 7518 and RFC 8037.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How access tokens are signed. One key serves one algorithm, never two (RFC 8725 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256, under the managed key's own secret.
    #[serde(rename = "HS256")]
    Hs256,
    /// Ed25519 under a published server key.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256 under a published server key.
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// The registered name, which is case-sensitive (RFC 7515 section 4.1.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithmName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Hs256, Self::EdDsa, Self::Es256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(UnknownAlgorithmName)
    }
}

/// A name that is none of `HS256`, `EdDSA` and `ES256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the algorithm must be HS256, EdDSA or ES256")]
pub struct UnknownAlgorithmName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_is_the_same_in_json() {
        for algorithm in [Algorithm::Hs256, Algorithm::EdDsa, Algorithm::Es256] {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.name());
        }
    }

    #[test]
    fn other_names_and_other_letter_cases_are_unknown() {
        for name in ["none", "None", "hs256", "EDDSA", "RS256", "HS512", ""] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithmName));
        }
    }
}
