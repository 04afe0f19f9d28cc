//! Owns the asymmetric server keys: signing, verifying, and the JWK set other services verify with.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, ParsedPublicKey,
};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::header::{ACCESS_TOKEN, server_header};
use super::{Algorithm, Claims, InvalidToken, IssueError, KeyError, issue};
use crate::base64url;

/// A server's private key, for one algorithm (RFC 8725 section 3.1).
///
/// Its `Debug` shows the public half alone, and the private half is overwritten when it is dropped.
pub struct SigningKey {
    private: EncodingKey,
    public: VerifyingKey,
    /// The same for every token, so it is encoded once.
    header: String,
}

impl SigningKey {
    /// Takes a PKCS #8 private key, in DER.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAsymmetric`] for HS256, [`KeyError::Rejected`] if the bytes are no key or a key
    /// for another algorithm.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let rejected = |_: KeyRejected| KeyError::Rejected(algorithm);
        let (private, public) = match algorithm {
            Algorithm::Hs256 => return Err(KeyError::NotAsymmetric),
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
                let public = VerifyingKey::from_bytes(algorithm, pair.public_key().as_ref())?;
                (EncodingKey::from_ed_der(pkcs8), public)
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(rejected)?;
                let public = VerifyingKey::from_bytes(algorithm, pair.public_key().as_ref())?;
                (EncodingKey::from_ec_der(pkcs8), public)
            }
        };
        let header = server_header(algorithm, ACCESS_TOKEN, public.kid());
        Ok(Self {
            private,
            public,
            header,
        })
    }

    /// Makes a new key, and its PKCS #8 version 1 form to be kept encrypted.
    ///
    /// The one function of this crate that draws randomness of its own: a key pair is safest made by
    /// the library that knows what it needs.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAsymmetric`] for HS256, [`KeyError::Generation`] if the library fails.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let failed = |_: Unspecified| KeyError::Generation;
        let document = match algorithm {
            Algorithm::Hs256 => return Err(KeyError::NotAsymmetric),
            Algorithm::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()),
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|pair| pair.to_pkcs8v1()),
        }
        .map_err(failed)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::from_pkcs8(algorithm, &pkcs8)?, pkcs8))
    }

    /// Issues a token that names this key in its header.
    ///
    /// # Errors
    ///
    /// When the claims are such that the token would be refused on its return; see [`IssueError`].
    pub fn issue(&self, claims: &Claims) -> Result<String, IssueError> {
        issue::sign(&self.header, claims, self.algorithm(), &self.private)
    }

    /// Signs something else than an access token; its type keeps the two apart (RFC 8725 section
    /// 3.11).
    pub(crate) fn sign_typed(&self, typ: &str, payload: &[u8]) -> Result<String, IssueError> {
        let header = server_header(self.algorithm(), typ, self.kid());
        issue::compact(&header, payload, self.algorithm(), &self.private)
    }

    /// The one algorithm this key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The key's id.
    pub fn kid(&self) -> Thumbprint {
        self.public.kid()
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The public half as a JSON Web Key; see [`VerifyingKey::jwk`].
    pub fn jwk(&self) -> Value {
        self.public.jwk()
    }
}

impl AsRef<VerifyingKey> for SigningKey {
    fn as_ref(&self) -> &VerifyingKey {
        &self.public
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A server's public key, for one algorithm. Enough to verify with and to publish, so a key that no
/// longer signs can be kept as this until its last token is dead.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Thumbprint,
    point: Point,
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    /// Takes the raw public key: 32 bytes for `EdDSA` (RFC 8032), the uncompressed point of 65 bytes
    /// for ES256 (SEC 1 section 2.3.3).
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAsymmetric`] for HS256, [`KeyError::Rejected`] if the bytes are not such a key.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let rejected = KeyError::Rejected(algorithm);
        let (point, parsed) = match (algorithm, bytes) {
            (Algorithm::Hs256, _) => return Err(KeyError::NotAsymmetric),
            (Algorithm::EdDsa, _) => {
                let x = bytes.try_into().map_err(|_| rejected)?;
                (Point::Ed25519 { x }, ParsedPublicKey::new(&ED25519, bytes))
            }
            // 4 says that both coordinates follow.
            (Algorithm::Es256, [4, coordinates @ ..]) => {
                let (x, y) = coordinates.split_first_chunk().ok_or(rejected)?;
                let point = Point::P256 {
                    x: *x,
                    y: y.try_into().map_err(|_| rejected)?,
                };
                (point, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes))
            }
            (Algorithm::Es256, _) => return Err(rejected),
        };
        Ok(Self {
            kid: point.thumbprint(),
            point,
            parsed: parsed.map_err(|_| rejected)?,
        })
    }

    /// The one algorithm this key is for.
    pub fn algorithm(&self) -> Algorithm {
        match self.point {
            Point::Ed25519 { .. } => Algorithm::EdDsa,
            Point::P256 { .. } => Algorithm::Es256,
        }
    }

    /// The key's id.
    pub fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// The key as a JSON Web Key (RFC 7517, RFC 8037), with `use`, `alg` and `kid`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.point {
            Point::Ed25519 { x } => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode(x)})
            }
            Point::P256 { x, y } => json!({
                "kty": "EC", "crv": "P-256", "x": base64url::encode(x), "y": base64url::encode(y),
            }),
        };
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().name().into();
        jwk["kid"] = self.kid.to_string().into();
        jwk
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), InvalidToken> {
        self.parsed
            .verify_sig(message, signature)
            .map_err(|_| InvalidToken::BadSignature)
    }
}

impl AsRef<VerifyingKey> for VerifyingKey {
    fn as_ref(&self) -> &VerifyingKey {
        self
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm())
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The JWK set (RFC 7517 section 5) to publish: of the key that signs, and of those that did.
pub fn jwk_set<K: AsRef<VerifyingKey>>(keys: impl IntoIterator<Item = K>) -> Value {
    let keys: Vec<Value> = keys.into_iter().map(|key| key.as_ref().jwk()).collect();
    json!({ "keys": keys })
}

/// The coordinates of a public key, as a JWK names them.
#[derive(Clone)]
enum Point {
    Ed25519 { x: [u8; 32] },
    P256 { x: [u8; 32], y: [u8; 32] },
}

impl Point {
    /// The required members alone, in the order of their names, without white space
    /// (RFC 7638 section 3).
    fn thumbprint(&self) -> Thumbprint {
        let canonical = match self {
            Self::Ed25519 { x } => {
                format!(
                    r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
                    base64url::encode(x)
                )
            }
            Self::P256 { x, y } => format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                base64url::encode(x),
                base64url::encode(y),
            ),
        };
        Thumbprint::of(&canonical)
    }
}

/// A server key's id: the SHA-256 thumbprint of its JWK (RFC 7638), written in base64url.
///
/// The key itself fixes it, so two keys never share one and a key never changes its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    fn of(canonical_jwk: &str) -> Self {
        Self(Sha256::digest(canonical_jwk).into())
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base64url::encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl FromStr for Thumbprint {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base64url::decode_array(text).map(Self).ok_or(KeyIdError)
    }
}

/// A text that is not a thumbprint in base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is a SHA-256 thumbprint in base64url")]
pub struct KeyIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638_section_3_1() {
        let canonical = concat!(
            r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx"#,
            "4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5",
            "n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZH",
            "zu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xB",
            r#"niIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}"#,
        );
        let thumbprint = Thumbprint::of(canonical);
        assert_eq!(
            thumbprint.to_string(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert_eq!(thumbprint.to_string().parse(), Ok(thumbprint));
    }

    /// The key of RFC 8037 appendix A.1, its thumbprint of A.3 and its signature of A.4.
    #[test]
    fn the_ed25519_example_of_rfc_8037() {
        let seed = base64url::decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let mut pkcs8 =
            b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        pkcs8.extend(seed);
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8).unwrap();
        assert_eq!(
            key.jwk()["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        assert_eq!(
            key.kid().to_string(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );

        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let made = jsonwebtoken::crypto::sign(message, &key.private, Algorithm::EdDsa.into());
        assert_eq!(made.unwrap(), signature);
        let signature = base64url::decode_array(signature).unwrap();
        assert_eq!(key.public.verify(message, &signature), Ok(()));
        assert_eq!(
            key.public.verify(&message[1..], &signature),
            Err(InvalidToken::BadSignature)
        );
    }

    /// RFC 7515 appendix A.3.
    #[test]
    fn the_es256_example_of_rfc_7515() {
        let mut point = vec![4];
        point.extend(base64url::decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU").unwrap());
        point.extend(base64url::decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap());
        let key = VerifyingKey::from_bytes(Algorithm::Es256, &point).unwrap();
        let message = concat!(
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt",
            "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        );
        let signature = base64url::decode_array(
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        );
        assert_eq!(key.verify(message.as_bytes(), &signature.unwrap()), Ok(()));
    }
}
