//! The change feed: what its rows say, and how they are read.

use std::collections::HashSet;

use sealgate_core::revocation::Revocation;
use sealgate_core::store::{Change, Feed, FeedPosition};

use super::key::{self, Found};
use super::revocation;
use crate::cipher::ColumnCipher;
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// How many rows are kept at least: whoever is further behind loads everything anew.
pub const KEPT: i64 = 100_000;
/// How many rows one maintenance step removes at most, so that no commit waits long for it.
pub const PRUNED_AT_ONCE: i64 = 20_000;

const KEY: &str = "key";
/// Also of a change that is about several.
pub const SIGNING_KEY: &str = "signing_key";
const REVOCATION: &str = "revocation";
pub const SESSION_KEY: &str = "session_key";

/// The columns after those of the key: `feed_floor`, the end, `sequence, kind, subject`, and the
/// revocation's.
pub const FLOOR: usize = key::COLUMNS;
pub const END: usize = FLOOR + 1;
const SEQUENCE: usize = END + 1;
const KIND: usize = SEQUENCE + 1;
const SUBJECT: usize = KIND + 1;
const REVOKED: usize = SUBJECT + 1;
/// Where an engine may have more columns.
pub const MORE: usize = REVOKED + 3;

/// What kind of thing changed, and which one.
pub type Told = (&'static str, String);

/// The rows of changes.
pub fn told(changes: &[Change]) -> Vec<Told> {
    let rows = changes.iter().filter_map(|change| match change {
        Change::InsertKey(key) | Change::UpdateKey(key) => Some((KEY, key.id.to_string())),
        Change::InsertSigningKey(key) => Some((SIGNING_KEY, key.kid.clone())),
        Change::Revoke(revocation) => Some((REVOCATION, revocation.subject.name())),
        Change::InsertSessionKey(key) => Some((SESSION_KEY, key.kid.clone())),
        Change::InsertDataKey(_)
        | Change::InsertUser(_)
        | Change::UpdateUser(_)
        | Change::RemoveUser { .. }
        | Change::NoteLogin { .. }
        | Change::KnowAddress { .. }
        | Change::ForgetAddresses { .. }
        // These have told already, if there was anything to tell.
        | Change::RetireSigningKeys { .. }
        | Change::RemoveSigningKeys { .. }
        | Change::RetireSessionKeys { .. }
        | Change::RemoveSessionKeys { .. } => None,
    });
    rows.collect()
}

/// Reads what changed after a position from rows of one moment, one more than `limit` if there is more.
pub fn read<R: Cells>(
    rows: &[R],
    after: FeedPosition,
    limit: u32,
    cipher: &ColumnCipher,
) -> Result<Feed, Failure> {
    let mut feed = Feed {
        more: rows.len() > limit as usize,
        ..Feed::nothing_after(after)
    };
    let Some(first) = rows.first() else {
        return Err(Failure::unreadable("its only row in meta is missing"));
    };
    let (floor, end) = (
        position(Columns::at(first, FLOOR).take()?)?,
        position(Columns::at(first, END).take()?)?,
    );
    // Beyond the end: the store was put back to an earlier state, from a backup perhaps.
    if after < floor || after > end {
        return Ok(Feed {
            position: end,
            lost: true,
            more: false,
            ..feed
        });
    }
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for row in rows.iter().take(limit as usize) {
        let Some(sequence) = Columns::at(row, SEQUENCE).take::<Option<i64>>()? else {
            break;
        };
        feed.position = position(Some(sequence))?;
        let mut columns = Columns::at(row, KIND);
        let (kind, subject): (&str, &str) = (columns.take()?, columns.take()?);
        match kind {
            SIGNING_KEY => feed.signing_keys = true,
            SESSION_KEY => feed.session_keys = true,
            KEY | REVOCATION if !seen.insert((kind, subject)) => {}
            KEY => read_key(row, subject, &mut feed, cipher)?,
            REVOCATION => feed.revocations.extend(read_revocation(row)?),
            _ => {}
        }
    }
    Ok(feed)
}

/// The revocation that a row of the feed is about; nothing if it was forgotten since, when nobody
/// needed it any more.
fn read_revocation(row: &impl Cells) -> Result<Option<Revocation>, Failure> {
    if row.text(REVOKED)?.is_none() {
        return Ok(None);
    }
    revocation::read(row, REVOKED).map(Some)
}

/// A position, from a number that may be absent.
pub fn position(sequence: Option<i64>) -> Result<FeedPosition, Failure> {
    let sequence = u64::try_from(sequence.unwrap_or(0));
    sequence
        .map(FeedPosition)
        .map_err(|_| Failure::unreadable("the change feed is damaged"))
}

fn read_key(
    row: &impl Cells,
    id: &str,
    feed: &mut Feed,
    cipher: &ColumnCipher,
) -> Result<(), Failure> {
    match key::find(row, id, cipher)? {
        Found::Key(key) => feed.keys.push(key),
        Found::Damaged(id) => feed.damaged.push(id),
        Found::Nameless => {}
    }
    Ok(())
}
