//! Listings: one statement for each combination of filters, each page of which is a range of an index
//! however many rows there are.

use sealgate_core::key::{Environment, KeyId, Status};
use sealgate_core::random::first_uuid_of;
use sealgate_core::store::{Cursor, KeyQuery, UserQuery, fold};
use sealgate_core::user::fold_username;
use uuid::Uuid;

use super::{Value, Values, key, user};

/// A statement that is put together of pieces, with the values between them.
#[derive(Debug, Default)]
pub struct Sql {
    pieces: Vec<&'static str>,
    /// Each follows so many pieces.
    values: Vec<(usize, Value)>,
}

impl Sql {
    fn push(&mut self, piece: &'static str) -> &mut Self {
        self.pieces.push(piece);
        self
    }

    fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push((self.pieces.len(), value.into()));
        self
    }

    /// The statement's text, with placeholders by their number from 1, and what stands for them.
    pub fn into_parts(self, placeholder: impl Fn(usize) -> String) -> (String, Values) {
        let (mut sql, mut values) = (String::new(), Values::new());
        let mut waiting = self.values.into_iter().peekable();
        for (number, piece) in (1..).zip(self.pieces) {
            sql.push_str(piece);
            while let Some((_, value)) = waiting.next_if(|(after, _)| *after == number) {
                values.push(value);
                sql.push_str(&placeholder(values.len()));
            }
        }
        (sql, values)
    }
}

/// How the ranges of a listing become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// The engine merges them, since each is in the order of the whole.
    Merged,
    /// The engine sorts them, so the first rows of each have to do.
    CutOff,
}

/// The statement that answers a query, with one key more than asked for: it tells whether there is
/// another page.
pub fn keys(query: &KeyQuery, ranges: Ranges) -> Sql {
    let (range, branches) = (Range::of(query), branches(query));
    let is_cut_off = ranges == Ranges::CutOff && branches.len() > 1;
    let limit = i64::from(query.limit) + 1;
    let order = if query.name.is_some() {
        " ORDER BY name_folded, id LIMIT "
    } else {
        " ORDER BY id DESC LIMIT "
    };
    let mut sql = Sql::default();
    for (place, branch) in branches.into_iter().enumerate() {
        if place > 0 {
            sql.push(" UNION ALL ");
        }
        if is_cut_off {
            sql.push("SELECT * FROM (");
        }
        // What a UNION is ordered by has to be among its columns.
        sql.push(concat!(
            "SELECT ",
            key::columns!(),
            ", name_folded FROM api_key WHERE "
        ));
        if let Some((environment, status)) = branch {
            sql.push("environment = ").value(environment.as_str());
            sql.push(" AND status = ")
                .value(status.as_str())
                .push(" AND ");
        }
        range.push(&mut sql);
        if is_cut_off {
            sql.push(order).value(limit).push(") AS cut_off");
        }
    }
    sql.push(order).value(limit);
    sql
}

/// The ranges of an index that hold all keys that fit, to be merged: the index is by environment
/// and status, so where a query fixes one of them alone there is a range for each value of the other.
fn branches(query: &KeyQuery) -> Vec<Option<(Environment, Status)>> {
    match (query.environment, query.status) {
        (None, None) => vec![None],
        (Some(environment), Some(status)) => vec![Some((environment, status))],
        (Some(environment), None) => Status::ALL
            .into_iter()
            .map(|status| Some((environment, status)))
            .collect(),
        (None, Some(status)) => Environment::ALL
            .into_iter()
            .map(|environment| Some((environment, status)))
            .collect(),
    }
}

/// Where a page begins, and where the listing ends.
enum Range {
    /// Downwards from below an identifier.
    Newest { below: KeyId },
    /// Upwards from above a name and an identifier.
    Names {
        above: Cursor,
        to: Option<String>,
        below: Option<KeyId>,
    },
}

impl Range {
    fn of(query: &KeyQuery) -> Self {
        // Identifiers begin with the time they were made at (UUIDv7): older is lower.
        let made_before = query.created_before.map(|time| KeyId(first_uuid_of(time)));
        match &query.name {
            None => {
                let after = query.after.as_ref().map(|cursor| cursor.id);
                // The max UUID is nobody's identifier (RFC 9562, section 5.10).
                let below = after.into_iter().chain(made_before).min();
                Self::Newest {
                    below: below.unwrap_or(KeyId(Uuid::max())),
                }
            }
            Some(name) => {
                let from = fold(name);
                let to = successor(&from);
                let (name, id) = match &query.after {
                    Some(Cursor {
                        name: Some(name),
                        id,
                    }) => (name.clone(), *id),
                    _ => (from, KeyId(Uuid::nil())),
                };
                Self::Names {
                    above: Cursor {
                        name: Some(name),
                        id,
                    },
                    to,
                    below: made_before,
                }
            }
        }
    }

    fn push(&self, sql: &mut Sql) {
        match self {
            Self::Newest { below } => {
                sql.push("id < ").value(below.to_string());
            }
            Self::Names { above, to, below } => {
                sql.push("(name_folded, id) > (")
                    .value(above.name.clone().unwrap_or_default());
                sql.push(", ").value(above.id.to_string()).push(")");
                if let Some(to) = to {
                    sql.push(" AND name_folded < ").value(to.clone());
                }
                if let Some(below) = below {
                    sql.push(" AND id < ").value(below.to_string());
                }
            }
        }
    }
}

/// The statement that answers a query, with one user more than asked for: it tells whether there is
/// another page.
pub fn users(query: &UserQuery) -> Sql {
    let from = fold_username(query.name.as_deref().unwrap_or_default());
    let mut sql = Sql::default();
    sql.push(concat!(
        "SELECT ",
        user::columns!(),
        " FROM user_account WHERE "
    ));
    if let Some(is_active) = query.is_active {
        sql.push("is_active = ").value(is_active).push(" AND ");
    }
    let to = successor(&from);
    match &query.after {
        Some(after) if *after >= from => sql.push("username_folded > ").value(after.clone()),
        _ => sql.push("username_folded >= ").value(from),
    };
    if let Some(to) = to {
        sql.push(" AND username_folded < ").value(to);
    }
    sql.push(" ORDER BY username_folded LIMIT ")
        .value(i64::from(query.limit) + 1);
    sql
}

/// The first text in the order of code points that follows every text that begins with `prefix`;
/// nothing if none does.
fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The range steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_follows_every_text_that_begins_with_the_prefix() {
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{7f}").as_deref(), Some("a\u{80}"));
        assert_eq!(successor("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(successor("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(successor("\u{10ffff}"), None);
        assert_eq!(successor(""), None);
    }
}
