//! Keys: how a [`KeyRecord`] is written into a row and read from one.

use sealgate_core::clock::Timestamp;
use sealgate_core::key::{KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt, Status};
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::rate::{DEFAULT_WINDOW_SECONDS, RateLimit};
use sealgate_core::store::{StoreError, fold};

use super::rights::Rights;
use super::{Value, Values};
use crate::cipher::{ColumnCipher, Place};
use crate::columns::{Cells, Columns, read_id};
use crate::failure::Failure;

/// The columns that both an insertion and an update write, in the order of [`written`].
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
            $crate::row::key::settings!(),
            ", last_used_at, use_count, version"
        )
    };
}

pub(crate) use {columns, settings};

/// How many columns [`columns`] are.
pub const COLUMNS: usize = 25;

/// How many columns [`settings`] are, the folded name with them.
pub const SETTINGS: usize = 22;

/// The values of [`settings`] and of the folded name, for a row that will have this version.
pub fn written(key: &KeyRecord, version: u32, cipher: &ColumnCipher) -> Values {
    let (id, vouches) = (key.id.to_string(), Rights::of(key, version).to_bytes());
    let token_secret = cipher.seal(token_secret_of(&id, &vouches), key.token_secret.expose());
    let state = StateColumns::from(&key.state);
    let window_seconds = key
        .rate_limit
        .map_or(DEFAULT_WINDOW_SECONDS, RateLimit::window_seconds);
    vec![
        key.prefix.as_str().into(),
        key.salt.0[..].into(),
        key.hash.as_bytes()[..].into(),
        token_secret.into(),
        key.name.as_str().into(),
        key.description.as_str().into(),
        key.permissions.as_str().into(),
        key.is_admin.into(),
        key.environment.as_str().into(),
        Value::Number(key.rate_limit.map(|limit| limit.requests().into())),
        window_seconds.into(),
        key.allowed_ips
            .entries()
            .collect::<Vec<_>>()
            .join(" ")
            .into(),
        key.state.status().as_str().into(),
        Value::optional_text(state.rotated_to),
        Value::optional_time(state.grace_until),
        Value::optional_time(state.revoked_at),
        Value::Text(state.revoke_reason),
        key.created_at.into(),
        Value::optional_time(key.expires_at),
        Value::optional_text(key.rotated_from),
        key.lineage.to_string().into(),
        fold(&key.name).into(),
    ]
}

/// The values of [`settings`], of the folded name, and of what an insertion adds to
/// them: `id, last_used_at, use_count, version`.
pub fn insertion(key: &KeyRecord, cipher: &ColumnCipher) -> Values {
    let mut values = written(key, key.version, cipher);
    values.extend([
        key.id.to_string().into(),
        Value::optional_time(key.last_used_at),
        key.use_count.into(),
        key.version.into(),
    ]);
    values
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
pub fn find(row: &impl Cells, id: &str, cipher: &ColumnCipher) -> Result<Found, Failure> {
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

/// Reads a key from a row that begins with [`columns`].
pub fn read(row: &impl Cells, cipher: &ColumnCipher) -> Result<KeyRecord, Failure> {
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
fn read_rate_limit(columns: &mut Columns<'_, impl Cells>) -> Result<Option<RateLimit>, Failure> {
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

fn read_state(columns: &mut Columns<'_, impl Cells>) -> Result<KeyState, Failure> {
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
