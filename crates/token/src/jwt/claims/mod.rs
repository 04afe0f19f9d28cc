//! Owns the claims of an access token: what is signed, how it is written, and how it is read back.

mod template;

use serde::de::{Error as _, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::object::{self, Member, Object, required};
use super::scan::has;
use super::{InvalidToken, IssueError, MAX_UNIX_SECONDS};
use crate::base64url;

/// What an access token is to say. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The issuer's name.
    pub iss: String,
    /// The managed key's id; also written as the claim `kid`.
    pub sub: Uuid,
    /// The managed key's public prefix.
    pub prefix: String,
    /// Space-separated `area:verb` permissions.
    pub permissions: String,
    /// Whether the key has every permission.
    pub is_admin: bool,
    /// When this token was issued.
    pub iat: i64,
    /// The first second at which it is dead.
    pub exp: i64,
    /// When the first token of this line of renewals was issued.
    pub auth_time: i64,
    /// The token's own id, by which it can be revoked.
    pub jti: Uuid,
}

impl Claims {
    /// The JSON text that is signed.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, IssueError> {
        self.check()?;
        serde_json::to_vec(&Written::from(self)).map_err(|_| IssueError::Signing)
    }

    /// Refuses what the reader would refuse.
    fn check(&self) -> Result<(), IssueError> {
        let ordered = 0 <= self.auth_time
            && self.auth_time <= self.iat
            && self.iat < self.exp
            && self.exp <= MAX_UNIX_SECONDS;
        if !ordered {
            return Err(IssueError::Times);
        }
        [
            ("iss", &self.iss),
            ("prefix", &self.prefix),
            ("permissions", &self.permissions),
        ]
        .into_iter()
        .find(|(_, text)| has(text, json_would_escape))
        .map_or(Ok(()), |(claim, _)| Err(IssueError::Text { claim }))
    }
}

/// What JSON must escape. Escapes are never written, so the reader can borrow, and a claim has one
/// spelling.
const fn json_would_escape(byte: u8) -> bool {
    byte == b'"' || is_escape_or_control(byte)
}

const fn is_escape_or_control(byte: u8) -> bool {
    byte == b'\\' || byte < b' '
}

/// The claims in the order they are written in.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    sub: Uuid,
    kid: Uuid,
    prefix: &'a str,
    permissions: &'a str,
    is_admin: bool,
    iat: i64,
    exp: i64,
    auth_time: i64,
    jti: Uuid,
}

impl<'a> From<&'a Claims> for Written<'a> {
    fn from(claims: &'a Claims) -> Self {
        Self {
            iss: &claims.iss,
            sub: claims.sub,
            kid: claims.sub,
            prefix: &claims.prefix,
            permissions: &claims.permissions,
            is_admin: claims.is_admin,
            iat: claims.iat,
            exp: claims.exp,
            auth_time: claims.auth_time,
            jti: claims.jti,
        }
    }
}

/// Claims as they were read: well formed, and no more than that.
///
/// The three texts share one allocation, for this is made on every request.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ClaimSet {
    texts: Box<str>,
    prefix_at: usize,
    permissions_at: usize,
    pub key_id: Uuid,
    pub jti: Uuid,
    pub is_admin: bool,
    pub issued_at: i64,
    pub expires_at: i64,
    pub auth_time: i64,
}

impl ClaimSet {
    /// Reads the middle part of a token.
    pub fn read(payload: &str) -> Result<Self, InvalidToken> {
        let json = base64url::decode(payload).map_err(|_| InvalidToken::NonCanonicalEncoding)?;
        let json = str::from_utf8(&json).map_err(|_| InvalidToken::Malformed)?;
        template::read(json)
            .map_or_else(|| object::read(json), Ok)?
            .complete()
    }

    pub fn issuer(&self) -> &str {
        &self.texts[..self.prefix_at]
    }

    pub fn prefix(&self) -> &str {
        &self.texts[self.prefix_at..self.permissions_at]
    }

    pub fn permissions(&self) -> &str {
        &self.texts[self.permissions_at..]
    }
}

/// The claims found so far.
#[derive(Default)]
struct Members<'de> {
    iss: Option<&'de str>,
    sub: Option<CanonicalUuid>,
    kid: Option<CanonicalUuid>,
    prefix: Option<&'de str>,
    permissions: Option<&'de str>,
    is_admin: Option<bool>,
    iat: Option<UnixSeconds>,
    exp: Option<UnixSeconds>,
    auth_time: Option<UnixSeconds>,
    jti: Option<CanonicalUuid>,
}

impl<'de> Object<'de> for Members<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "iss" => member.fill(&mut self.iss, "iss"),
            "sub" => member.fill(&mut self.sub, "sub"),
            "kid" => member.fill(&mut self.kid, "kid"),
            "prefix" => member.fill(&mut self.prefix, "prefix"),
            "permissions" => member.fill(&mut self.permissions, "permissions"),
            "is_admin" => member.fill(&mut self.is_admin, "is_admin"),
            "iat" => member.fill(&mut self.iat, "iat"),
            "exp" => member.fill(&mut self.exp, "exp"),
            "auth_time" => member.fill(&mut self.auth_time, "auth_time"),
            "jti" => member.fill(&mut self.jti, "jti"),
            _ => member.refuse(InvalidToken::UnknownClaim),
        }
    }
}

impl Members<'_> {
    fn complete(self) -> Result<ClaimSet, InvalidToken> {
        let iss = required(self.iss, "iss")?;
        let prefix = required(self.prefix, "prefix")?;
        let permissions = required(self.permissions, "permissions")?;
        let CanonicalUuid(key_id) = required(self.sub, "sub")?;
        if key_id != required(self.kid, "kid")?.0 {
            return Err(InvalidToken::KeyMismatch);
        }
        Ok(ClaimSet {
            texts: [iss, prefix, permissions].concat().into_boxed_str(),
            prefix_at: iss.len(),
            permissions_at: iss.len() + prefix.len(),
            key_id,
            jti: required(self.jti, "jti")?.0,
            is_admin: required(self.is_admin, "is_admin")?,
            issued_at: required(self.iat, "iat")?.0,
            expires_at: required(self.exp, "exp")?.0,
            auth_time: required(self.auth_time, "auth_time")?.0,
        })
    }
}

/// A UUID in lower case with hyphens, the one of its many spellings that is issued.
#[derive(Clone, Copy)]
pub(crate) struct CanonicalUuid(pub(crate) Uuid);

impl CanonicalUuid {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Of the other spellings, only the one in capitals has this length too.
        if text.len() != Hyphenated::LENGTH || has(text, |byte| byte.is_ascii_uppercase()) {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for CanonicalUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&'de str>::deserialize(deserializer)?;
        Self::parse(text).ok_or_else(|| D::Error::custom("not a UUID in its canonical form"))
    }
}

/// A whole number of seconds from 1970 to the end of 9999: no sign, no fraction, no exponent.
pub(crate) struct UnixSeconds(pub(crate) i64);

impl<'de> Deserialize<'de> for UnixSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::try_from(u64::deserialize(deserializer)?)
            .ok()
            .filter(|seconds| *seconds <= MAX_UNIX_SECONDS)
            .map(Self)
            .ok_or_else(|| D::Error::custom("out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn claims() -> Claims {
        Claims {
            iss: "sealgate".to_owned(),
            sub: Uuid::from_u128(0x0198_c5f2_7d1a_7b3c_9e4f_0123_4567_89ab),
            prefix: "aB3dE5fG".to_owned(),
            permissions: "api:read api:write".to_owned(),
            is_admin: false,
            iat: 1_790_000_000,
            exp: 1_790_003_600,
            auth_time: 1_789_990_000,
            jti: Uuid::from_u128(0x0198_c5f2_8e2b_7c4d_8f50_fedc_ba98_7654),
        }
    }

    #[test]
    fn claims_are_written_as_the_contract_names_them() {
        let json = String::from_utf8(claims().to_json().unwrap()).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"iss":"sealgate","sub":"0198c5f2-7d1a-7b3c-9e4f-0123456789ab","#,
                r#""kid":"0198c5f2-7d1a-7b3c-9e4f-0123456789ab","prefix":"aB3dE5fG","#,
                r#""permissions":"api:read api:write","is_admin":false,"iat":1790000000,"#,
                r#""exp":1790003600,"auth_time":1789990000,"#,
                r#""jti":"0198c5f2-8e2b-7c4d-8f50-fedcba987654"}"#,
            )
        );
    }

    #[test]
    fn claims_that_would_not_be_read_back_are_not_written() {
        let times = [
            (0, 1, -1),
            (1, 3, 2),
            (1, 1, 0),
            (2, 1, 0),
            (1, MAX_UNIX_SECONDS + 1, 0),
        ];
        for (iat, exp, auth_time) in times {
            let unordered = Claims {
                iat,
                exp,
                auth_time,
                ..claims()
            };
            assert_eq!(unordered.to_json(), Err(IssueError::Times));
        }
        for text in ["\"", "\\", "\n", "\0", "\u{1f}"] {
            let permissions = Claims {
                permissions: format!("api:read{text}"),
                ..claims()
            };
            assert_eq!(
                permissions.to_json(),
                Err(IssueError::Text {
                    claim: "permissions"
                })
            );
            let iss = Claims {
                iss: text.to_owned(),
                ..claims()
            };
            assert_eq!(iss.to_json(), Err(IssueError::Text { claim: "iss" }));
        }
    }
}
