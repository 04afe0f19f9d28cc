//! Owns the header of a token: the two forms that are issued, and the refusal of every other.

use serde::de::MapAccess;

use super::object::{self, Member, Object, required};
use super::{Algorithm, InvalidToken, Thumbprint};
use crate::base64url;

/// `{"alg":"HS256","typ":"JWT"}`. The header of every HS256 token is these bytes, so it is compared
/// and never parsed: there is nothing in it for a forger to vary.
pub(super) const HS256_HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// Who a token claims was its signer. Unverified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The managed key's own HS256 secret; see
    /// [`claimed_key_id`](super::Untrusted::claimed_key_id) for which.
    KeySecret,
    /// A server key.
    Server {
        /// Which one.
        kid: Thumbprint,
        /// With which algorithm, never [`Algorithm::Hs256`].
        algorithm: Algorithm,
    },
}

impl Signer {
    /// Reads the first part of a token.
    pub(super) fn read(header: &str) -> Result<Self, InvalidToken> {
        if header == HS256_HEADER {
            return Ok(Self::KeySecret);
        }
        let (kid, algorithm) = read_server_header(header, ACCESS_TOKEN)?;
        Ok(Self::Server { kid, algorithm })
    }
}

/// The `typ` of access tokens.
pub(super) const ACCESS_TOKEN: &str = "JWT";

/// The header of everything of this type that a server key signs.
pub(super) fn server_header(algorithm: Algorithm, typ: &str, kid: Thumbprint) -> String {
    base64url::encode(format!(
        r#"{{"alg":"{algorithm}","typ":"{typ}","kid":"{kid}"}}"#
    ))
}

/// Reads what [`server_header`] writes for this type: which key claims to have signed, and how.
/// Unverified.
pub(crate) fn read_server_header(
    header: &str,
    typ: &str,
) -> Result<(Thumbprint, Algorithm), InvalidToken> {
    let json = base64url::decode(header).map_err(|_| InvalidToken::NonCanonicalEncoding)?;
    let json = str::from_utf8(&json).map_err(|_| InvalidToken::Malformed)?;
    object::read::<Members<'_>>(json)?.complete(typ)
}

#[derive(Default)]
struct Members<'de> {
    alg: Option<&'de str>,
    typ: Option<&'de str>,
    kid: Option<&'de str>,
}

impl<'de> Object<'de> for Members<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "alg" => member.fill(&mut self.alg, "alg"),
            "typ" => member.fill(&mut self.typ, "typ"),
            "kid" => member.fill(&mut self.kid, "kid"),
            "crit" => member.refuse(InvalidToken::UnknownCritical),
            "jwk" | "jku" | "x5u" | "x5c" | "x5t" | "x5t#S256" => {
                member.refuse(InvalidToken::EmbeddedKey)
            }
            _ => member.refuse(InvalidToken::UnknownHeader),
        }
    }
}

impl Members<'_> {
    fn complete(self, typ: &str) -> Result<(Thumbprint, Algorithm), InvalidToken> {
        let algorithm = required(self.alg, "alg")?
            .parse::<Algorithm>()
            .map_err(|_| InvalidToken::UnknownAlgorithm)?;
        if algorithm == Algorithm::Hs256 {
            return Err(InvalidToken::NonCanonicalHeader);
        }
        if required(self.typ, "typ")? != typ {
            return Err(InvalidToken::WrongTokenType);
        }
        let kid = required(self.kid, "kid")?
            .parse()
            .map_err(|_| InvalidToken::WrongType { member: "kid" })?;
        Ok((kid, algorithm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_header_says_what_the_contract_says() {
        assert_eq!(
            base64url::decode(HS256_HEADER).unwrap(),
            br#"{"alg":"HS256","typ":"JWT"}"#
        );
        assert_eq!(Signer::read(HS256_HEADER), Ok(Signer::KeySecret));
    }
}
