//! The tables that are copied row by row, with their columns, and how their rows are read.
//!
//! Encrypted columns go over as they are: the keys that they are encrypted under go over too.

use crate::columns::Cells;
use crate::failure::Failure;
use crate::row::{Value, Values};

/// A table.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How many of its columns, from the first on, are its primary key.
    pub key: usize,
    /// Its columns.
    pub columns: &'static [(&'static str, Kind)],
    /// What goes before rows of values that are inserted.
    pub insert: &'static str,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text, or nothing.
    Text,
    /// A number, or nothing.
    Number,
    /// Bytes.
    Bytes,
}

macro_rules! table {
    ($name:literal, $key:literal, $first:literal $kind:ident $(, $other:literal $its:ident)* $(,)?) => {
        Table {
            name: $name,
            key: $key,
            columns: &[($first, Kind::$kind) $(, ($other, Kind::$its))*],
            insert: concat!(
                "INSERT INTO ", $name, " (", $first $(, ", ", $other)*, ") SELECT * FROM"
            ),
        }
    };
}

/// All that a store has but its two tables of one row, which are written last.
pub const TABLES: &[Table] = &[
    table!("data_encryption_key", 1, "id" Number, "wrapped" Bytes, "created_at" Number),
    table!(
        "api_key", 1, "id" Text, "prefix" Text, "salt" Bytes, "hash" Bytes, "token_secret" Bytes,
        "name" Text, "name_folded" Text, "description" Text, "permissions" Text, "is_admin" Number,
        "environment" Text, "rate_limit" Number, "rate_limit_window_seconds" Number,
        "allowed_ips" Text, "status" Text, "rotated_to" Text, "grace_until" Number,
        "revoked_at" Number, "revoke_reason" Text, "created_at" Number, "expires_at" Number,
        "rotated_from" Text, "lineage" Text, "last_used_at" Number, "use_count" Number,
        "version" Number,
    ),
    table!("lineage_key", 2, "lineage" Text, "version" Number, "key" Bytes, "created_at" Number),
    table!(
        "signing_key", 1, "kid" Text, "algorithm" Text, "pkcs8" Bytes, "created_at" Number,
        "purpose" Text, "signs_from" Number, "verify_until" Number,
    ),
    table!(
        "user_account", 1, "id" Text, "username" Text, "username_folded" Text, "profile" Bytes,
        "password" Bytes, "is_active" Number, "epoch" Number, "created_at" Number,
        "password_changed_at" Number, "last_login_at" Number, "version" Number,
    ),
    table!("revocation", 1, "subject" Text, "epoch" Number, "expires_at" Number),
    table!(
        "session_key", 1, "kid" Text, "secret" Bytes, "created_at" Number, "signs_from" Number,
        "verify_until" Number,
    ),
    table!("known_address", 2, "account" Text, "network" Text, "at" Number),
    table!(
        "uses", 4, "minute" Number, "key_id" Text, "address" Text, "route" Text, "requests" Number,
        "last" Number,
    ),
    Table {
        // The mark tells a row from another that has got the same number in another copy.
        insert: "INSERT INTO feed (sequence, kind, subject, mark) \
                 SELECT *, cast(random() * 9007199254740992 AS bigint) FROM",
        ..table!("feed", 1, "sequence" Number, "kind" Text, "subject" Text)
    },
    table!(
        "audit", 1, "sequence" Number, "time" Number, "action" Text, "key_id" Text, "actor" Text,
        "address" Text, "user_agent" Text, "method" Text, "path" Text, "status" Number,
        "request_id" Text, "details" Text, "hash" Bytes,
    ),
];

impl Table {
    /// The names of its columns.
    pub fn names(&self) -> String {
        join(self.columns)
    }

    /// The names of its key's columns.
    pub fn key_names(&self) -> String {
        join(&self.columns[..self.key])
    }

    /// The values of a row, in the order of the columns.
    pub fn values<R: Cells>(&self, row: &R) -> Result<Values, Failure> {
        let columns = self.columns.iter().enumerate();
        let values = columns.map(|(place, (column, kind))| {
            Ok(match kind {
                Kind::Text => Value::Text(row.text(place)?.map(R::unescaped)),
                Kind::Number => Value::Number(row.number(place)?),
                Kind::Bytes => {
                    Value::Bytes(row.bytes(place)?.map(<[u8]>::to_vec).ok_or_else(|| {
                        let table = self.name;
                        Failure::unreadable(format!("{table} has a row without {column}"))
                    })?)
                }
            })
        });
        values.collect()
    }
}

fn join(columns: &[(&str, Kind)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Where a page of a table ended, as text: the values of the key of its last row.
pub fn place(table: &Table, row: &Values) -> String {
    let key = row.iter().take(table.key).map(|value| match value {
        Value::Text(text) => serde_json::json!(text),
        Value::Number(number) => serde_json::json!(number),
        Value::Bytes(_) => unreachable!("no key of a table is bytes"),
    });
    serde_json::Value::from(key.collect::<Vec<_>>()).to_string()
}

/// The values of a key; nothing before the first row.
pub fn read_place(table: &Table, place: &str) -> Result<Option<Values>, Failure> {
    if place.is_empty() {
        return Ok(None);
    }
    let wrong = || Failure::unreadable("it does not say how far its copy has come");
    let key: Vec<serde_json::Value> = serde_json::from_str(place).map_err(|_| wrong())?;
    let values = key.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Ok(Value::from(text)),
        other => other.as_i64().map(Value::from).ok_or_else(wrong),
    });
    let values: Values = values.collect::<Result<_, Failure>>()?;
    if values.len() == table.key {
        Ok(Some(values))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use sqlx::Row as _;

    use super::*;
    use crate::sqlite::fixture::Fixture;

    // Of the last two one is empty when a move begins, and the other is an index of the audit log.
    const COLUMNS: &str = "SELECT t.name, c.name, c.type, c.pk FROM sqlite_schema AS t, \
         pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' \
         AND t.name NOT IN ('meta', 'audit_head', 'use_batch', 'audit_of_key')";

    /// Names and types.
    type Columns = BTreeSet<(String, String)>;

    #[tokio::test]
    async fn every_column_of_every_table_is_copied() {
        let fixture = Fixture::new().await;
        let mut connection = fixture.connect().await;
        let rows = sqlx::query(COLUMNS).fetch_all(&mut connection).await;
        let mut known: BTreeMap<String, (Columns, BTreeSet<String>)> = BTreeMap::new();
        for row in rows.unwrap() {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let (columns, key) = known.entry(table).or_default();
            if row.get::<i64, _>(3) > 0 {
                key.insert(column.clone());
            }
            columns.insert((column, row.get(2)));
        }
        let copied = TABLES.iter().map(|table| {
            let columns = table.columns.iter().map(|(name, kind)| {
                let kind = match kind {
                    Kind::Text => "TEXT",
                    Kind::Number => "INTEGER",
                    Kind::Bytes => "BLOB",
                };
                ((*name).to_owned(), kind.to_owned())
            });
            let key = table.columns[..table.key].iter();
            let key = key.map(|(name, _)| (*name).to_owned()).collect();
            (table.name.to_owned(), (columns.collect(), key))
        });
        assert_eq!(copied.collect::<BTreeMap<_, _>>(), known);
    }

    #[test]
    fn a_place_reads_back() {
        let uses = TABLES.iter().find(|table| table.name == "uses").unwrap();
        let row: Values = vec![
            7_i64.into(),
            "a\"\0b".into(),
            "".into(),
            "GET /".into(),
            1_i64.into(),
            2_i64.into(),
        ];
        let written = place(uses, &row);
        let read = read_place(uses, &written).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", &row[..4]));
        assert!(read_place(uses, "").unwrap().is_none());
        for wrong in ["[]", "[1]", "x", "[1,2,3,null]"] {
            assert!(read_place(uses, wrong).is_err(), "{wrong}");
        }
    }
}
