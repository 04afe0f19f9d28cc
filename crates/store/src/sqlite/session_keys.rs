//! The table of keys that sign session tokens.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::SessionKeyRecord;

use super::Readers;
use super::error::{Failure, conflict_if_duplicate};
use super::statement::bind;
use super::transaction::Transaction;
use crate::row::feed;
use crate::row::session_key::{self, readable};

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
        bind(sqlx::query(sql), session_key::values(key, self.cipher))
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
