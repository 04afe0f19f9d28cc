//! Counts of served requests: how they are written into rows and read from them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sealgate_core::key::KeyId;
use sealgate_core::tally::{Count, Counted, Use};

use super::Values;
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The columns of a count in the order of [`values`] and [`read`].
macro_rules! columns {
    () => {
        "minute, key_id, address, route, requests, last"
    };
}

pub(crate) use columns;

/// The values of [`columns`].
pub fn values(Counted { of, count }: &Counted) -> Values {
    vec![
        of.minute.into(),
        of.key_id.to_string().into(),
        text_of(of.address).into(),
        (*of.route).into(),
        count.requests.into(),
        count.last.into(),
    ]
}

/// What counts add to their keys, in the order of these.
pub fn of_keys(counted: &[Counted]) -> Vec<(KeyId, Count)> {
    let mut of_keys: BTreeMap<KeyId, Count> = BTreeMap::new();
    for Counted { of, count } in counted {
        let total = of_keys.entry(of.key_id).or_insert(Count {
            requests: 0,
            ..*count
        });
        total.requests = add(total.requests, count.requests);
        total.last = total.last.max(count.last);
    }
    of_keys.into_iter().collect()
}

/// The sum of two numbers of requests, as far as a column can hold it.
pub fn add(one: u64, other: u64) -> u64 {
    one.saturating_add(other).min(i64::MAX.cast_unsigned())
}

/// The values `key_id, requests, last` of what is added to a key.
pub fn total((id, count): &(KeyId, Count)) -> Values {
    vec![
        id.to_string().into(),
        count.requests.into(),
        count.last.into(),
    ]
}

/// An address as it stands in the primary key, where there is no NULL.
pub fn text_of(address: Option<IpAddr>) -> String {
    address
        .map(|address| address.to_string())
        .unwrap_or_default()
}

/// Reads a count.
pub fn read(row: &impl Cells) -> Result<Counted, Failure> {
    let mut columns = Columns::of(row);
    let of = Use {
        minute: columns.time()?,
        key_id: columns.key_id()?,
        address: match columns.take::<&str>()? {
            "" => None,
            address => Some(address.parse().map_err(|_| columns.wrong())?),
        },
        route: columns.take::<String>()?.into(),
    };
    Ok(Counted {
        of,
        count: Count {
            requests: columns.number()?,
            last: columns.time()?,
        },
    })
}
