//! Owns the reasons for which a token is refused, cannot be issued, or a key cannot be used.
//!
//! No variant carries text of a token, so an error can be logged as it is.

/// Why a token was refused, an access token or a session token. For logs and audit; a caller is told only that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Longer than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
    #[error("the token is too long")]
    TooLong,
    /// Not three non-empty parts, or a part that is not a JSON object; not a `v4.public` token with a
    /// footer.
    #[error("the token is not well formed")]
    Malformed,
    /// Base64url with padding, white space, stray bits or foreign characters.
    #[error("the token is not in canonical base64url")]
    NonCanonicalEncoding,
    /// An HS256 header that says the same as ours in other bytes.
    #[error("the token's header is not spelled as this issuer does")]
    NonCanonicalHeader,
    /// An `alg` that is never used here: `none`, another family, another letter case.
    #[error("the token's algorithm is not one of this issuer's")]
    UnknownAlgorithm,
    /// Signed by another kind of key than the one it was to be verified with.
    #[error("the token's algorithm is not the key's")]
    AlgorithmMismatch,
    /// A `crit` header (RFC 7515 section 4.1.11): no extension is understood here.
    #[error("the token demands an extension that is not understood")]
    UnknownCritical,
    /// A header that brings or points to its own key: `jwk`, `jku`, `x5u`, `x5c`, `x5t`.
    #[error("the token brings its own key")]
    EmbeddedKey,
    /// Any other member of the header than `alg`, `typ` and `kid`.
    #[error("the token's header has an unknown member")]
    UnknownHeader,
    /// Any other member of a session token's footer than `kid`.
    #[error("the token's footer has an unknown member")]
    UnknownFooter,
    /// A `typ` other than `JWT` (RFC 8725 section 3.11).
    #[error("the token is of another type")]
    WrongTokenType,
    /// A claim that is never issued here.
    #[error("the token has an unknown claim")]
    UnknownClaim,
    /// The same member twice (RFC 8725 section 2.4: parsers disagree on which one counts).
    #[error("`{member}` occurs twice in the token")]
    Duplicate {
        /// The member's name, one of this crate's own.
        member: &'static str,
    },
    /// A required member is absent.
    #[error("`{member}` is missing in the token")]
    Missing {
        /// The member's name, one of this crate's own.
        member: &'static str,
    },
    /// A value of another type or outside the range that is issued.
    #[error("`{member}` has the wrong type in the token")]
    WrongType {
        /// The member's name, one of this crate's own.
        member: &'static str,
    },
    /// `sub` and `kid` name different keys, or the header names another server key.
    #[error("the token names another key")]
    KeyMismatch,
    /// The signature is not by this key over these bytes.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Issued for someone else, under the same key.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Issued by someone else, under the same key.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `exp` has come.
    #[error("the token has expired")]
    Expired,
    /// `iat`, or a session token's `nbf`, is in the future by more than the leeway.
    #[error("the token is from the future")]
    NotYetValid,
}

impl InvalidToken {
    /// A stable slug for audit records and metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::NonCanonicalEncoding => "non_canonical_encoding",
            Self::NonCanonicalHeader => "non_canonical_header",
            Self::UnknownAlgorithm => "unknown_algorithm",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::UnknownCritical => "unknown_critical",
            Self::EmbeddedKey => "embedded_key",
            Self::UnknownHeader => "unknown_header",
            Self::UnknownFooter => "unknown_footer",
            Self::WrongTokenType => "wrong_token_type",
            Self::UnknownClaim => "unknown_claim",
            Self::Duplicate { .. } => "duplicate",
            Self::Missing { .. } => "missing",
            Self::WrongType { .. } => "wrong_type",
            Self::KeyMismatch => "key_mismatch",
            Self::BadSignature => "bad_signature",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}

/// Why claims cannot be made into a token: what would be refused when it comes back is not issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Not `0 <= auth_time <= iat < exp <= 9999-12-31T23:59:59Z`.
    #[error("the token's times are out of order or out of range")]
    Times,
    /// A text claim with a character that JSON must escape; tokens are written without escapes.
    #[error("`{claim}` has a quote, a backslash or a control character")]
    Text {
        /// The claim's name.
        claim: &'static str,
    },
    /// The token would be longer than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
    #[error("the token would be too long")]
    TooLong,
    /// The cryptographic library refused to sign.
    #[error("signing failed")]
    Signing,
}

/// Why key material cannot be used as a server key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// HS256 is signed with each managed key's own secret; a server key is asymmetric.
    #[error("HS256 has no server key")]
    NotAsymmetric,
    /// The bytes are not a valid key, or not one for this algorithm.
    #[error("not a valid key for {0}")]
    Rejected(super::Algorithm),
    /// The library's generator failed.
    #[error("the key could not be generated")]
    Generation,
}
