//! Owns the step from text that anyone may have written to claims that can be acted on.

use std::fmt;

use serde::de::MapAccess;
use uuid::Uuid;

use super::pae::pae;
use super::{HEADER, MAX_TOKEN_BYTES, SessionClaims, SessionVerifyingKey};
use crate::base64url;
use crate::jwt::object::{self, Member, Object, required};
use crate::jwt::scan::has;
use crate::jwt::{CLOCK_LEEWAY_SECONDS, InvalidToken};

/// A session token whose form is right. Nothing that it says is known to be true, and its claims have
/// not been read.
///
/// Its `Debug` shows neither claims nor signature.
pub struct UntrustedSession {
    /// Claims and signature.
    message: Vec<u8>,
    footer: Vec<u8>,
    claimed_kid: String,
}

impl UntrustedSession {
    /// Reads a token without believing it. Cheap: no cryptography.
    ///
    /// # Errors
    ///
    /// When this crate cannot have issued the text, whatever the key; see [`InvalidToken`].
    pub fn parse(token: &str) -> Result<Self, InvalidToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong);
        }
        let parts = token.strip_prefix(HEADER).ok_or(InvalidToken::Malformed)?;
        let (message, footer) = parts.split_once('.').ok_or(InvalidToken::Malformed)?;
        if has(footer, |byte| byte == b'.') {
            return Err(InvalidToken::Malformed);
        }
        let message = decode(message)?;
        if message.len() <= SIGNATURE_BYTES {
            return Err(InvalidToken::Malformed);
        }
        let footer = decode(footer)?;
        Ok(Self {
            message,
            claimed_kid: Footer::read(&footer)?,
            footer,
        })
    }

    /// The id of the key that it claims to be signed with. Good for one thing: to look that key up.
    pub fn claimed_kid(&self) -> &str {
        &self.claimed_kid
    }

    /// Verifies the token. `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// [`InvalidToken::KeyMismatch`] if the token names another key than this,
    /// [`InvalidToken::BadSignature`] if another key signed or a byte has changed, and only after that
    /// what is wrong with the claims, by their form and by the [`SessionPolicy`].
    pub fn verify(
        &self,
        key: &SessionVerifyingKey,
        policy: &SessionPolicy<'_>,
        now: i64,
    ) -> Result<TrustedSession, InvalidToken> {
        if self.claimed_kid != key.kid() {
            return Err(InvalidToken::KeyMismatch);
        }
        let (payload, signature) = self
            .message
            .split_last_chunk::<SIGNATURE_BYTES>()
            .ok_or(InvalidToken::Malformed)?;
        key.verify(
            &pae([HEADER.as_bytes(), payload, &self.footer, b""]),
            signature,
        )?;
        policy.judge(SessionClaims::read(payload)?, now)
    }
}

const SIGNATURE_BYTES: usize = 64;

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    base64url::decode(part).map_err(|_| InvalidToken::NonCanonicalEncoding)
}

/// `{"kid":"…"}`, and no other member.
#[derive(Default)]
struct Footer<'de> {
    kid: Option<&'de str>,
}

impl Footer<'_> {
    fn read(json: &[u8]) -> Result<String, InvalidToken> {
        let json = str::from_utf8(json).map_err(|_| InvalidToken::Malformed)?;
        required(object::read::<Footer<'_>>(json)?.kid, "kid").map(str::to_owned)
    }
}

impl<'de> Object<'de> for Footer<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "kid" => member.fill(&mut self.kid, "kid"),
            _ => member.refuse(InvalidToken::UnknownFooter),
        }
    }
}

impl fmt::Debug for UntrustedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntrustedSession")
            .field("claimed_kid", &self.claimed_kid)
            .finish_non_exhaustive()
    }
}

/// What a session token's claims are held against once its signature is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy<'a> {
    /// The `aud` that a token must have.
    pub audience: &'a str,
    /// The `iss` that a token must have.
    pub issuer: &'a str,
    /// How far `iat` and `nbf` may lie in the future; [`CLOCK_LEEWAY_SECONDS`] unless there is a
    /// reason.
    pub leeway_seconds: i64,
}

impl<'a> SessionPolicy<'a> {
    /// The policy for tokens of this issuer to this audience, with the usual leeway.
    pub const fn new(audience: &'a str, issuer: &'a str) -> Self {
        Self {
            audience,
            issuer,
            leeway_seconds: CLOCK_LEEWAY_SECONDS,
        }
    }

    fn judge(&self, claims: SessionClaims, now: i64) -> Result<TrustedSession, InvalidToken> {
        if claims.aud != self.audience {
            return Err(InvalidToken::WrongAudience);
        }
        if claims.iss != self.issuer {
            return Err(InvalidToken::WrongIssuer);
        }
        if claims.iat.max(claims.nbf) > now.saturating_add(self.leeway_seconds) {
            return Err(InvalidToken::NotYetValid);
        }
        let trusted = TrustedSession { claims };
        trusted.check_time(now)?;
        Ok(trusted)
    }
}

/// Claims whose signature was right and which were in force when they were verified.
///
/// Made by [`UntrustedSession::verify`] and by nothing else. What has changed since (the token
/// revoked, the user's sessions ended) is for the caller to ask, by [`jti`](Self::jti),
/// [`subject`](Self::subject) and [`epoch`](Self::epoch).
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedSession {
    claims: SessionClaims,
}

impl TrustedSession {
    /// Whom the token is for.
    pub fn audience(&self) -> &str {
        &self.claims.aud
    }

    /// The issuer's name.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// The user's name.
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// When the token was issued, in unix seconds.
    pub fn issued_at(&self) -> i64 {
        self.claims.iat
    }

    /// The first second at which the token is good, in unix seconds.
    pub fn not_before(&self) -> i64 {
        self.claims.nbf
    }

    /// The first second at which the token is dead, in unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.claims.exp
    }

    /// The token's own id.
    pub fn jti(&self) -> Uuid {
        self.claims.jti
    }

    /// The session's id: the same in all tokens since the user gave the password.
    pub fn session_id(&self) -> Uuid {
        self.claims.sid
    }

    /// When the user gave the password, in unix seconds.
    pub fn auth_time(&self) -> i64 {
        self.claims.auth_time
    }

    /// The user's session epoch at that moment, in unix milliseconds.
    pub fn epoch(&self) -> i64 {
        self.claims.epoch
    }

    /// The inner token, for [`SessionDataKey::open`](super::SessionDataKey::open).
    pub fn data(&self) -> &str {
        &self.claims.data
    }

    /// Checks the expiry anew, for a cache that kept these claims. There is no leeway; see
    /// [`CLOCK_LEEWAY_SECONDS`].
    ///
    /// # Errors
    ///
    /// [`InvalidToken::Expired`] from `exp` on.
    pub fn check_time(&self, now: i64) -> Result<(), InvalidToken> {
        if now < self.claims.exp {
            Ok(())
        } else {
            Err(InvalidToken::Expired)
        }
    }
}

impl fmt::Debug for TrustedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedSession")
            .field("subject", &self.subject())
            .field("issued_at", &self.issued_at())
            .field("expires_at", &self.expires_at())
            .field("jti", &self.jti())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}
