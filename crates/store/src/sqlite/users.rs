//! The table of users: how a [`UserRecord`] is written and read, looked up and listed.

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::password::PasswordHash;
use sealgate_core::store::{StoreError, UserQuery, Users};
use sealgate_core::user::{UserId, UserProfile, UserRecord, Username, fold_username};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{QueryBuilder, Row as _};
use zeroize::Zeroizing;

use super::Readers;
use super::error::Failure;
use super::listing::successor;
use super::statement::{Columns, Statement};
use super::transaction::{Transaction, conflict_if_duplicate};
use crate::cipher::{ColumnCipher, Fields, Place};

/// The columns that both an insertion and an update write, in the order of [`bind_settings`].
macro_rules! settings {
    () => {
        "username, username_folded, profile, password, is_active, epoch, created_at, \
         password_changed_at"
    };
}

/// The columns of a user in the order [`read`] takes them.
macro_rules! columns {
    () => {
        concat!(settings!(), ", id, last_login_at, version")
    };
}

/// The place of `username_folded` among [`columns`].
const FOLDED: usize = 1;

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
        let mut statement = statement(query);
        let mut rows = statement.build().fetch(&self.pool);
        let (mut users, mut count, mut last) = (Users::default(), 0, None);
        while let Some(row) = rows.try_next().await? {
            if count == query.limit {
                users.next = last;
                break;
            }
            count += 1;
            let Ok(folded) = row.try_get::<String, _>(FOLDED) else {
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

/// The statement that answers a query, with one user more than asked for: it tells whether there is
/// another page.
pub fn statement(query: &UserQuery) -> QueryBuilder<Sqlite> {
    let from = fold_username(query.name.as_deref().unwrap_or_default());
    let mut sql = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM user_account WHERE "));
    if let Some(is_active) = query.is_active {
        sql.push("is_active = ").push_bind(is_active).push(" AND ");
    }
    let to = successor(&from);
    match &query.after {
        Some(after) if *after >= from => sql.push("username_folded > ").push_bind(after.clone()),
        _ => sql.push("username_folded >= ").push_bind(from),
    };
    if let Some(to) = to {
        sql.push(" AND username_folded < ").push_bind(to);
    }
    sql.push(" ORDER BY username_folded LIMIT ")
        .push_bind(i64::from(query.limit) + 1);
    sql
}

impl Transaction<'_> {
    pub async fn insert_user(&mut self, user: &UserRecord) -> Result<(), Failure> {
        bind_settings(sqlx::query(INSERT), user, user.version, self.cipher)?
            .bind(user.id.to_string())
            .bind(user.last_login_at.map(Timestamp::as_millis))
            .bind(user.version)
            .execute(&mut *self.connection)
            .await
            .map_err(conflict_if_duplicate)?;
        self.count_users(1).await
    }

    /// Writes a user's settings over those of the version that was read.
    pub async fn update_user(&mut self, user: &UserRecord) -> Result<(), Failure> {
        let statement = sqlx::query(UPDATE);
        let updated = bind_settings(statement, user, user.version + 1, self.cipher)?
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

/// A conflict, unless a statement found the row as it was read.
fn one_row(rows: u64) -> Result<(), Failure> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Conflict.into())
    }
}

/// Binds [`settings`] for a row that will have this version.
fn bind_settings<'q>(
    statement: Statement<'q>,
    user: &UserRecord,
    version: u32,
    cipher: &ColumnCipher,
) -> Result<Statement<'q>, Failure> {
    let (id, folded) = (user.id.to_string(), user.username.folded());
    let standing = Standing::of(user, &folded, version).to_bytes();
    let profile = serde_json::to_vec(&user.profile).map(Zeroizing::new);
    let profile =
        profile.map_err(|_| Failure::unreadable("a profile cannot be written as JSON"))?;
    Ok(statement
        .bind(user.username.as_str().to_owned())
        .bind(folded)
        .bind(cipher.seal(profile_of(&id, &standing), &profile))
        .bind(cipher.seal(
            password_of(&id, &standing),
            user.password.as_str().as_bytes(),
        ))
        .bind(user.is_active)
        .bind(user.epoch)
        .bind(user.created_at.as_millis())
        .bind(user.password_changed_at.as_millis()))
}

/// Reads a user from a row of [`columns`].
fn read(row: &SqliteRow, cipher: &ColumnCipher) -> Result<UserRecord, Failure> {
    let mut columns = Columns::of(row);
    // In the order of the columns.
    let username = Username::parse(columns.take()?).map_err(|_| columns.wrong())?;
    let folded: &str = columns.take()?;
    let (profile, password): (&[u8], &[u8]) = (columns.take()?, columns.take()?);
    let is_active = columns.take()?;
    let epoch = columns.take()?;
    let created_at = columns.time()?;
    let password_changed_at = columns.time()?;
    let id = columns.uuid().map(UserId)?;
    let last_login_at = columns.optional_time()?;
    let version = columns.number()?;
    let standing = Standing {
        username: username.as_str(),
        folded,
        is_active,
        epoch,
        created_at,
        password_changed_at,
        version,
    };
    let row = &id.to_string();
    let standing = standing.to_bytes();
    let password = cipher.open(password_of(row, &standing), password)?;
    let profile = cipher.open(profile_of(row, &standing), profile)?;
    Ok(UserRecord {
        id,
        profile: read_profile(&profile)?,
        password: read_password(&password)?,
        username,
        is_active,
        epoch,
        created_at,
        password_changed_at,
        last_login_at,
        version,
    })
}

fn read_profile(json: &[u8]) -> Result<UserProfile, Failure> {
    let profile = serde_json::from_slice(json);
    profile.map_err(|_| Failure::unreadable("the profile of a user is not what was written"))
}

fn read_password(text: &[u8]) -> Result<PasswordHash, Failure> {
    let password = std::str::from_utf8(text).ok().and_then(PasswordHash::parse);
    password.ok_or_else(|| Failure::unreadable("the password of a user is no hash"))
}

/// Everything that decides who may log in and whose tokens live. The encrypted password and the
/// encrypted profile vouch for it: who writes to the database without the master key can neither let a
/// user in again, nor exchange passwords, nor bring back an epoch that is over, or roles that were
/// taken away; unless by the whole row as it was before.
struct Standing<'a> {
    username: &'a str,
    folded: &'a str,
    is_active: bool,
    epoch: i64,
    created_at: Timestamp,
    password_changed_at: Timestamp,
    version: u32,
}

impl<'a> Standing<'a> {
    /// The standing of a user in a row that has, or will have, this version.
    fn of(user: &'a UserRecord, folded: &'a str, version: u32) -> Self {
        Self {
            username: user.username.as_str(),
            folded,
            is_active: user.is_active,
            epoch: user.epoch,
            created_at: user.created_at,
            password_changed_at: user.password_changed_at,
            version,
        }
    }

    /// The bytes that are vouched for. What is on disk depends on every one of them: this never
    /// changes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.push(self.username);
        fields.push(self.folded);
        fields.push([u8::from(self.is_active)]);
        fields.push(self.epoch.to_be_bytes());
        fields.push(self.created_at.as_millis().to_be_bytes());
        fields.push(self.password_changed_at.as_millis().to_be_bytes());
        fields.push(self.version.to_be_bytes());
        fields.0
    }
}

const fn password_of<'a>(id: &'a str, vouches: &'a [u8]) -> Place<'a> {
    Place {
        table: "user_account",
        column: "password",
        row: id,
        vouches,
    }
}

const fn profile_of<'a>(id: &'a str, vouches: &'a [u8]) -> Place<'a> {
    Place {
        table: "user_account",
        column: "profile",
        row: id,
        vouches,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_a_password_vouches_for_is_the_same_bytes_for_good() {
        let standing = Standing {
            username: "Ada",
            folded: "ada",
            is_active: true,
            epoch: 5,
            created_at: Timestamp::from_millis(6),
            password_changed_at: Timestamp::from_millis(-1),
            version: 9,
        };
        let fields = [
            "00000003416461",
            "00000003616461",
            "0000000101",
            "000000080000000000000005",
            "000000080000000000000006",
            "00000008ffffffffffffffff",
            "0000000400000009",
        ];
        let hex = standing
            .to_bytes()
            .iter()
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
        assert_eq!(hex, fields.concat());
    }
}
