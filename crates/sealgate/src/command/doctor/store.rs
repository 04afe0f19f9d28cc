//! The store: that it opens, that its log is whole, that the clock does not lag behind it, and how
//! its keys are kept.

use sealgate_core::authority::{Authority, KeyFilter};
use sealgate_core::clock::Timestamp;
use sealgate_core::key::Status;
use sealgate_core::store::SessionKeyRecord;

use super::{Context, Finding};
use crate::exit::Outcome;
use crate::output::{count, date_time, relative, thousands};
use crate::wiring::{self, Missing};

/// A log that is longer is not walked here.
const WALKED: u64 = 100_000;
/// Pages of keys that are looked at.
const PAGES: usize = 10;
/// A key that signs sessions and is older is due for rotation, in days.
const SIGNING_DAYS: i64 = 365;
/// A clock before this was never set.
const RECENT: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// Opens the store, if there is one, and looks at what is in it.
pub async fn examine(context: &Context) -> Vec<Finding> {
    match wiring::has_store(&context.place.database).await {
        Ok(true) => {}
        Ok(false) => return vec![clock(wiring::now(), None)],
        Err(failure) => return vec![Finding::failed("store", &failure)],
    }
    let opened = wiring::open(&context.place, &context.settings, Missing::Refuse).await;
    let authority = match opened {
        Ok(opened) => opened.authority,
        Err(failure) => return vec![Finding::failed("store", &failure)],
    };
    let findings = look(&authority).await;
    authority.store().close().await;
    findings.unwrap_or_else(|failure| vec![Finding::failed("store", &failure)])
}

async fn look(authority: &Authority) -> Outcome<Vec<Finding>> {
    let health = authority.store().health().await?;
    let facts = format!("{}, schema {}", health.engine, health.schema);
    let keys = count(health.keys, "key", "keys");
    let users = count(health.users, "user", "users");
    let last = authority.logs(None, None, Some(1)).await?.events;
    Ok(vec![
        Finding::ok("store", format!("{facts}, {keys}, {users}")),
        log(authority, health.audit_records).await?,
        clock(authority.now(), last.first().map(|event| event.time)),
        administrators(health.active_admins),
        rotation(authority).await?,
        expiry(authority).await?,
        signing_key(&authority.store().session_keys().await?, authority.now()),
    ])
}

async fn log(authority: &Authority, records: u64) -> Outcome<Finding> {
    const CHECK: &str = "audit log";
    let told = count(records, "record", "records");
    if records > WALKED {
        let message = format!("{told}; `sealgate logs --verify` proves them whole");
        return Ok(Finding::ok(CHECK, message));
    }
    Ok(match authority.verify_logs(|_| ()).await? {
        Ok(_) => Finding::ok(CHECK, format!("{told}, chain whole")),
        Err(bad) => Finding::fail(
            CHECK,
            format!("{bad}: keep a copy of the store as it is, and compare it with a backup"),
        ),
    })
}

fn clock(now: Timestamp, last: Option<Timestamp>) -> Finding {
    const CHECK: &str = "clock";
    let shown = date_time(now);
    match last {
        _ if now < RECENT => Finding::fail(
            CHECK,
            format!("it shows {shown}: set it, or keys expire at the wrong time"),
        ),
        Some(last) if now.plus_seconds(60) < last => Finding::fail(
            CHECK,
            format!(
                "it shows {shown}, and the audit log goes up to {}: one of the two is wrong",
                date_time(last)
            ),
        ),
        _ => Finding::ok(CHECK, shown),
    }
}

fn administrators(active: u64) -> Finding {
    const CHECK: &str = "administrators";
    match active {
        0 => Finding::warn(
            CHECK,
            "no active key administers Sealgate: `sealgate create --name Admin --admin`",
        ),
        number => Finding::ok(CHECK, count(number, "active key", "active keys")),
    }
}

async fn rotation(authority: &Authority) -> Outcome<Finding> {
    const CHECK: &str = "rotation";
    let filter = KeyFilter {
        due: true,
        limit: Some(1_000),
        ..KeyFilter::default()
    };
    let (due, next) = authority.list(&filter).await?;
    let days = authority.settings().rotation_days;
    let more = if next.is_some() { "more than " } else { "" };
    Ok(match due.len() as u64 {
        0 => Finding::ok(CHECK, format!("no active key is older than {days} days")),
        number => Finding::warn(
            CHECK,
            format!(
                "{more}{} older than {days} days: `sealgate list --due`, then `sealgate rotate`",
                count(number, "active key is", "active keys are")
            ),
        ),
    })
}

async fn expiry(authority: &Authority) -> Outcome<Finding> {
    const CHECK: &str = "expiry";
    let mut filter = KeyFilter {
        status: Some(Status::Active),
        limit: Some(1_000),
        ..KeyFilter::default()
    };
    let (mut looked_at, mut endless) = (0, 0);
    for _ in 0..PAGES {
        let (keys, next) = authority.list(&filter).await?;
        looked_at += keys.len() as u64;
        endless += keys.iter().filter(|key| key.expires_at.is_none()).count() as u64;
        filter.cursor = next;
        if filter.cursor.is_none() {
            break;
        }
    }
    let scope = match filter.cursor {
        Some(_) => format!("of the newest {}, ", thousands(looked_at)),
        None => String::new(),
    };
    Ok(match endless {
        0 => Finding::ok(CHECK, format!("{scope}every active key expires")),
        number => Finding::warn(
            CHECK,
            format!(
                "{scope}{}: `sealgate update --id KEY_ID --expires-in-days 365`",
                count(
                    number,
                    "active key never expires",
                    "active keys never expire"
                )
            ),
        ),
    })
}

/// The key that signs sessions. It does not wear out; a new one now and then bounds what a leak that
/// nobody noticed is worth.
fn signing_key(keys: &[SessionKeyRecord], now: Timestamp) -> Finding {
    const CHECK: &str = "signing key";
    let mut current = keys.iter().filter(|key| key.verify_until.is_none());
    let Some(key) = current.next() else {
        return Finding::ok(
            CHECK,
            "none yet signs sessions: `sealgate serve` makes it at its start",
        );
    };
    let made = format!("{}, made {}", key.kid, relative(key.created_at, now));
    if key.created_at.plus_days(SIGNING_DAYS) < now {
        let message = format!("{made}: `sealgate signing-key rotate`; sessions go on");
        return Finding::warn(CHECK, message);
    }
    Finding::ok(CHECK, made)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use sealgate_core::secret::Secret;

    #[test]
    fn a_signing_key_warns_once_it_is_a_year_old() {
        let now = RECENT.plus_days(1_000);
        let level = |days: i64, retired: bool| {
            let key = SessionKeyRecord {
                kid: "k4.pid.x".to_owned(),
                secret: Secret::new([0; 64]),
                created_at: now.plus_days(-days),
                signs_from: None,
                verify_until: retired.then_some(now),
            };
            signing_key(&[key], now).level
        };
        assert_eq!(level(364, false), Level::Ok);
        assert_eq!(level(366, false), Level::Warn);
        assert_eq!(level(366, true), Level::Ok);
        assert_eq!(signing_key(&[], now).level, Level::Ok);
    }

    #[test]
    fn a_clock_that_lags_behind_the_log_fails() {
        let now = RECENT.plus_days(1);
        assert_eq!(clock(now, Some(now)).level, Level::Ok);
        assert_eq!(clock(now, None).level, Level::Ok);
        assert_eq!(clock(now, Some(now.plus_seconds(120))).level, Level::Fail);
        assert_eq!(clock(Timestamp::from_seconds(0), None).level, Level::Fail);
    }
}
