//! The table of keys: how a [`KeyRecord`] is written and read, and every look-up that is no listing.

use futures_util::TryStreamExt as _;
use sealgate_core::clock::Timestamp;
use sealgate_core::key::{KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt, Status};
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::rate::{DEFAULT_WINDOW_SECONDS, RateLimit};
use sealgate_core::store::{Change, Cursor, Keys, StoreError, fold};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::Readers;
use super::error::Failure;
use super::rights::Rights;
use super::statement::{Bulk, Columns, Statement, placeholders, read_id};
use super::transaction::{Transaction, conflict_if_duplicate};
use crate::cipher::{ColumnCipher, Place};

/// The columns that both an insertion and an update write, in the order of [`bind_settings`].
macro_rules! settings {
    () => {
        "prefix, salt, hash, token_secret, name, description, permissions, is_admin, environment, \
         rate_limit, rate_limit_window_seconds, allowed_ips, status, rotated_to, grace_until, revoked_at, revoke_reason, \
         created_at, expires_at, rotated_from, lineage"
    };
}

/// The columns of a key in the order [`read`] takes them. In a join with other tables they come
/// first.
macro_rules! columns {
    () => {
        concat!(
            "id, ",
            $crate::sqlite::keys::settings!(),
            ", last_used_at, use_count, version"
        )
    };
}

pub(super) use {columns, settings};

/// How many columns [`columns`] are.
pub const COLUMNS: usize = 25;

/// How many columns [`settings`] are, the folded name with them.
const SETTINGS: usize = 22;

const INSERT: Bulk = Bulk {
    head: concat!(
        "INSERT INTO api_key (",
        settings!(),
        ", name_folded, id, last_used_at, use_count, version)"
    ),
    columns: SETTINGS + 4,
    tail: "",
};

pub const BY_ID: &str = concat!("SELECT ", columns!(), " FROM api_key WHERE id = ?");

pub const BY_PREFIX: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE prefix = ? ORDER BY id"
);

pub const AFTER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE id > ? ORDER BY id LIMIT ?"
);

/// The condition on the status is word for word that of the partial index, which answers it.
pub const TO_EXPIRE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM api_key WHERE status = 'active' AND expires_at <= ? \
     ORDER BY expires_at, id LIMIT ?"
);

impl Readers {
    pub async fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, Failure> {
        let row = sqlx::query(BY_ID)
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| read(&row, &self.cipher)).transpose()
    }

    pub async fn keys_with_prefix(&self, prefix: KeyPrefix) -> Result<Keys, Failure> {
        let statement = sqlx::query(BY_PREFIX).bind(prefix.as_str());
        self.fetch_keys(statement, u32::MAX, by_id).await
    }

    pub async fn keys_after(&self, after: Option<KeyId>, limit: u32) -> Result<Keys, Failure> {
        // The nil UUID is nobody's identifier (RFC 9562, section 5.9), and the lowest.
        let after = after.unwrap_or(KeyId(Uuid::nil()));
        let statement = sqlx::query(AFTER)
            .bind(after.to_string())
            .bind(i64::from(limit) + 1);
        self.fetch_keys(statement, limit, by_id).await
    }

    pub async fn keys_to_expire(&self, now: Timestamp, limit: u32) -> Result<Keys, Failure> {
        let statement = sqlx::query(TO_EXPIRE)
            .bind(now.as_millis())
            .bind(i64::from(limit) + 1);
        self.fetch_keys(statement, limit, by_id).await
    }

    /// Decodes rows while SQLite still looks for the next. A row beyond `limit` tells that there is
    /// another page; `place_of` tells where that starts, from the last row of this one.
    pub async fn fetch_keys(
        &self,
        statement: Statement<'_>,
        limit: u32,
        place_of: impl Fn(&SqliteRow, KeyId) -> Result<Cursor, sqlx::Error>,
    ) -> Result<Keys, Failure> {
        let mut rows = statement.fetch(&self.pool);
        let (mut keys, mut count, mut last) = (Keys::default(), 0, None);
        while let Some(row) = rows.try_next().await? {
            if count == limit {
                let place = last.map(|(row, id)| place_of(&row, id));
                keys.next = place.transpose()?;
                break;
            }
            count += 1;
            let id = match find(&row, row.try_get(0)?, &self.cipher)? {
                Found::Key(key) => {
                    let id = key.id;
                    keys.records.push(key);
                    id
                }
                Found::Damaged(id) => {
                    keys.damaged.push(id);
                    id
                }
                Found::Nameless => continue,
            };
            last = Some((row, id));
        }
        Ok(keys)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "other places are read from the row"
)]
const fn by_id(_: &SqliteRow, id: KeyId) -> Result<Cursor, sqlx::Error> {
    Ok(Cursor { name: None, id })
}

/// What a row turned out to be.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are the large one, and it moves on at once"
)]
pub enum Found {
    /// A key.
    Key(KeyRecord),
    /// One that cannot be read, or is not there any more.
    Damaged(KeyId),
    /// Nothing that ever was a key.
    Nameless,
}

/// Reads a row that begins with [`columns`] and should be the key that `id` names; damage to it is
/// no error, so that other keys can still be read.
pub fn find(row: &SqliteRow, id: &str, cipher: &ColumnCipher) -> Result<Found, Failure> {
    match read(row, cipher) {
        Ok(key) => Ok(Found::Key(key)),
        Err(Failure(StoreError::Unreadable(why))) => Ok(if let Some(key_id) = read_id(id) {
            tracing::debug!(%key_id, why, "the row of a key cannot be read");
            Found::Damaged(key_id)
        } else {
            tracing::error!(why, "a row of no key is among the keys");
            Found::Nameless
        }),
        Err(other) => Err(other),
    }
}

impl Transaction<'_> {
    /// Inserts keys; there is nothing but [`Change::InsertKey`] in `changes`.
    pub async fn insert_keys(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let keys = changes.iter().filter_map(|change| match change {
            Change::InsertKey(key) => Some(&**key),
            _ => None,
        });
        let keys: Vec<&KeyRecord> = keys.collect();
        let cipher = self.cipher;
        let bind = |statement, key: &&KeyRecord| {
            bind_settings(statement, key, key.version, cipher)
                .bind(key.id.to_string())
                .bind(key.last_used_at.map(Timestamp::as_millis))
                .bind(key.use_count.cast_signed())
                .bind(key.version)
        };
        INSERT
            .run(self.connection, &keys, bind)
            .await
            .map_err(conflict_if_duplicate)?;
        sqlx::query("UPDATE meta SET key_count = key_count + ?")
            .bind(i64::try_from(keys.len()).unwrap_or(i64::MAX))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Writes a key's settings over those of the version that was read.
    pub async fn update_key(&mut self, key: &KeyRecord) -> Result<(), Failure> {
        let sql = format!(
            concat!(
                "UPDATE api_key SET (",
                settings!(),
                ", name_folded) = ({}), version = version + 1 WHERE id = ? AND version = ?"
            ),
            placeholders(SETTINGS)
        );
        let statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        let updated = bind_settings(statement, key, key.version + 1, self.cipher)
            .bind(key.id.to_string())
            .bind(key.version)
            .execute(&mut *self.connection)
            .await?;
        if updated.rows_affected() == 1 {
            Ok(())
        } else {
            Err(StoreError::Conflict.into())
        }
    }
}

/// Binds [`settings`] for a row that will have this version.
fn bind_settings<'q>(
    statement: Statement<'q>,
    key: &KeyRecord,
    version: u32,
    cipher: &ColumnCipher,
) -> Statement<'q> {
    let (id, vouches) = (key.id.to_string(), Rights::of(key, version).to_bytes());
    let token_secret = cipher.seal(token_secret_of(&id, &vouches), key.token_secret.expose());
    let state = StateColumns::from(&key.state);
    let window_seconds = key
        .rate_limit
        .map_or(DEFAULT_WINDOW_SECONDS, RateLimit::window_seconds);
    statement
        .bind(key.prefix.as_str())
        .bind(&key.salt.0[..])
        .bind(&key.hash.as_bytes()[..])
        .bind(token_secret)
        .bind(key.name.as_str())
        .bind(key.description.as_str())
        .bind(key.permissions.as_str())
        .bind(key.is_admin)
        .bind(key.environment.as_str())
        .bind(key.rate_limit.map(RateLimit::requests))
        .bind(window_seconds)
        .bind(key.allowed_ips.entries().collect::<Vec<_>>().join(" "))
        .bind(key.state.status().as_str())
        .bind(state.rotated_to.map(|id| id.to_string()))
        .bind(state.grace_until.map(Timestamp::as_millis))
        .bind(state.revoked_at.map(Timestamp::as_millis))
        .bind(state.revoke_reason)
        .bind(key.created_at.as_millis())
        .bind(key.expires_at.map(Timestamp::as_millis))
        .bind(key.rotated_from.map(|id| id.to_string()))
        .bind(key.lineage.to_string())
        .bind(fold(&key.name))
}

/// Reads a key from a row that begins with [`columns`].
fn read(row: &SqliteRow, cipher: &ColumnCipher) -> Result<KeyRecord, Failure> {
    let mut columns = Columns::of(row);
    // In the order of the columns.
    let id = columns.key_id()?;
    let prefix = KeyPrefix::parse(columns.take()?).ok_or_else(|| columns.wrong())?;
    let salt = Salt(columns.bytes()?);
    let hash = KeyHash::new(columns.bytes()?);
    let sealed: &[u8] = columns.take()?;
    let (name, description) = (columns.take()?, columns.take()?);
    let permissions = Permissions::parse(columns.take()?).map_err(|_| columns.wrong())?;
    let is_admin = columns.take()?;
    let environment = columns.parsed()?;
    let rate_limit = read_rate_limit(&mut columns)?;
    let allowed_ips = read_networks(columns.take()?).ok_or_else(|| columns.wrong())?;
    let state = read_state(&mut columns)?;
    let created_at = columns.time()?;
    let expires_at = columns.optional_time()?;
    let rotated_from = columns.optional_key_id()?;
    let lineage = columns.key_id()?;
    let last_used_at = columns.optional_time()?;
    let use_count = columns.number()?;
    let version = columns.number()?;
    let rights = Rights {
        prefix,
        salt: &salt,
        hash: &hash,
        permissions: &permissions,
        is_admin,
        environment,
        rate_limit,
        allowed_ips: &allowed_ips,
        state: &state,
        created_at,
        expires_at,
        rotated_from,
        lineage,
        version,
    };
    let token_secret =
        cipher.open_secret(token_secret_of(&id.to_string(), &rights.to_bytes()), sealed)?;
    Ok(KeyRecord {
        id,
        prefix,
        salt,
        hash,
        token_secret,
        name,
        description,
        permissions,
        is_admin,
        environment,
        rate_limit,
        allowed_ips,
        state,
        created_at,
        expires_at,
        rotated_from,
        lineage,
        last_used_at,
        use_count,
        version,
    })
}

const fn token_secret_of<'a>(id: &'a str, vouches: &'a [u8]) -> Place<'a> {
    Place {
        table: "api_key",
        column: "token_secret",
        row: id,
        vouches,
    }
}

/// A limit and its window. Without a limit the window means nothing.
fn read_rate_limit(columns: &mut Columns<'_>) -> Result<Option<RateLimit>, Failure> {
    let requests: Option<u32> = columns.optional_number()?;
    let window_seconds = columns.number()?;
    requests
        .map(|requests| RateLimit::new(requests, window_seconds))
        .transpose()
        .map_err(|_| columns.wrong())
}

fn read_networks(text: &str) -> Option<AllowList> {
    let networks: Vec<&str> = text.split_ascii_whitespace().collect();
    AllowList::parse(&networks).ok()
}

/// What a state has besides its name.
#[derive(Default)]
struct StateColumns {
    rotated_to: Option<KeyId>,
    grace_until: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    revoke_reason: Option<String>,
}

impl From<&KeyState> for StateColumns {
    fn from(state: &KeyState) -> Self {
        match state {
            KeyState::Active | KeyState::Disabled | KeyState::Expired => Self::default(),
            KeyState::Rotated { to, until } => Self {
                rotated_to: Some(*to),
                grace_until: Some(*until),
                ..Self::default()
            },
            KeyState::Revoked {
                at,
                reason,
                rotated_to,
            } => Self {
                rotated_to: *rotated_to,
                revoked_at: Some(*at),
                revoke_reason: reason.clone(),
                ..Self::default()
            },
        }
    }
}

fn read_state(columns: &mut Columns<'_>) -> Result<KeyState, Failure> {
    let status: Status = columns.parsed()?;
    let state = StateColumns {
        rotated_to: columns.optional_key_id()?,
        grace_until: columns.optional_time()?,
        revoked_at: columns.optional_time()?,
        revoke_reason: columns.take()?,
    };
    let whole = match status {
        Status::Active => Some(KeyState::Active),
        Status::Disabled => Some(KeyState::Disabled),
        Status::Expired => Some(KeyState::Expired),
        Status::Rotated => (state.rotated_to.zip(state.grace_until))
            .map(|(to, until)| KeyState::Rotated { to, until }),
        Status::Revoked => state.revoked_at.map(|at| KeyState::Revoked {
            at,
            reason: state.revoke_reason,
            rotated_to: state.rotated_to,
        }),
    };
    whole.ok_or_else(|| Failure::unreadable(format!("a key is {status}, but not how")))
}
