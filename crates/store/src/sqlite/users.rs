//! The table of users, looked up and listed.

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::store::{StoreError, UserQuery, Users};
use sealgate_core::user::{UserId, UserRecord};
use sqlx::AssertSqlSafe;

use super::Readers;
use super::error::{Failure, conflict_if_duplicate, one_row};
use super::statement::{Columns, bind};
use super::transaction::Transaction;
use crate::row::listing::users as listing;
use crate::row::user::{self, FOLDED, columns, read, settings};

const INSERT: &str = concat!(
    "INSERT INTO user_account (",
    columns!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

pub const UPDATE: &str = concat!(
    "UPDATE user_account SET (",
    settings!(),
    ") = (?, ?, ?, ?, ?, ?, ?, ?), version = version + 1 WHERE id = ? AND version = ?"
);

pub const REMOVE: &str = "DELETE FROM user_account WHERE id = ? AND version = ?";

pub const NOTE_LOGIN: &str =
    "UPDATE user_account SET last_login_at = ? WHERE id = ? AND epoch = ? AND is_active = 1";

pub const BY_NAME: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM user_account WHERE username_folded = ?"
);

impl Readers {
    pub async fn user(&self, folded: &str) -> Result<Option<UserRecord>, Failure> {
        let row = sqlx::query(BY_NAME)
            .bind(folded)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| read(&row, &self.cipher)).transpose()
    }

    pub async fn users(&self, query: &UserQuery) -> Result<Users, Failure> {
        let (sql, values) = listing(query).into_parts(|_| "?".to_owned());
        let mut rows = bind(sqlx::query(AssertSqlSafe(sql)), values).fetch(&self.pool);
        let (mut users, mut count, mut last) = (Users::default(), 0, None);
        while let Some(row) = rows.try_next().await? {
            if count == query.limit {
                users.next = last;
                break;
            }
            count += 1;
            let Ok(folded) = Columns::at(&row, FOLDED).take::<String>() else {
                tracing::error!("a row of no user is among the users");
                continue;
            };
            match read(&row, &self.cipher) {
                Ok(user) => users.records.push(user),
                Err(Failure(StoreError::Unreadable(why))) => {
                    tracing::debug!(why, "the row of a user cannot be read");
                    users.damaged.push(folded.clone());
                }
                Err(other) => return Err(other),
            }
            last = Some(folded);
        }
        Ok(users)
    }
}

impl Transaction<'_> {
    pub async fn insert_user(&mut self, user: &UserRecord) -> Result<(), Failure> {
        bind(sqlx::query(INSERT), user::insertion(user, self.cipher)?)
            .execute(&mut *self.connection)
            .await
            .map_err(conflict_if_duplicate)?;
        self.count_users(1).await
    }

    /// Writes a user's settings over those of the version that was read.
    pub async fn update_user(&mut self, user: &UserRecord) -> Result<(), Failure> {
        let statement = sqlx::query(UPDATE);
        let settings = user::written(user, user.version + 1, self.cipher)?;
        let updated = bind(statement, settings)
            .bind(user.id.to_string())
            .bind(user.version)
            .execute(&mut *self.connection)
            .await
            .map_err(conflict_if_duplicate)?;
        one_row(updated.rows_affected())
    }

    /// Removes a user of the version that was read, and what is known of the account.
    pub async fn remove_user(&mut self, id: UserId, version: u32) -> Result<(), Failure> {
        let id = id.to_string();
        self.forget_addresses_of_user(&id).await?;
        let removed = sqlx::query(REMOVE)
            .bind(id)
            .bind(version)
            .execute(&mut *self.connection)
            .await?;
        one_row(removed.rows_affected())?;
        self.count_users(-1).await
    }

    /// Notes a login, if the user may still log in and the epoch is not over.
    pub async fn note_login(
        &mut self,
        id: UserId,
        epoch: i64,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let noted = sqlx::query(NOTE_LOGIN)
            .bind(at.as_millis())
            .bind(id.to_string())
            .bind(epoch)
            .execute(&mut *self.connection)
            .await?;
        one_row(noted.rows_affected())
    }

    async fn count_users(&mut self, more: i64) -> Result<(), Failure> {
        sqlx::query("UPDATE meta SET user_count = user_count + ?")
            .bind(more)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}
