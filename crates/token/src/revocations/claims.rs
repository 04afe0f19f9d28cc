//! Owns the claims of a list: what is signed, how it is written, and how it is read back.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{MAX_LIST_BYTES, TYPE};
use crate::base64url;
use crate::jwt::object::{self, Member, Object, required};
use crate::jwt::{
    CanonicalUuid, InvalidToken, IssueError, MAX_UNIX_SECONDS, SigningKey, UnixSeconds,
};

/// What a list is to say. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationClaims {
    /// The issuer's name, as in access tokens.
    pub iss: String,
    /// When this list was signed.
    pub iat: i64,
    /// The first second at which nobody may go by it.
    pub exp: i64,
    /// After how many seconds a verifier should ask again.
    pub ttl: u32,
    /// For how many seconds at most access tokens live of which the list tells. One that lives for longer
    /// may be revoked, and the list has forgotten it.
    pub token_lifetime: i64,
    /// For how many seconds at most after its login a session lives of which the list tells.
    pub session_lifetime: i64,
    /// The ids of all keys by which tokens are honoured now: `kid` of access tokens and of session tokens.
    /// A key that signs lists alone is not among them.
    pub signers: Vec<String>,
    /// Managed keys, each with the second from which on its tokens are dead.
    pub keys: Vec<(Uuid, i64)>,
    /// Access tokens by their `jti`, and sessions by their `sid`, that were ended.
    pub jtis: Vec<Uuid>,
    /// Goes into the hashes of `users`.
    pub salt: [u8; 16],
    /// Users, each with the last epoch of sessions that is over, in unix milliseconds.
    pub users: Vec<(UserHash, i64)>,
}

impl RevocationClaims {
    /// Signs the list.
    ///
    /// # Errors
    ///
    /// When the list is such that it would be refused by its readers; see [`IssueError`].
    pub fn sign(&self, key: &SigningKey) -> Result<String, IssueError> {
        if !(0 <= self.iat && self.iat < self.exp && self.exp <= MAX_UNIX_SECONDS) {
            return Err(IssueError::Times);
        }
        let payload = serde_json::to_vec(self).map_err(|_| IssueError::Signing)?;
        let text = key.sign_typed(TYPE, &payload)?;
        if text.len() > MAX_LIST_BYTES {
            return Err(IssueError::TooLong);
        }
        Ok(text)
    }
}

/// In the order of the specification.
impl Serialize for RevocationClaims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut claims = serializer.serialize_struct("RevocationClaims", 11)?;
        claims.serialize_field("iss", &self.iss)?;
        claims.serialize_field("iat", &self.iat)?;
        claims.serialize_field("exp", &self.exp)?;
        claims.serialize_field("ttl", &self.ttl)?;
        claims.serialize_field("token_lifetime", &self.token_lifetime)?;
        claims.serialize_field("session_lifetime", &self.session_lifetime)?;
        claims.serialize_field("signers", &self.signers)?;
        claims.serialize_field("keys", &Pairs(&self.keys))?;
        claims.serialize_field("jtis", &self.jtis)?;
        claims.serialize_field("salt", &base64url::encode(self.salt))?;
        claims.serialize_field("users", &Pairs(&self.users))?;
        claims.end()
    }
}

/// Pairs as the members of an object.
struct Pairs<'a, K>(&'a [(K, i64)]);

impl<K: Serialize> Serialize for Pairs<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A user's name, not to be read off a list: SHA-256 of the list's salt and the folded name. Whoever
/// guesses a name can test it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserHash([u8; 32]);

impl UserHash {
    /// The hash of a user's name, however its letters are written.
    pub fn of(salt: &[u8; 16], username: &str) -> Self {
        let hash = Sha256::new_with_prefix(salt).chain_update(fold_username(username));
        Self(hash.finalize().into())
    }
}

impl Serialize for UserHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for UserHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64url::decode_array(<&'de str>::deserialize(deserializer)?)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a hash in base64url"))
    }
}

/// A user's name, of whatever directory, as accounts are told apart: lower case, by the default mapping
/// of Unicode.
pub fn fold_username(name: &str) -> String {
    name.to_lowercase()
}

/// Claims as they were read.
pub(super) struct Read {
    pub iss: String,
    pub iat: i64,
    pub exp: i64,
    pub ttl: u32,
    pub token_lifetime: i64,
    pub session_lifetime: i64,
    pub signers: HashSet<String>,
    pub keys: HashMap<Uuid, i64>,
    pub jtis: HashSet<Uuid>,
    pub salt: [u8; 16],
    pub users: HashMap<UserHash, i64>,
}

impl Read {
    /// Reads what [`RevocationClaims`] are written as. A claim that is not known is passed over: a later
    /// version may tell more, and what would change the meaning of this gets another type.
    pub fn of(json: &str) -> Result<Self, InvalidToken> {
        object::read::<Members>(json)?.complete()
    }
}

/// The claims found so far.
#[derive(Default)]
struct Members {
    iss: Option<String>,
    iat: Option<UnixSeconds>,
    exp: Option<UnixSeconds>,
    ttl: Option<u32>,
    token_lifetime: Option<UnixSeconds>,
    session_lifetime: Option<UnixSeconds>,
    signers: Option<Several<String, String>>,
    keys: Option<Table<Uuid, CanonicalUuid, UnixSeconds>>,
    jtis: Option<Several<Uuid, CanonicalUuid>>,
    salt: Option<Salt>,
    users: Option<Table<UserHash, UserHash, i64>>,
}

impl<'de> Object<'de> for Members {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "iss" => member.fill(&mut self.iss, "iss"),
            "iat" => member.fill(&mut self.iat, "iat"),
            "exp" => member.fill(&mut self.exp, "exp"),
            "ttl" => member.fill(&mut self.ttl, "ttl"),
            "token_lifetime" => member.fill(&mut self.token_lifetime, "token_lifetime"),
            "session_lifetime" => member.fill(&mut self.session_lifetime, "session_lifetime"),
            "signers" => member.fill(&mut self.signers, "signers"),
            "keys" => member.fill(&mut self.keys, "keys"),
            "jtis" => member.fill(&mut self.jtis, "jtis"),
            "salt" => member.fill(&mut self.salt, "salt"),
            "users" => member.fill(&mut self.users, "users"),
            _ => member.ignore(),
        }
    }
}

impl Members {
    fn complete(self) -> Result<Read, InvalidToken> {
        Ok(Read {
            iss: required(self.iss, "iss")?,
            iat: required(self.iat, "iat")?.0,
            exp: required(self.exp, "exp")?.0,
            ttl: required(self.ttl, "ttl")?,
            token_lifetime: required(self.token_lifetime, "token_lifetime")?.0,
            session_lifetime: required(self.session_lifetime, "session_lifetime")?.0,
            signers: required(self.signers, "signers")?.values,
            keys: required(self.keys, "keys")?.values,
            jtis: required(self.jtis, "jtis")?.values,
            salt: required(self.salt, "salt")?.0,
            users: required(self.users, "users")?.values,
        })
    }
}

struct Salt([u8; 16]);

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        base64url::decode_array(<&'de str>::deserialize(deserializer)?)
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a salt in base64url"))
    }
}

/// An array in which nothing is there twice, written as `W`.
struct Several<T, W> {
    values: HashSet<T>,
    written: PhantomData<W>,
}

impl<'de, T, W> Deserialize<'de> for Several<T, W>
where
    T: Eq + Hash,
    W: Deserialize<'de> + Into<T>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self {
            values: HashSet::new(),
            written: PhantomData,
        })
    }
}

impl<'de, T, W> Visitor<'de> for Several<T, W>
where
    T: Eq + Hash,
    W: Deserialize<'de> + Into<T>,
{
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self, A::Error> {
        while let Some(value) = seq.next_element::<W>()? {
            if !self.values.insert(value.into()) {
                return Err(A::Error::custom("a value is there twice"));
            }
        }
        Ok(self)
    }
}

/// An object in which no name is there twice, with names written as `N` and values as `W`.
struct Table<K, N, W> {
    values: HashMap<K, i64>,
    written: PhantomData<(N, W)>,
}

impl<'de, K, N, W> Deserialize<'de> for Table<K, N, W>
where
    K: Eq + Hash,
    N: Deserialize<'de> + Into<K>,
    W: Deserialize<'de> + Into<i64>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self {
            values: HashMap::new(),
            written: PhantomData,
        })
    }
}

impl<'de, K, N, W> Visitor<'de> for Table<K, N, W>
where
    K: Eq + Hash,
    N: Deserialize<'de> + Into<K>,
    W: Deserialize<'de> + Into<i64>,
{
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((name, value)) = map.next_entry::<N, W>()? {
            if self.values.insert(name.into(), value.into()).is_some() {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(self)
    }
}

impl From<CanonicalUuid> for Uuid {
    fn from(written: CanonicalUuid) -> Self {
        written.0
    }
}

impl From<UnixSeconds> for i64 {
    fn from(written: UnixSeconds) -> Self {
        written.0
    }
}
