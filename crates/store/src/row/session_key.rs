//! Keys that sign session tokens: how they are written into a row and read from one. The encrypted
//! secret of one vouches for its times, so that nobody without the master key makes a retired key sign
//! again, unless by the whole row as it was before.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SessionKeyRecord;

use super::{Value, Values};
use crate::cipher::{ColumnCipher, Fields, Place};
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The values `secret, signs_from, verify_until, created_at, kid`.
pub fn values(key: &SessionKeyRecord, cipher: &ColumnCipher) -> Values {
    let times = times(key.created_at, key.signs_from, key.verify_until);
    vec![
        cipher
            .seal(secret_of(&key.kid, &times), key.secret.expose())
            .into(),
        Value::optional_time(key.signs_from),
        Value::optional_time(key.verify_until),
        key.created_at.into(),
        key.kid.as_str().into(),
    ]
}

/// A key that can be read. One that was damaged or tampered with verifies nothing, which ends the
/// sessions that it signed and no others.
pub fn readable(row: &impl Cells, cipher: &ColumnCipher) -> Option<SessionKeyRecord> {
    let key = read(row, cipher);
    key.inspect_err(|Failure(error)| {
        tracing::error!(%error, "a key that signed session tokens cannot be read");
    })
    .ok()
}

/// Reads the columns `kid, secret, created_at, signs_from, verify_until`.
fn read(row: &impl Cells, cipher: &ColumnCipher) -> Result<SessionKeyRecord, Failure> {
    let mut columns = Columns::of(row);
    let (kid, sealed): (&str, &[u8]) = (columns.take()?, columns.take()?);
    let (created_at, signs_from) = (columns.time()?, columns.optional_time()?);
    let verify_until = columns.optional_time()?;
    let times = times(created_at, signs_from, verify_until);
    Ok(SessionKeyRecord {
        kid: kid.to_owned(),
        secret: cipher.open_secret(secret_of(kid, &times), sealed)?,
        created_at,
        signs_from,
        verify_until,
    })
}

/// What the secret vouches for. What is on disk depends on it: this never changes. A key that signs from
/// the beginning has the two fields that every key had before there was another.
fn times(
    created_at: Timestamp,
    signs_from: Option<Timestamp>,
    verify_until: Option<Timestamp>,
) -> Vec<u8> {
    let mut fields = Fields::default();
    for time in [Some(created_at), verify_until] {
        fields.push_or_not(time.map(|time| time.as_millis().to_be_bytes()));
    }
    if signs_from.is_some() {
        fields.push_or_not(signs_from.map(|time| time.as_millis().to_be_bytes()));
    }
    fields.0
}

const fn secret_of<'a>(kid: &'a str, vouches: &'a [u8]) -> Place<'a> {
    Place {
        table: "session_key",
        column: "secret",
        row: kid,
        vouches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_secret_vouches_for_is_the_same_bytes_for_good() {
        let time = Timestamp::from_millis;
        let signing = *b"\0\0\0\x08\0\0\0\0\0\0\0\x06\xff\xff\xff\xff";
        assert_eq!(times(time(6), None, None), signing);
        let retired = *b"\0\0\0\x08\0\0\0\0\0\0\0\x06\0\0\0\x08\0\0\0\0\0\0\0\x09";
        assert_eq!(times(time(6), None, Some(time(9))), retired);
        let later = *b"\0\0\0\x08\0\0\0\0\0\0\0\x06\xff\xff\xff\xff\0\0\0\x08\0\0\0\0\0\0\0\x07";
        assert_eq!(times(time(6), Some(time(7)), None), later);
    }
}
