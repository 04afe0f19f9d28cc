//! A managed key and an access token: secrets, as the headers that they are sent in. What holds their text
//! is overwritten when the last of its clones is dropped.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::Error;

/// A managed key, such as `aB3dE5fG.0123…`. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct ManagedKey(HeaderValue);

impl ManagedKey {
    /// Takes a key as it was created. Whether it is anybody's is for the server to say.
    ///
    /// # Errors
    /// [`Error::Option`] if it has other characters than the visible ones of ASCII, or none. White space
    /// around it is cut off, as a file often ends with a line break.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = Zeroizing::new(text.into());
        let trimmed = text.trim().as_bytes();
        header(b"", trimmed).map(Self).ok_or_else(|| {
            let message = "the managed key is empty, or has characters that no key has";
            Error::Option(message.to_owned())
        })
    }

    pub(super) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for ManagedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagedKey(…)")
    }
}

const SCHEME: &str = "Bearer ";

/// An access token. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(HeaderValue);

impl AccessToken {
    /// Takes a token; none if it cannot be one.
    pub(super) fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        header(SCHEME.as_bytes(), text.as_bytes()).map(Self)
    }

    /// The token, for a request that is not made by way of [`Authorize`](crate::Authorize).
    pub fn expose(&self) -> &str {
        let text = self.0.to_str().unwrap_or_default();
        text.strip_prefix(SCHEME).unwrap_or_default()
    }

    /// What belongs into `Authorization`: `Bearer` and the token.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// A header of a secret in visible ASCII.
fn header(scheme: &[u8], secret: &[u8]) -> Option<HeaderValue> {
    if secret.is_empty() || !secret.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    // Room for both at once: a text that grows would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(scheme.len() + secret.len()));
    text.extend_from_slice(scheme);
    text.extend_from_slice(secret);
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let key = ManagedKey::new("hunter2").unwrap();
        let token = AccessToken::new("hunter2".to_owned()).unwrap();
        let shown = format!("{key:?} {token:?} {:?} {:?}", key.header(), token.header());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(token.expose(), "hunter2");
        assert_eq!(token.header(), "Bearer hunter2");
    }

    #[test]
    fn a_text_that_fits_no_header_is_no_key() {
        assert_eq!(ManagedKey::new(" abc\n").unwrap().header(), "abc");
        for text in ["", " \n", "a b", "a\nb", "clé", "\u{7f}"] {
            let error = ManagedKey::new(text).unwrap_err();
            assert!(matches!(error, Error::Option(_)), "{text:?}");
        }
        assert!(AccessToken::new("a\r\nX: y".to_owned()).is_none());
    }
}
