//! The table of users, looked up and listed.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::{StoreError, UserQuery, Users};
use sealgate_core::user::{UserId, UserRecord};

use super::error::{Fault, conflict_if_duplicate};
use super::readers::Readers;
use super::statement::{Columns, execute};
use super::transaction::Transaction;
use crate::failure::{Failure, one_row};
use crate::row::listing;
use crate::row::user::{self, FOLDED, columns, read, settings};

const INSERT: &str = concat!(
    "INSERT INTO user_account (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
);

pub const UPDATE: &str = concat!(
    "UPDATE user_account SET (",
    settings!(),
    ") = ($1, $2, $3, $4, $5, $6, $7, $8), version = version + 1 WHERE id = $9 AND version = $10"
);

pub const REMOVE: &str = "DELETE FROM user_account WHERE id = $1 AND version = $2";

pub const NOTE_LOGIN: &str =
    "UPDATE user_account SET last_login_at = $1 WHERE id = $2 AND epoch = $3 AND is_active = 1";

pub const BY_NAME: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM user_account WHERE username_folded = $1"
);

impl Readers {
    pub async fn user(&self, folded: &str) -> Result<Option<UserRecord>, Failure> {
        let rows = self.rows(BY_NAME, vec![folded.into()]).await?;
        rows.first().map(|row| read(row, &self.cipher)).transpose()
    }

    pub async fn users(&self, query: &UserQuery) -> Result<Users, Failure> {
        let (sql, values) = listing::users(query).into_parts(|number| format!("${number}"));
        let rows = self.rows_of(sql, values).await?;
        let (mut users, mut last) = (Users::default(), None);
        for row in rows.iter().take(query.limit as usize) {
            let folded: String = Columns::at(row, FOLDED).take()?;
            match read(row, &self.cipher) {
                Ok(user) => users.records.push(user),
                Err(Failure(StoreError::Unreadable(why))) => {
                    tracing::debug!(why, "the row of a user cannot be read");
                    users.damaged.push(folded.clone());
                }
                Err(other) => return Err(other),
            }
            last = Some(folded);
        }
        if rows.len() > query.limit as usize {
            users.next = last;
        }
        Ok(users)
    }
}

impl Transaction<'_> {
    pub async fn insert_user(&mut self, user: &UserRecord) -> Result<(), Fault> {
        let values = user::insertion(user, self.cipher)?;
        execute(self.connection, INSERT, values)
            .await
            .map_err(conflict_if_duplicate)?;
        self.count_users(1).await
    }

    /// Writes a user's settings over those of the version that was read.
    pub async fn update_user(&mut self, user: &UserRecord) -> Result<(), Fault> {
        let mut values = user::written(user, user.version + 1, self.cipher)?;
        values.extend([user.id.to_string().into(), user.version.into()]);
        let updated = execute(self.connection, UPDATE, values)
            .await
            .map_err(conflict_if_duplicate)?;
        Ok(one_row(updated)?)
    }

    /// Removes a user of the version that was read, and what is known of the account.
    pub async fn remove_user(&mut self, id: UserId, version: u32) -> Result<(), Fault> {
        let id = id.to_string();
        self.forget_addresses_of_user(&id).await?;
        let values = vec![id.into(), version.into()];
        one_row(execute(self.connection, REMOVE, values).await?)?;
        self.count_users(-1).await
    }

    /// Notes a login, if the user may still log in and the epoch is not over.
    pub async fn note_login(&mut self, id: UserId, epoch: i64, at: Timestamp) -> Result<(), Fault> {
        let values = vec![at.into(), id.to_string().into(), epoch.into()];
        Ok(one_row(
            execute(self.connection, NOTE_LOGIN, values).await?,
        )?)
    }

    async fn count_users(&mut self, more: i64) -> Result<(), Fault> {
        let count = "UPDATE meta SET user_count = user_count + $1";
        execute(self.connection, count, vec![more.into()]).await?;
        Ok(())
    }
}
