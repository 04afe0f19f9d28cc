//! Users: how a [`UserRecord`] is written into a row and read from one.

use sealgate_core::clock::Timestamp;
use sealgate_core::password::PasswordHash;
use sealgate_core::user::{UserId, UserProfile, UserRecord, Username};
use zeroize::Zeroizing;

use super::{Value, Values};
use crate::cipher::{ColumnCipher, Fields, Place};
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The columns that both an insertion and an update write, in the order of [`written`].
macro_rules! settings {
    () => {
        "username, username_folded, profile, password, is_active, epoch, created_at, \
         password_changed_at"
    };
}

/// The columns of a user in the order [`read`] takes them.
macro_rules! columns {
    () => {
        concat!(
            $crate::row::user::settings!(),
            ", id, last_login_at, version"
        )
    };
}

/// The place of `username_folded` among [`columns`].
pub const FOLDED: usize = 1;

pub(crate) use {columns, settings};

/// The values of [`settings`] for a row that will have this version.
pub fn written(user: &UserRecord, version: u32, cipher: &ColumnCipher) -> Result<Values, Failure> {
    let (id, folded) = (user.id.to_string(), user.username.folded());
    let standing = Standing::of(user, &folded, version).to_bytes();
    let profile = serde_json::to_vec(&user.profile).map(Zeroizing::new);
    let profile =
        profile.map_err(|_| Failure::unreadable("a profile cannot be written as JSON"))?;
    let profile = cipher.seal(profile_of(&id, &standing), &profile);
    let password = user.password.as_str().as_bytes();
    let password = cipher.seal(password_of(&id, &standing), password);
    Ok(vec![
        user.username.as_str().into(),
        folded.into(),
        profile.into(),
        password.into(),
        user.is_active.into(),
        user.epoch.into(),
        user.created_at.into(),
        user.password_changed_at.into(),
    ])
}

/// The values of [`columns`].
pub fn insertion(user: &UserRecord, cipher: &ColumnCipher) -> Result<Values, Failure> {
    let mut values = written(user, user.version, cipher)?;
    values.extend([
        user.id.to_string().into(),
        Value::optional_time(user.last_login_at),
        user.version.into(),
    ]);
    Ok(values)
}

/// Reads a user from a row of [`columns`].
pub fn read(row: &impl Cells, cipher: &ColumnCipher) -> Result<UserRecord, Failure> {
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
