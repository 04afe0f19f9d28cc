//! The table of keys that sign session tokens. The encrypted secret of one vouches for its times, so
//! that nobody without the master key makes a retired key sign again, unless by the whole row as it was
//! before.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SessionKeyRecord;
use sqlx::sqlite::SqliteRow;

use super::error::Failure;
use super::statement::Columns;
use super::transaction::{Transaction, conflict_if_duplicate};
use super::{Readers, feed};
use crate::cipher::{ColumnCipher, Fields, Place};

const NEWEST: &str = "SELECT kid, secret, created_at, signs_from, verify_until FROM session_key \
     ORDER BY created_at DESC, kid";

const INSERT: &str = "INSERT INTO session_key (secret, signs_from, verify_until, created_at, kid) \
     VALUES (?, ?, ?, ?, ?)";

const UPDATE: &str = "UPDATE session_key SET secret = ?, signs_from = ?, verify_until = ? \
     WHERE created_at = ? AND kid = ?";

const REMOVE: &str = "DELETE FROM session_key WHERE verify_until <= ?";

impl Readers {
    pub async fn session_keys(&self) -> Result<Vec<SessionKeyRecord>, Failure> {
        let rows = sqlx::query(NEWEST).fetch_all(&self.pool).await?;
        let readable = rows.iter().filter_map(|row| readable(row, &self.cipher));
        Ok(readable.collect())
    }
}

impl Transaction<'_> {
    pub async fn insert_session_key(&mut self, key: &SessionKeyRecord) -> Result<(), Failure> {
        self.write_session_key(INSERT, key)
            .await
            .map_err(conflict_if_duplicate)
    }

    /// Lets every key verify until then at most, and tells of it if that changed one.
    pub async fn retire_session_keys(&mut self, verify_until: Timestamp) -> Result<(), Failure> {
        let rows = sqlx::query(NEWEST).fetch_all(&mut *self.connection).await?;
        let mut changed = false;
        for row in &rows {
            let Some(mut key) = readable(row, self.cipher) else {
                continue;
            };
            if key.verify_until.is_none_or(|until| until > verify_until) {
                key.verify_until = Some(verify_until);
                self.write_session_key(UPDATE, &key).await?;
                changed = true;
            }
        }
        self.tell_of_session_keys(changed).await
    }

    /// Removes the keys that verify until then or earlier, and tells of it if there were any.
    pub async fn remove_session_keys(&mut self, now: Timestamp) -> Result<(), Failure> {
        let removed = sqlx::query(REMOVE)
            .bind(now.as_millis())
            .execute(&mut *self.connection)
            .await?;
        self.tell_of_session_keys(removed.rows_affected() > 0).await
    }

    async fn write_session_key(
        &mut self,
        sql: &'static str,
        key: &SessionKeyRecord,
    ) -> Result<(), sqlx::Error> {
        let SessionKeyRecord {
            kid,
            secret,
            created_at,
            signs_from,
            verify_until,
        } = key;
        let times = times(*created_at, *signs_from, *verify_until);
        sqlx::query(sql)
            .bind(self.cipher.seal(secret_of(kid, &times), secret.expose()))
            .bind(signs_from.map(Timestamp::as_millis))
            .bind(verify_until.map(Timestamp::as_millis))
            .bind(created_at.as_millis())
            .bind(kid.as_str())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn tell_of_session_keys(&mut self, changed: bool) -> Result<(), Failure> {
        if changed {
            self.tell(&[(feed::SESSION_KEY, String::new())]).await?;
        }
        Ok(())
    }
}

/// A key that can be read. One that was damaged or tampered with verifies nothing, which ends the
/// sessions that it signed and no others.
fn readable(row: &SqliteRow, cipher: &ColumnCipher) -> Option<SessionKeyRecord> {
    let key = read(row, cipher);
    key.inspect_err(|Failure(error)| {
        tracing::error!(%error, "a key that signed session tokens cannot be read");
    })
    .ok()
}

fn read(row: &SqliteRow, cipher: &ColumnCipher) -> Result<SessionKeyRecord, Failure> {
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
