//! Owns the claims of a session token: what is signed, how it is written, and how it is read back.

use serde::Serialize;
use serde::de::MapAccess;
use uuid::Uuid;

use super::rfc3339::WrittenTime;
use crate::jwt::object::{self, Member, Object, required};
use crate::jwt::{CanonicalUuid, InvalidToken, IssueError, MAX_UNIX_SECONDS};

/// What a session token is to say. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionClaims {
    /// Whom the token is for.
    pub aud: String,
    /// The issuer's name.
    pub iss: String,
    /// The user's name.
    pub sub: String,
    /// When this token was issued.
    pub iat: i64,
    /// The first second at which it is good.
    pub nbf: i64,
    /// The first second at which it is dead.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
    /// The session's id, by which it can be ended: the `jti` of its first token. A renewal keeps it.
    pub sid: Uuid,
    /// When the user gave the password. A renewal keeps it.
    pub auth_time: i64,
    /// The user's session epoch at that moment, in unix milliseconds.
    pub epoch: i64,
    /// The inner token, which holds the user data.
    pub data: String,
}

impl SessionClaims {
    /// The JSON text that is signed.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, IssueError> {
        if !self.times_are_in_order() {
            return Err(IssueError::Times);
        }
        serde_json::to_vec(&Written::from(self)).map_err(|_| IssueError::Signing)
    }

    /// Reads what [`to_json`](Self::to_json) writes, and nothing else.
    pub(super) fn read(json: &[u8]) -> Result<Self, InvalidToken> {
        let json = str::from_utf8(json).map_err(|_| InvalidToken::Malformed)?;
        let claims = object::read::<Members>(json)?.complete()?;
        if claims.times_are_in_order() {
            Ok(claims)
        } else {
            Err(InvalidToken::WrongType { member: "exp" })
        }
    }

    /// `auth_time` may be later than `iat`: a renewal is issued by another server, whose clock may be
    /// behind the first one's.
    fn times_are_in_order(&self) -> bool {
        let in_range = |time: &i64| (0..self.exp).contains(time);
        self.exp <= MAX_UNIX_SECONDS && [self.iat, self.nbf, self.auth_time].iter().all(in_range)
    }
}

/// The claims in the order they are written in.
#[derive(Serialize)]
struct Written<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    iat: WrittenTime,
    nbf: WrittenTime,
    exp: WrittenTime,
    jti: Uuid,
    sid: Uuid,
    auth_time: WrittenTime,
    epoch: i64,
    data: &'a str,
}

impl<'a> From<&'a SessionClaims> for Written<'a> {
    fn from(claims: &'a SessionClaims) -> Self {
        Self {
            aud: &claims.aud,
            iss: &claims.iss,
            sub: &claims.sub,
            iat: WrittenTime(claims.iat),
            nbf: WrittenTime(claims.nbf),
            exp: WrittenTime(claims.exp),
            jti: claims.jti,
            sid: claims.sid,
            auth_time: WrittenTime(claims.auth_time),
            epoch: claims.epoch,
            data: &claims.data,
        }
    }
}

/// The claims found so far.
#[derive(Default)]
struct Members {
    aud: Option<String>,
    iss: Option<String>,
    sub: Option<String>,
    iat: Option<WrittenTime>,
    nbf: Option<WrittenTime>,
    exp: Option<WrittenTime>,
    jti: Option<CanonicalUuid>,
    sid: Option<CanonicalUuid>,
    auth_time: Option<WrittenTime>,
    epoch: Option<i64>,
    data: Option<String>,
}

impl<'de> Object<'de> for Members {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "aud" => member.fill(&mut self.aud, "aud"),
            "iss" => member.fill(&mut self.iss, "iss"),
            "sub" => member.fill(&mut self.sub, "sub"),
            "iat" => member.fill(&mut self.iat, "iat"),
            "nbf" => member.fill(&mut self.nbf, "nbf"),
            "exp" => member.fill(&mut self.exp, "exp"),
            "jti" => member.fill(&mut self.jti, "jti"),
            "sid" => member.fill(&mut self.sid, "sid"),
            "auth_time" => member.fill(&mut self.auth_time, "auth_time"),
            "epoch" => member.fill(&mut self.epoch, "epoch"),
            "data" => member.fill(&mut self.data, "data"),
            _ => member.refuse(InvalidToken::UnknownClaim),
        }
    }
}

impl Members {
    fn complete(self) -> Result<SessionClaims, InvalidToken> {
        Ok(SessionClaims {
            aud: required(self.aud, "aud")?,
            iss: required(self.iss, "iss")?,
            sub: required(self.sub, "sub")?,
            iat: required(self.iat, "iat")?.0,
            nbf: required(self.nbf, "nbf")?.0,
            exp: required(self.exp, "exp")?.0,
            jti: required(self.jti, "jti")?.0,
            sid: required(self.sid, "sid")?.0,
            auth_time: required(self.auth_time, "auth_time")?.0,
            epoch: required(self.epoch, "epoch")?,
            data: required(self.data, "data")?,
        })
    }
}
