//! Owns the reading of a JWK set (RFC 7517) into the keys that access tokens and revocation lists are
//! verified with.

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::object::{self, Member, Object};
use super::{Algorithm, Thumbprint, VerifyingKey};
use crate::base64url;
use crate::paseto::is_weak;

/// The longest JWK set that is read, in bytes. Ours has 300 for each key.
pub const MAX_KEY_SET_BYTES: usize = 64 * 1024;

/// The server keys that somebody published.
///
/// Keys of kinds that are never used here are passed over (RFC 7517 section 5). One that claims to be of
/// a kind that is used, and is not right, spoils the set: rather a verifier that keeps the set it had than
/// one that works with half of a set.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// Reads a set as `/.well-known/jwks.json` has it.
    ///
    /// # Errors
    ///
    /// [`InvalidKeySet`] with what is wrong.
    pub fn parse(json: &str) -> Result<Self, InvalidKeySet> {
        if json.len() > MAX_KEY_SET_BYTES {
            return Err(InvalidKeySet::TooLong);
        }
        let set: Set<'_> = object::read(json).map_err(|_| InvalidKeySet::Malformed)?;
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for jwk in set.keys.ok_or(InvalidKeySet::Malformed)?.0 {
            let Some(key) = jwk.key()? else { continue };
            if keys.iter().any(|known| known.kid() == key.kid()) {
                return Err(InvalidKeySet::Twice { kid: key.kid() });
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The key of this id.
    pub fn find(&self, kid: Thumbprint) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// All of them, in the order in which they were published.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }
}

impl FromIterator<VerifyingKey> for KeySet {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }
}

/// Why a JWK set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// Longer than [`MAX_KEY_SET_BYTES`].
    #[error("the JWK set is too long")]
    TooLong,
    /// Not an object with an array of objects called `keys`, or a member that is there twice.
    #[error("the JWK set is not well formed")]
    Malformed,
    /// A key for an algorithm that is used here lacks its coordinates, or they are no such key.
    #[error("a key in the JWK set is not a valid key for {0}")]
    Rejected(Algorithm),
    /// A `kid` that is not the key's own thumbprint, as ours always are.
    #[error("a key in the JWK set does not have its thumbprint as its id")]
    ForeignId,
    /// A private key, which nobody may publish.
    #[error("there is a private key in the JWK set")]
    Private,
    /// The same key twice.
    #[error("the key {kid} is in the JWK set twice")]
    Twice {
        /// Which one.
        kid: Thumbprint,
    },
}

#[derive(Default)]
struct Set<'de> {
    keys: Option<Jwks<'de>>,
}

impl<'de> Object<'de> for Set<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "keys" => member.fill(&mut self.keys, "keys"),
            _ => member.ignore(),
        }
    }
}

struct Jwks<'de>(Vec<Jwk<'de>>);

impl<'de> Deserialize<'de> for Jwks<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(JwksReader).map(Self)
    }
}

struct JwksReader;

impl<'de> Visitor<'de> for JwksReader {
    type Value = Vec<Jwk<'de>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = seq.next_element_seed(JwkReader)? {
            keys.push(key);
        }
        Ok(keys)
    }
}

struct JwkReader;

impl<'de> DeserializeSeed<'de> for JwkReader {
    type Value = Jwk<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Jwk<'de>, D::Error> {
        object::read_nested(deserializer)
    }
}

/// The members of one key that say what it is.
#[derive(Default)]
struct Jwk<'de> {
    kty: Option<&'de str>,
    crv: Option<&'de str>,
    x: Option<&'de str>,
    y: Option<&'de str>,
    d: Option<&'de str>,
    alg: Option<&'de str>,
    usage: Option<&'de str>,
    kid: Option<&'de str>,
}

impl<'de> Object<'de> for Jwk<'de> {
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error> {
        match name {
            "kty" => member.fill(&mut self.kty, "kty"),
            "crv" => member.fill(&mut self.crv, "crv"),
            "x" => member.fill(&mut self.x, "x"),
            "y" => member.fill(&mut self.y, "y"),
            "d" => member.fill(&mut self.d, "d"),
            "alg" => member.fill(&mut self.alg, "alg"),
            "use" => member.fill(&mut self.usage, "use"),
            "kid" => member.fill(&mut self.kid, "kid"),
            _ => member.ignore(),
        }
    }
}

impl Jwk<'_> {
    /// The key, or nothing if it is for what is not done here.
    fn key(&self) -> Result<Option<VerifyingKey>, InvalidKeySet> {
        let algorithm = match (self.kty, self.crv) {
            (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            _ => return Ok(None),
        };
        let is_for_this = self.alg.is_none_or(|alg| alg == algorithm.name())
            && self.usage.is_none_or(|usage| usage == "sig");
        if !is_for_this {
            return Ok(None);
        }
        if self.d.is_some() {
            return Err(InvalidKeySet::Private);
        }
        let point = match algorithm {
            Algorithm::EdDsa => self.ed25519(),
            _ => self.p256(),
        };
        let key = point
            .and_then(|point| VerifyingKey::from_bytes(algorithm, &point).ok())
            .ok_or(InvalidKeySet::Rejected(algorithm))?;
        match self.kid.map(str::parse) {
            None => Ok(Some(key)),
            Some(Ok(kid)) if key.kid() == kid => Ok(Some(key)),
            Some(_) => Err(InvalidKeySet::ForeignId),
        }
    }

    /// RFC 8037 section 2.
    fn ed25519(&self) -> Option<Vec<u8>> {
        let x = coordinate(self.x)?;
        (self.y.is_none() && !is_weak(&x)).then(|| x.to_vec())
    }

    /// RFC 7518 section 6.2.1.
    fn p256(&self) -> Option<Vec<u8>> {
        let (x, y) = (coordinate(self.x)?, coordinate(self.y)?);
        Some([&[4], x.as_slice(), y.as_slice()].concat())
    }
}

fn coordinate(text: Option<&str>) -> Option<[u8; 32]> {
    base64url::decode_array(text?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jwt::{SigningKey, jwk_set};

    fn keys() -> [SigningKey; 2] {
        [Algorithm::EdDsa, Algorithm::Es256].map(|algorithm| {
            let (key, _) = SigningKey::generate(algorithm).unwrap();
            key
        })
    }

    fn parse_one(jwk: &Value) -> Result<usize, InvalidKeySet> {
        let set = json!({"keys": [jwk]}).to_string();
        KeySet::parse(&set).map(|set| set.keys().len())
    }

    #[test]
    fn what_is_published_is_read() {
        let keys = keys();
        let set = KeySet::parse(&jwk_set(&keys).to_string()).unwrap();
        assert_eq!(set.keys().len(), 2);
        for key in &keys {
            let found = set.find(key.kid()).unwrap();
            assert_eq!(found.jwk(), key.jwk());
        }
        assert!(KeySet::parse(r#"{"keys":[]}"#).unwrap().keys().is_empty());
    }

    #[test]
    fn keys_for_something_else_and_members_that_mean_nothing_are_passed_over() {
        let [key, _] = keys();
        for (member, value) in [
            ("kty", json!("RSA")),
            ("crv", json!("X25519")),
            ("alg", json!("ES256K")),
            ("use", json!("enc")),
        ] {
            let mut jwk = key.jwk();
            jwk[member] = value;
            assert_eq!(parse_one(&jwk), Ok(0), "{member}");
        }
        let mut jwk = key.jwk();
        jwk["x5c"] = json!([{"a": 1}]);
        assert_eq!(parse_one(&jwk), Ok(1));
        let mut bare = key.jwk();
        for member in ["kid", "alg", "use"] {
            bare.as_object_mut().unwrap().remove(member);
        }
        assert_eq!(parse_one(&bare), Ok(1));
    }

    #[test]
    fn a_key_that_is_not_what_it_claims_spoils_the_set() {
        let [ed25519, p256] = keys();
        let altered = |key: &SigningKey, member: &str, value: Value| {
            let mut jwk = key.jwk();
            jwk[member] = value;
            parse_one(&jwk)
        };
        let rejected = |algorithm| Err(InvalidKeySet::Rejected(algorithm));
        let zeros = base64url::encode([0; 32]);
        for (member, value) in [
            ("x", json!("")),
            ("x", json!(zeros)),
            ("x", json!(format!("{zeros}="))),
            ("y", json!(zeros)),
        ] {
            let got = altered(&ed25519, member, value);
            assert_eq!(got, rejected(Algorithm::EdDsa), "{member}");
        }
        for (member, value) in [("x", json!(zeros)), ("y", json!("AA"))] {
            let got = altered(&p256, member, value);
            assert_eq!(got, rejected(Algorithm::Es256), "{member}");
        }
        let foreign = Err(InvalidKeySet::ForeignId);
        assert_eq!(
            altered(&ed25519, "kid", json!(p256.kid().to_string())),
            foreign
        );
        assert_eq!(altered(&ed25519, "kid", json!("1")), foreign);
        let private = altered(&ed25519, "d", json!(zeros));
        assert_eq!(private, Err(InvalidKeySet::Private));
        assert_eq!(
            altered(&ed25519, "kid", json!(1)),
            Err(InvalidKeySet::Malformed)
        );
    }

    #[test]
    fn a_set_that_is_not_one_is_refused() {
        let [key, _] = keys();
        let jwk = key.jwk();
        let twice = jwk_set([&key, &key]).to_string();
        let kid = key.kid();
        assert_eq!(
            KeySet::parse(&twice).unwrap_err(),
            InvalidKeySet::Twice { kid }
        );
        let malformed = [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            jwk.to_string(),
            r#"{"keys":{}}"#.to_owned(),
            r#"{"keys":[1]}"#.to_owned(),
            r#"{"keys":[],"keys":[]}"#.to_owned(),
            r#"{"keys":[{"kty":"OKP","kty":"EC"}]}"#.to_owned(),
            format!(r#"{{"keys":[{jwk}]}} x"#),
        ];
        for text in malformed {
            let got = KeySet::parse(&text).unwrap_err();
            assert_eq!(got, InvalidKeySet::Malformed, "{text}");
        }
        let long = format!(r#"{{"keys":[]{}}}"#, " ".repeat(MAX_KEY_SET_BYTES));
        assert_eq!(KeySet::parse(&long).unwrap_err(), InvalidKeySet::TooLong);
    }
}
