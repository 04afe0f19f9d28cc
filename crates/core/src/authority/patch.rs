//! What a [`KeyPatch`] makes of a key.

use crate::audit::Action;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::key::{IllegalTransition, KeyRecord, KeyState, Status};
use crate::rate::RateLimit;
use crate::request::{
    KeyPatch, check_allow_list, check_days, check_description, check_expiry, check_name,
    check_permissions, check_rate_limit,
};

/// The key after the change, and what the change is called.
///
/// # Errors
/// If a field is not well-formed, the key's state does not allow it, or nothing is named.
pub(super) fn apply_patch(
    mut key: KeyRecord,
    patch: KeyPatch,
    now: Timestamp,
) -> Result<(KeyRecord, Action), Error> {
    if let from @ (Status::Revoked | Status::Rotated) = key.status(now) {
        return Err(IllegalTransition {
            from,
            wanted: "changed",
        }
        .into());
    }
    let was_disabled = key.state == KeyState::Disabled;
    let names_limit = patch.rate_limit.is_some() || patch.rate_limit_window_seconds.is_some();
    let rate_limit = patched_rate_limit(key.rate_limit, &patch)?;
    let mut is_empty = true;
    macro_rules! set {
        ($field:ident, $value:expr) => {{
            key.$field = $value;
            is_empty = false;
        }};
    }
    if let Some(name) = patch.name {
        set!(name, check_name(name)?);
    }
    if let Some(description) = patch.description {
        set!(description, check_description(description)?);
    }
    if let Some(permissions) = patch.permissions {
        set!(permissions, check_permissions(&permissions)?);
    }
    if names_limit {
        set!(rate_limit, rate_limit);
    }
    if let Some(entries) = patch.allowed_ips {
        set!(allowed_ips, check_allow_list(&entries)?);
    }
    let expiry = match (patch.expires_at, patch.expires_in_days) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "expires_at",
                "give expires_at or expires_in_days, not both",
            ));
        }
        (Some(at), None) => Some(at.map(|at| check_expiry(at, now)).transpose()?),
        (None, Some(days)) => Some(Some(check_days(days, now)?)),
        (None, None) => None,
    };
    if let Some(at) = expiry {
        key = key.expire_at(at, now)?;
        is_empty = false;
    }
    if let Some(active) = patch.is_active {
        key = if active {
            key.enable(now)?
        } else {
            key.disable(now)?
        };
    } else if is_empty {
        return Err(Error::invalid("body", "name at least one field to change"));
    }
    let action = match (was_disabled, key.state == KeyState::Disabled) {
        (false, true) => Action::KeyDisabled,
        (true, false) => Action::KeyEnabled,
        _ => Action::KeyUpdated,
    };
    Ok((key, action))
}

/// The limit after a patch: what it does not name stays.
fn patched_rate_limit(
    known: Option<RateLimit>,
    patch: &KeyPatch,
) -> Result<Option<RateLimit>, Error> {
    let requests = patch.rate_limit.unwrap_or(known.map(RateLimit::requests));
    let kept = known
        .filter(|_| requests.is_some())
        .map(RateLimit::window_seconds);
    check_rate_limit(requests, patch.rate_limit_window_seconds.unwrap_or(kept))
}
