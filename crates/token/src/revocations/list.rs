//! Owns the step from text that anyone may have written to a list that can be asked.

use std::collections::{HashMap, HashSet};
use std::fmt;

use uuid::Uuid;

use super::claims::Read;
use super::{MAX_LIST_BYTES, TYPE, UserHash};
use crate::base64url;
use crate::jwt::{
    CLOCK_LEEWAY_SECONDS, InvalidToken, KeySet, Thumbprint, TrustedClaims, read_server_header,
};
use crate::paseto::TrustedSession;

/// What an issuer revoked, as it was when the list was signed.
///
/// Made by [`RevocationList::verify`] and by nothing else.
pub struct RevocationList {
    issued_at: i64,
    expires_at: i64,
    ttl_seconds: u32,
    token_lifetime: i64,
    session_lifetime: i64,
    signers: HashSet<String>,
    keys: HashMap<Uuid, i64>,
    tokens: HashSet<Uuid>,
    salt: [u8; 16],
    users: HashMap<UserHash, i64>,
}

impl RevocationList {
    /// Verifies a list: it is signed by a key of the issuer's JWK set, it is this issuer's, and it is
    /// in force. `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// [`InvalidList::UnknownSigner`] if the set lacks the key that the list names: it has to be
    /// fetched anew, and that should not wait. Otherwise why the text is no such list.
    pub fn verify(text: &str, keys: &KeySet, issuer: &str, now: i64) -> Result<Self, InvalidList> {
        let payload = verify_signature(text, keys)?;
        let json = base64url::decode(payload).map_err(|_| InvalidToken::NonCanonicalEncoding)?;
        let json = str::from_utf8(&json).map_err(|_| InvalidToken::Malformed)?;
        let read = Read::of(json)?;
        if read.iss != issuer {
            return Err(InvalidToken::WrongIssuer.into());
        }
        if read.iat > now.saturating_add(CLOCK_LEEWAY_SECONDS) {
            return Err(InvalidToken::NotYetValid.into());
        }
        let list = Self {
            issued_at: read.iat,
            expires_at: read.exp,
            ttl_seconds: read.ttl,
            token_lifetime: read.token_lifetime,
            session_lifetime: read.session_lifetime,
            signers: read.signers,
            keys: read.keys,
            tokens: read.jtis,
            salt: read.salt,
            users: read.users,
        };
        if list.is_expired(now) {
            return Err(InvalidToken::Expired.into());
        }
        Ok(list)
    }

    /// When it was signed, in unix seconds.
    pub fn issued_at(&self) -> i64 {
        self.issued_at
    }

    /// The first second at which nobody may go by it, in unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// Whether nobody may go by it any more. There is no leeway.
    pub fn is_expired(&self, now: i64) -> bool {
        now >= self.expires_at
    }

    /// After how many seconds its reader should ask again.
    pub fn ttl_seconds(&self) -> u32 {
        self.ttl_seconds
    }

    /// How many keys, tokens, sessions and users are on it.
    pub fn len(&self) -> usize {
        self.keys.len() + self.tokens.len() + self.users.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what a key signed is honoured: the `kid` of an access token's header or of a session
    /// token's footer. One that is published and not honoured was withdrawn at once; one that is
    /// honoured and not known here means that the published keys have to be fetched anew. A key that signs
    /// lists alone is published, and honours no token.
    pub fn is_signer_honoured(&self, kid: &str) -> bool {
        self.signers.contains(kid)
    }

    /// Whether the tokens of a managed key are dead at a moment, whenever they were issued. The end may
    /// have been announced before it comes.
    pub fn is_key_revoked(&self, key_id: Uuid, now: i64) -> bool {
        // What was over by the issuer's clock is over, however far this one is behind.
        let now = now.max(self.issued_at);
        self.keys.get(&key_id).is_some_and(|from| now >= *from)
    }

    /// Whether an access token, by its `jti`, or a session, by its `sid`, was ended.
    pub fn is_token_revoked(&self, id: Uuid) -> bool {
        self.tokens.contains(&id)
    }

    /// Whether an epoch of a user's sessions is over; the name as it stands in the token.
    pub fn is_user_revoked(&self, username: &str, epoch: i64) -> bool {
        !self.users.is_empty()
            && self
                .users
                .get(&UserHash::of(&self.salt, username))
                .is_some_and(|last| epoch <= *last)
    }

    /// Whether the list would tell of an access token that was revoked. It forgets a key when the last
    /// token that lives for as long as tokens do now has expired. One that was issued for longer, before
    /// the setting was lowered or by a server with another, may be revoked all the same.
    pub fn vouches_for_token(&self, claims: &TrustedClaims) -> bool {
        claims.expires_at().saturating_sub(claims.issued_at()) <= self.token_lifetime
    }

    /// Whether the list would tell of a session that was ended; see [`Self::vouches_for_token`].
    pub fn vouches_for_session(&self, session: &TrustedSession) -> bool {
        session.expires_at().saturating_sub(session.auth_time()) <= self.session_lifetime
    }

    /// Whether an access token is dead: all that a list can say of it but for its signer. That it says
    /// nothing counts only if it [vouches for the token](Self::vouches_for_token).
    pub fn revokes_token(&self, claims: &TrustedClaims, now: i64) -> bool {
        self.is_token_revoked(claims.jti()) || self.is_key_revoked(claims.key_id(), now)
    }

    /// Whether a session token is dead: all that a list can say of it but for its signer. That it says
    /// nothing counts only if it [vouches for the session](Self::vouches_for_session).
    pub fn revokes_session(&self, session: &TrustedSession) -> bool {
        self.is_token_revoked(session.session_id())
            || self.is_user_revoked(session.subject(), session.epoch())
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issued_at", &self.issued_at)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Why a text is not a list that can be gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidList {
    /// The key that claims to have signed it is not in the set.
    #[error("the list is signed by the key {kid}, which is not in the set of published keys")]
    UnknownSigner {
        /// Which one it claims to be.
        kid: Thumbprint,
    },
    /// For the reasons for which a token is refused.
    #[error("the list is refused as a token would be: {0}")]
    Refused(#[from] InvalidToken),
}

/// Gives the payload of a text that one of the keys signed, still encoded.
fn verify_signature<'t>(text: &'t str, keys: &KeySet) -> Result<&'t str, InvalidList> {
    if text.len() > MAX_LIST_BYTES {
        return Err(InvalidToken::TooLong.into());
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(InvalidToken::Malformed)?;
    let (kid, algorithm) = read_server_header(header, TYPE)?;
    let key = keys.find(kid).ok_or(InvalidList::UnknownSigner { kid })?;
    if algorithm != key.algorithm() {
        return Err(InvalidToken::AlgorithmMismatch.into());
    }
    let signature = base64url::decode_array(signature).ok_or(InvalidToken::NonCanonicalEncoding)?;
    key.verify(signed.as_bytes(), &signature)?;
    Ok(payload)
}
