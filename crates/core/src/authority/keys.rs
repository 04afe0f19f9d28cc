//! Making, listing, changing, rotating and revoking keys.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::patch::apply_patch;
use super::{Authority, Caller, Grant, cursor};
use crate::audit::Action;
use crate::clock::Timestamp;
use crate::error::{Denied, Error, Reason};
use crate::key::{
    Environment, KeyId, KeyPrefix, KeyRecord, KeyState, PresentedKey, Salt, Status, generate,
};
use crate::random::{array, uuid};
use crate::rate::RateLimit;
use crate::request::{KeyPatch, KeyRequest, NewKey, check_grace, check_reason};
use crate::secret::{Secret, SecretText};
use crate::store::{Change, DataKey, KeyQuery, fold};
use crate::view::KeyView;

/// How often a change is tried again when another one came first.
const TRIES: usize = 5;
/// Most keys on a page.
const MAX_PAGE: u32 = 1_000;

/// A key that was just made: the one time its text is known.
#[derive(Debug)]
pub struct Created {
    /// What the store keeps.
    pub record: KeyRecord,
    /// The key itself.
    pub api_key: SecretText,
    /// A first access token.
    pub grant: Grant,
}

/// A key that was just replaced.
#[derive(Debug)]
pub struct Rotated {
    /// The key that was replaced.
    pub old: KeyRecord,
    /// The key that replaces it.
    pub new: Created,
}

/// Which keys to list.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// The beginning of a name, a whole prefix, or an identifier.
    pub search: Option<String>,
    /// Those in one state.
    pub status: Option<Status>,
    /// Those of one environment.
    pub environment: Option<Environment>,
    /// Those due for rotation alone.
    pub due: bool,
    /// Where the page before ended, as it was told.
    pub cursor: Option<String>,
    /// At most so many; 100 if absent, 1,000 at most.
    pub limit: Option<u32>,
}

impl Authority {
    /// Makes a key.
    ///
    /// # Errors
    /// If a field is not well-formed, or the store cannot be written.
    pub async fn create(&self, request: KeyRequest, caller: &Caller) -> Result<Created, Error> {
        let mut created = self
            .create_many(vec![request], caller)
            .await
            .map_err(|rejected| rejected.error)?;
        created
            .pop()
            .ok_or_else(|| Error::Internal("a key was made and is not there".to_owned()))
    }

    /// One key, by its identifier or by its prefix.
    ///
    /// # Errors
    /// If there is none, or the prefix is that of several keys.
    pub async fn key(&self, reference: &str) -> Result<KeyRecord, Error> {
        if let Ok(id) = Uuid::try_parse(reference) {
            return self
                .store
                .key(KeyId(id))
                .await?
                .ok_or(Error::NotFound("key"));
        }
        let Some(prefix) = KeyPrefix::parse(reference) else {
            return Err(Error::invalid(
                "id",
                "name a key by its key_id or by its 8-character prefix",
            ));
        };
        let mut keys = self.keys_with_prefix(prefix).await?;
        match (keys.pop(), keys.is_empty()) {
            (Some(key), true) => Ok(key),
            (None, _) => Err(Error::NotFound("key")),
            (Some(_), false) => Err(Error::invalid(
                "id",
                "several keys have this prefix: name the key by its key_id",
            )),
        }
    }

    /// A page of keys, and where the next one starts.
    ///
    /// # Errors
    /// If the cursor is not one that was handed out.
    pub async fn list(
        &self,
        filter: &KeyFilter,
    ) -> Result<(Vec<KeyRecord>, Option<String>), Error> {
        let now = self.now();
        let limit = filter.limit.unwrap_or(100);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", "a page has 1 to 1000 keys"));
        }
        if filter.status.is_some() || filter.due {
            // They are found by what is recorded, and have to be what they are shown as.
            self.record_expiries().await?;
        }
        if let Some(found) = self.search_exactly(filter).await? {
            return Ok((found, None));
        }
        let status = if filter.due {
            Some(Status::Active)
        } else {
            filter.status
        };
        let read_cursor = |text| cursor::decode(text, filter.search.is_some());
        let query = KeyQuery {
            name: filter.search.as_deref().map(fold),
            status,
            environment: filter.environment,
            created_before: filter
                .due
                .then(|| now.plus_days(-i64::from(self.settings.rotation_days))),
            after: filter.cursor.as_deref().map(read_cursor).transpose()?,
            limit,
        };
        let as_of = self.ring.moment();
        let keys = self.store.keys(&query).await?;
        self.note_damaged(&keys.damaged, as_of);
        Ok((keys.records, keys.next.as_ref().map(cursor::encode)))
    }

    /// Changes what the patch names.
    ///
    /// # Errors
    /// If a field is not well-formed, the key's state does not allow it, or nothing is named.
    pub async fn update(
        &self,
        reference: &str,
        patch: KeyPatch,
        caller: &Caller,
    ) -> Result<KeyRecord, Error> {
        let now = self.now();
        self.change(reference, |key| {
            if patch.is_active == Some(false) && caller.key_id() == Some(key.id) {
                return Err(own_key(key.id));
            }
            let before = describe(&key);
            let (key, action) = apply_patch(key, patch.clone(), now)?;
            let changed = difference(&before, &describe(&key));
            let event = caller
                .event(now, action, Some(key.id))
                .with_detail_map(changed);
            Ok((key, event))
        })
        .await
    }

    /// Kills a key.
    ///
    /// # Errors
    /// If it was revoked before, or is the caller's own.
    pub async fn revoke(
        &self,
        reference: &str,
        reason: Option<String>,
        caller: &Caller,
    ) -> Result<KeyRecord, Error> {
        let (now, reason) = (self.now(), check_reason(reason)?);
        self.change(reference, |key| {
            if caller.key_id() == Some(key.id) {
                return Err(own_key(key.id));
            }
            let event = caller
                .event(now, Action::KeyRevoked, Some(key.id))
                .with_details([
                    ("name", Value::from(key.name.as_str())),
                    ("reason", Value::from(reason.as_deref())),
                ]);
            Ok((key.revoke(now, reason.clone())?, event))
        })
        .await
    }

    /// Replaces a key by a new one with the same name, permissions, limits and remaining life. The
    /// old one stops at once, or after `grace_seconds`.
    ///
    /// # Errors
    /// If the key is not active, or another change came first.
    pub async fn rotate(
        &self,
        reference: &str,
        grace_seconds: u32,
        reason: Option<String>,
        caller: &Caller,
    ) -> Result<Rotated, Error> {
        let (now, reason) = (self.now(), check_reason(reason)?);
        let grace_seconds = check_grace(grace_seconds)?;
        let old = self.key(reference).await?;
        let new = self.make(successor(&old), Some(&old), now)?;
        let old = old.rotate(new.record.id, now, grace_seconds)?;
        let mut changes = vec![
            Change::InsertKey(Box::new(new.record.clone())),
            Change::UpdateKey(Box::new(old.clone())),
        ];
        changes.extend(
            self.next_data_key(old.lineage, now)
                .await?
                .map(Change::InsertDataKey),
        );
        let rotated = caller
            .event(now, Action::KeyRotated, Some(old.id))
            .with_details([
                ("rotated_to", Value::from(new.record.id.to_string())),
                ("grace_seconds", Value::from(grace_seconds)),
                ("reason", Value::from(reason)),
            ]);
        let mut description = describe(&new.record);
        description.insert("rotated_from".to_owned(), old.id.to_string().into());
        let created = caller
            .event(now, Action::KeyCreated, Some(new.record.id))
            .with_detail_map(description);
        self.commit(changes, vec![rotated, created]).await?;
        Ok(Rotated { old, new })
    }

    /// How a key looks to users now.
    #[must_use]
    pub fn view(&self, record: &KeyRecord) -> KeyView {
        KeyView::of(record, self.now(), self.settings.rotation_days)
    }

    /// Reads a key, changes it and writes it, again if another change came between.
    async fn change(
        &self,
        reference: &str,
        change: impl Fn(KeyRecord) -> Result<(KeyRecord, crate::audit::Event), Error>,
    ) -> Result<KeyRecord, Error> {
        let mut tries = TRIES;
        loop {
            let (changed, event) = change(self.key(reference).await?)?;
            let update = Change::UpdateKey(Box::new(changed.clone()));
            tries -= 1;
            match self.commit(vec![update], vec![event]).await {
                Ok(()) => return Ok(changed),
                Err(Error::Conflict(_)) if tries > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn make(
        &self,
        new: NewKey,
        predecessor: Option<&KeyRecord>,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let random = self.random.as_ref();
        let api_key = new.imported.unwrap_or_else(|| generate(random));
        let presented = PresentedKey::parse(api_key.expose()).map_err(|error| {
            Error::Internal(format!("a generated key is not well-formed: {error}"))
        })?;
        let salt = Salt(array(random));
        let id = KeyId(uuid(random, now));
        let record = KeyRecord {
            id,
            prefix: presented.prefix(),
            salt,
            hash: self.hasher.hash(&presented, &salt),
            token_secret: Secret::random(random),
            name: new.name,
            description: new.description,
            permissions: new.permissions,
            is_admin: new.is_admin,
            environment: new.environment,
            rate_limit: new.rate_limit,
            allowed_ips: new.allowed_ips,
            state: KeyState::Active,
            created_at: now,
            expires_at: new.expires_at,
            rotated_from: predecessor.map(|old| old.id),
            lineage: predecessor.map_or(id, |old| old.lineage),
            last_used_at: None,
            use_count: 0,
            version: 1,
        };
        let grant = self.grant_first(&record, now)?;
        Ok(Created {
            record,
            api_key,
            grant,
        })
    }

    async fn search_exactly(&self, filter: &KeyFilter) -> Result<Option<Vec<KeyRecord>>, Error> {
        let Some(search) = filter.search.as_deref() else {
            return Ok(None);
        };
        let mut found = match (Uuid::try_parse(search), KeyPrefix::parse(search)) {
            (Ok(id), _) => Vec::from_iter(self.store.key(KeyId(id)).await?),
            (_, Some(prefix)) => self.readable_with_prefix(prefix).await?.records,
            _ => return Ok(None),
        };
        let now = self.now();
        let due = |key: &KeyRecord| {
            key.rotation_due_at(now, self.settings.rotation_days)
                .is_some_and(|at| at <= now)
        };
        found.retain(|key| {
            filter.status.is_none_or(|status| key.status(now) == status)
                && filter
                    .environment
                    .is_none_or(|environment| key.environment == environment)
                && (!filter.due || due(key))
        });
        Ok(Some(found).filter(|found| !found.is_empty()))
    }

    /// The data key that follows the newest of a lineage, if it has any: what is sealed from now on
    /// is sealed under it.
    async fn next_data_key(
        &self,
        lineage: KeyId,
        now: Timestamp,
    ) -> Result<Option<DataKey>, Error> {
        let known = self.store.data_keys(lineage).await?;
        Ok(known.first().map(|newest| DataKey {
            lineage,
            version: newest.version + 1,
            key: Secret::random(self.random.as_ref()),
            created_at: now,
        }))
    }
}

fn own_key(id: KeyId) -> Error {
    Denied {
        reason: Reason::OwnKey,
        key_id: Some(id),
    }
    .into()
}

fn successor(old: &KeyRecord) -> NewKey {
    NewKey {
        name: old.name.clone(),
        description: old.description.clone(),
        permissions: old.permissions.clone(),
        expires_at: old.expires_at,
        is_admin: old.is_admin,
        environment: old.environment,
        rate_limit: old.rate_limit,
        allowed_ips: old.allowed_ips.clone(),
        imported: None,
    }
}

/// What the log says of a key: everything that decides what it can do.
pub(super) fn describe(key: &KeyRecord) -> Map<String, Value> {
    let fields = [
        ("name", Value::from(key.name.as_str())),
        ("description", Value::from(key.description.as_str())),
        ("prefix", Value::from(key.prefix.as_str())),
        ("permissions", Value::from(key.permissions.as_str())),
        ("is_admin", Value::from(key.is_admin)),
        ("environment", Value::from(key.environment.as_str())),
        (
            "expires_at",
            Value::from(key.expires_at.map(|at| at.to_string())),
        ),
        (
            "rate_limit",
            Value::from(key.rate_limit.map(RateLimit::requests)),
        ),
        (
            "rate_limit_window_seconds",
            Value::from(key.rate_limit.map(RateLimit::window_seconds)),
        ),
        ("allowed_ips", key.allowed_ips.entries().collect()),
        ("status", Value::from(key.state.status().as_str())),
    ];
    let told = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null() && *value != "");
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What differs, each as `{"from": …, "to": …}`.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    names
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let change = serde_json::json!({"from": before.get(name), "to": after.get(name)});
            (name.clone(), change)
        })
        .collect()
}
