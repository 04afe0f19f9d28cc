//! Listings of keys: one statement for each combination of filters, each page of which is a range of
//! an index however many keys there are.

use sealgate_core::key::{Environment, KeyId, Status};
use sealgate_core::random::first_uuid_of;
use sealgate_core::store::{Cursor, KeyQuery, Keys, fold};
use sqlx::sqlite::Sqlite;
use sqlx::{QueryBuilder, Row as _};
use uuid::Uuid;

use super::Readers;
use super::error::Failure;
use super::keys::{self, columns};

impl Readers {
    pub async fn keys(&self, query: &KeyQuery) -> Result<Keys, Failure> {
        let is_by_name = query.name.is_some();
        self.fetch_keys(statement(query).build(), query.limit, |row, id| {
            let name = is_by_name.then(|| row.try_get(NAME_FOLDED)).transpose()?;
            Ok(Cursor { name, id })
        })
        .await
    }
}

/// The column of [`statement`] after those of the key.
const NAME_FOLDED: usize = keys::COLUMNS;

/// The statement that answers a query, with one key more than asked for: it tells whether there is
/// another page.
pub fn statement(query: &KeyQuery) -> QueryBuilder<Sqlite> {
    let range = Range::of(query);
    let mut sql = QueryBuilder::new("");
    for (place, branch) in branches(query).into_iter().enumerate() {
        if place > 0 {
            sql.push(" UNION ALL ");
        }
        // What a UNION is ordered by has to be among its columns.
        sql.push(concat!(
            "SELECT ",
            columns!(),
            ", name_folded FROM api_key WHERE "
        ));
        if let Some((environment, status)) = branch {
            sql.push("environment = ").push_bind(environment.as_str());
            sql.push(" AND status = ")
                .push_bind(status.as_str())
                .push(" AND ");
        }
        range.push(&mut sql);
    }
    sql.push(if query.name.is_some() {
        " ORDER BY name_folded, id"
    } else {
        " ORDER BY id DESC"
    });
    sql.push(" LIMIT ").push_bind(i64::from(query.limit) + 1);
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

    fn push(&self, sql: &mut QueryBuilder<Sqlite>) {
        match self {
            Self::Newest { below } => {
                sql.push("id < ").push_bind(below.to_string());
            }
            Self::Names { above, to, below } => {
                sql.push("(name_folded, id) > (")
                    .push_bind(above.name.clone());
                sql.push(", ").push_bind(above.id.to_string()).push(")");
                if let Some(to) = to {
                    sql.push(" AND name_folded < ").push_bind(to.clone());
                }
                if let Some(below) = below {
                    sql.push(" AND id < ").push_bind(below.to_string());
                }
            }
        }
    }
}

/// The first text in the order of code points that follows every text that begins with `prefix`;
/// nothing if none does.
pub fn successor(prefix: &str) -> Option<String> {
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
