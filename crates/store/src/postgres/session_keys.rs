//! The table of keys that sign session tokens.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SessionKeyRecord;

use super::error::{Fault, conflict_if_duplicate};
use super::readers::Readers;
use super::statement::execute;
use super::transaction::Transaction;
use crate::failure::Failure;
use crate::row::feed;
use crate::row::session_key::{readable, values};

const NEWEST: &str = "SELECT kid, secret, created_at, signs_from, verify_until FROM session_key \
     ORDER BY created_at DESC, kid";

const INSERT: &str = "INSERT INTO session_key (secret, signs_from, verify_until, created_at, kid) \
     VALUES ($1, $2, $3, $4, $5)";

const UPDATE: &str = "UPDATE session_key SET secret = $1, signs_from = $2, verify_until = $3 \
     WHERE created_at = $4 AND kid = $5";

const REMOVE: &str = "DELETE FROM session_key WHERE verify_until <= $1";

impl Readers {
    pub async fn session_keys(&self) -> Result<Vec<SessionKeyRecord>, Failure> {
        let rows = self.rows(NEWEST, vec![]).await?;
        let readable = rows.iter().filter_map(|row| readable(row, &self.cipher));
        Ok(readable.collect())
    }
}

impl Transaction<'_> {
    pub async fn insert_session_key(&mut self, key: &SessionKeyRecord) -> Result<(), Fault> {
        execute(self.connection, INSERT, values(key, self.cipher))
            .await
            .map_err(conflict_if_duplicate)?;
        Ok(())
    }

    /// Lets every key verify until then at most, and tells of it if that changed one.
    pub async fn retire_session_keys(&mut self, verify_until: Timestamp) -> Result<(), Fault> {
        let rows = sqlx::query(NEWEST).fetch_all(&mut *self.connection).await?;
        let mut changed = false;
        for row in &rows {
            let Some(mut key) = readable(row, self.cipher) else {
                continue;
            };
            if key.verify_until.is_none_or(|until| until > verify_until) {
                key.verify_until = Some(verify_until);
                execute(self.connection, UPDATE, values(&key, self.cipher)).await?;
                changed = true;
            }
        }
        self.tell_of_session_keys(changed).await
    }

    /// Removes the keys that verify until then or earlier, and tells of it if there were any.
    pub async fn remove_session_keys(&mut self, now: Timestamp) -> Result<(), Fault> {
        let removed = execute(self.connection, REMOVE, vec![now.into()]).await?;
        self.tell_of_session_keys(removed > 0).await
    }

    async fn tell_of_session_keys(&mut self, changed: bool) -> Result<(), Fault> {
        if changed {
            self.tell(&[(feed::SESSION_KEY, String::new())]).await?;
        }
        Ok(())
    }
}
