//! The table of server keys, which sign access tokens and lists of revocations.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SigningKeyRecord;

use super::Readers;
use super::error::{Failure, conflict_if_duplicate};
use super::statement::bind;
use super::transaction::Transaction;
use crate::row::feed;
use crate::row::signing_key::{self, read};

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
        bind(sqlx::query(sql), signing_key::values(key, self.cipher))
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
