//! The table of server keys, which sign access tokens and lists of revocations.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SigningKeyRecord;

use super::error::{Fault, conflict_if_duplicate};
use super::readers::Readers;
use super::statement::execute;
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::feed;
use crate::row::signing_key::{read, values};

const NEWEST: &str = "SELECT kid, algorithm, pkcs8, purpose, created_at, signs_from, verify_until \
     FROM signing_key ORDER BY created_at DESC, kid";

const INSERT: &str = "INSERT INTO signing_key \
     (pkcs8, signs_from, verify_until, algorithm, purpose, created_at, kid) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

const UPDATE: &str = "UPDATE signing_key SET pkcs8 = $1, signs_from = $2, verify_until = $3 \
     WHERE algorithm = $4 AND purpose = $5 AND created_at = $6 AND kid = $7";

const REMOVE: &str = "DELETE FROM signing_key WHERE verify_until <= $1";

impl Readers {
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, Failure> {
        let rows = self.rows(NEWEST, vec![]).await?;
        rows.iter().map(|row| read(row, &self.cipher)).collect()
    }
}

impl Transaction<'_> {
    pub async fn insert_signing_key(&mut self, key: &SigningKeyRecord) -> Result<(), Fault> {
        execute(self.connection, INSERT, values(key, self.cipher))
            .await
            .map_err(conflict_if_duplicate)?;
        Ok(())
    }

    /// Lets every key verify until then at most, and tells of it if that changed one.
    pub async fn retire_signing_keys(&mut self, verify_until: Timestamp) -> Result<(), Fault> {
        let rows = sqlx::query(NEWEST).fetch_all(&mut *self.connection).await?;
        let mut changed = false;
        for row in &rows {
            let mut key = read(row, self.cipher)?;
            if key.verify_until.is_none_or(|until| until > verify_until) {
                key.verify_until = Some(verify_until);
                execute(self.connection, UPDATE, values(&key, self.cipher)).await?;
                changed = true;
            }
        }
        self.tell_of_signing_keys(changed).await
    }

    /// Removes the keys that verify until then or earlier, and tells of it if there were any.
    pub async fn remove_signing_keys(&mut self, now: Timestamp) -> Result<(), Fault> {
        let removed = execute(self.connection, REMOVE, vec![now.into()]).await?;
        self.tell_of_signing_keys(removed > 0).await
    }

    async fn tell_of_signing_keys(&mut self, changed: bool) -> Result<(), Fault> {
        if changed {
            self.tell(&[(feed::SIGNING_KEY, String::new())]).await?;
        }
        Ok(())
    }
}
