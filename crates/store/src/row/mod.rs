//! What rows hold, whichever engine keeps them: the values that are written, in their order, and the
//! records that are read back.

pub mod audit;
pub mod data_key;
pub mod feed;
pub mod key;
pub mod listing;
pub mod revocation;
mod rights;
pub mod session_key;
pub mod signing_key;
pub mod user;
pub mod uses;

use sealgate_core::clock::Timestamp;

/// The values of a row or of a statement, in their order.
pub type Values = Vec<Value>;

/// A value on its way into the database.
#[derive(Clone, Debug)]
pub enum Value {
    /// A text, or nothing.
    Text(Option<String>),
    /// A number, or nothing. Times are Unix milliseconds, flags 0 and 1.
    Number(Option<i64>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// A text that may be absent.
    pub fn optional_text(text: Option<impl ToString>) -> Self {
        Self::Text(text.map(|text| text.to_string()))
    }

    /// A time that may be absent.
    pub fn optional_time(time: Option<Timestamp>) -> Self {
        Self::Number(time.map(Timestamp::as_millis))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        time.as_millis().into()
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<u64> for Value {
    /// A count: none comes near the end of `i64`.
    fn from(number: u64) -> Self {
        number.cast_signed().into()
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        i64::from(flag).into()
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}
