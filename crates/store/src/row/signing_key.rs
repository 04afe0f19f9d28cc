//! Server keys, which sign access tokens and lists of revocations: how they are written into a row and
//! read from one. The encrypted private key of one vouches for its times, so that nobody without the master
//! key makes a retired key sign again, unless by the whole row as it was before.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SigningKeyRecord;

use super::{Value, Values};
use crate::cipher::{ColumnCipher, Fields, Place};
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The values `pkcs8, signs_from, verify_until, algorithm, purpose, created_at, kid`.
pub fn values(key: &SigningKeyRecord, cipher: &ColumnCipher) -> Values {
    let times = times(key.created_at, key.signs_from, key.verify_until);
    vec![
        cipher.seal(pkcs8_of(&key.kid, &times), &key.pkcs8).into(),
        Value::optional_time(key.signs_from),
        Value::optional_time(key.verify_until),
        key.algorithm.name().into(),
        key.purpose.as_str().into(),
        key.created_at.into(),
        key.kid.as_str().into(),
    ]
}

/// Reads the columns `kid, algorithm, pkcs8, purpose, created_at, signs_from, verify_until`.
pub fn read(row: &impl Cells, cipher: &ColumnCipher) -> Result<SigningKeyRecord, Failure> {
    let mut columns = Columns::of(row);
    let (kid, algorithm) = (columns.take::<&str>()?, columns.parsed()?);
    let (sealed, purpose) = (columns.take()?, columns.parsed()?);
    let (created_at, signs_from) = (columns.time()?, columns.optional_time()?);
    let verify_until = columns.optional_time()?;
    let times = times(created_at, signs_from, verify_until);
    Ok(SigningKeyRecord {
        kid: kid.to_owned(),
        algorithm,
        pkcs8: cipher.open(pkcs8_of(kid, &times), sealed)?,
        purpose,
        created_at,
        signs_from,
        verify_until,
    })
}

/// What the private key vouches for. What is on disk depends on it: this never changes. A key that signs
/// from the beginning and is not retired vouches for nothing, as every key did before there were these
/// times: a process of that version reads it.
fn times(
    created_at: Timestamp,
    signs_from: Option<Timestamp>,
    verify_until: Option<Timestamp>,
) -> Vec<u8> {
    let mut fields = Fields::default();
    if signs_from.is_some() || verify_until.is_some() {
        for time in [Some(created_at), signs_from, verify_until] {
            fields.push_or_not(time.map(|time| time.as_millis().to_be_bytes()));
        }
    }
    fields.0
}

const fn pkcs8_of<'a>(kid: &'a str, vouches: &'a [u8]) -> Place<'a> {
    Place {
        table: "signing_key",
        column: "pkcs8",
        row: kid,
        vouches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_private_key_vouches_for_is_the_same_bytes_for_good() {
        let time = Timestamp::from_millis;
        assert_eq!(times(time(6), None, None), b"");
        let retired = *b"\0\0\0\x08\0\0\0\0\0\0\0\x06\xff\xff\xff\xff\0\0\0\x08\0\0\0\0\0\0\0\x09";
        assert_eq!(times(time(6), None, Some(time(9))), retired);
        let later = *b"\0\0\0\x08\0\0\0\0\0\0\0\x06\0\0\0\x08\0\0\0\0\0\0\0\x07\xff\xff\xff\xff";
        assert_eq!(times(time(6), Some(time(7)), None), later);
    }
}
