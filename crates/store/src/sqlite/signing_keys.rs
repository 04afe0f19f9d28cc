//! The table of server keys, which sign access tokens and lists of revocations. The encrypted private key
//! of one vouches for its times, so that nobody without the master key makes a retired key sign again,
//! unless by the whole row as it was before.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SigningKeyRecord;
use sqlx::sqlite::SqliteRow;

use super::error::Failure;
use super::statement::Columns;
use super::transaction::{Transaction, conflict_if_duplicate};
use super::{Readers, feed};
use crate::cipher::{ColumnCipher, Fields, Place};

const NEWEST: &str = "SELECT kid, algorithm, pkcs8, purpose, created_at, signs_from, verify_until \
     FROM signing_key ORDER BY created_at DESC, kid";

const INSERT: &str = "INSERT INTO signing_key \
     (pkcs8, signs_from, verify_until, algorithm, purpose, created_at, kid) \
     VALUES (?, ?, ?, ?, ?, ?, ?)";

const UPDATE: &str = "UPDATE signing_key SET pkcs8 = ?, signs_from = ?, verify_until = ? \
     WHERE algorithm = ? AND purpose = ? AND created_at = ? AND kid = ?";

const REMOVE: &str = "DELETE FROM signing_key WHERE verify_until <= ?";

impl Readers {
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, Failure> {
        let rows = sqlx::query(NEWEST).fetch_all(&self.pool).await?;
        rows.iter().map(|row| read(row, &self.cipher)).collect()
    }
}

impl Transaction<'_> {
    pub async fn insert_signing_key(&mut self, key: &SigningKeyRecord) -> Result<(), Failure> {
        self.write_signing_key(INSERT, key)
            .await
            .map_err(conflict_if_duplicate)
    }

    /// Lets every key verify until then at most, and tells of it if that changed one.
    pub async fn retire_signing_keys(&mut self, verify_until: Timestamp) -> Result<(), Failure> {
        let rows = sqlx::query(NEWEST).fetch_all(&mut *self.connection).await?;
        let mut changed = false;
        for row in &rows {
            let mut key = read(row, self.cipher)?;
            if key.verify_until.is_none_or(|until| until > verify_until) {
                key.verify_until = Some(verify_until);
                self.write_signing_key(UPDATE, &key).await?;
                changed = true;
            }
        }
        self.tell_of_signing_keys(changed).await
    }

    /// Removes the keys that verify until then or earlier, and tells of it if there were any.
    pub async fn remove_signing_keys(&mut self, now: Timestamp) -> Result<(), Failure> {
        let removed = sqlx::query(REMOVE)
            .bind(now.as_millis())
            .execute(&mut *self.connection)
            .await?;
        self.tell_of_signing_keys(removed.rows_affected() > 0).await
    }

    async fn write_signing_key(
        &mut self,
        sql: &'static str,
        key: &SigningKeyRecord,
    ) -> Result<(), sqlx::Error> {
        let times = times(key.created_at, key.signs_from, key.verify_until);
        sqlx::query(sql)
            .bind(self.cipher.seal(pkcs8_of(&key.kid, &times), &key.pkcs8))
            .bind(key.signs_from.map(Timestamp::as_millis))
            .bind(key.verify_until.map(Timestamp::as_millis))
            .bind(key.algorithm.name())
            .bind(key.purpose.as_str())
            .bind(key.created_at.as_millis())
            .bind(key.kid.as_str())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn tell_of_signing_keys(&mut self, changed: bool) -> Result<(), Failure> {
        if changed {
            self.tell(&[(feed::SIGNING_KEY, String::new())]).await?;
        }
        Ok(())
    }
}

fn read(row: &SqliteRow, cipher: &ColumnCipher) -> Result<SigningKeyRecord, Failure> {
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
