//! Audit records: how they are written into a row and read from one, and where their log ends.

use sealgate_core::audit::{Chain, ChainHash, Event, Head, Record};

use super::{Value, Values};
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The columns of a record in the order of [`values`] and [`read`].
macro_rules! columns {
    () => {
        "sequence, hash, time, action, key_id, actor, address, user_agent, method, path, status, \
         request_id, details"
    };
}

pub(crate) use columns;

/// The last record of the log, as far as the next one needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    sequence: u64,
    hash: ChainHash,
}

impl End {
    /// The end of an empty log.
    pub const START: Self = Self {
        sequence: 0,
        hash: ChainHash::START,
    };

    /// The end that a row says, if it has one and its seal is right: nothing is appended to a log
    /// whose end was altered.
    pub fn check(head: Option<Head>, chain: &Chain) -> Result<Self, Failure> {
        let head = head.ok_or_else(|| altered("its sealed end is missing"))?;
        if head != chain.head(head.sequence, head.hash) {
            return Err(altered("its sealed end is not what was written"));
        }
        Ok(Self {
            sequence: head.sequence,
            hash: head.hash,
        })
    }

    /// The end with its seal.
    pub fn sealed(self, chain: &Chain) -> Head {
        chain.head(self.sequence, self.hash)
    }

    /// Moves to the end of these events; they are linked in their order, each with its place.
    pub fn link<'e>(
        &mut self,
        events: impl IntoIterator<Item = &'e Event>,
        chain: &Chain,
    ) -> Vec<(Self, &'e Event)> {
        let linked = events.into_iter().map(|event| {
            let sequence = self.sequence + 1;
            let hash = chain.link(&self.hash, sequence, event);
            *self = Self { sequence, hash };
            (*self, event)
        });
        linked.collect()
    }
}

/// Somebody wrote to the log behind the store's back.
pub fn altered(how: &str) -> Failure {
    Failure::unreadable(format!("the audit log was altered: {how}"))
}

/// The values of [`columns`].
pub fn values((end, event): &(End, &Event)) -> Values {
    vec![
        end.sequence.into(),
        end.hash.0[..].into(),
        event.time.into(),
        event.action.as_str().into(),
        Value::optional_text(event.key_id),
        event.actor.as_str().into(),
        Value::optional_text(event.address),
        Value::optional_text(event.user_agent.as_deref()),
        Value::optional_text(event.method.as_deref()),
        Value::optional_text(event.path.as_deref()),
        Value::Number(event.status.map(i64::from)),
        Value::optional_text(event.request_id.as_deref()),
        event.details.as_ref().into(),
    ]
}

/// Reads a record.
pub fn read(row: &impl Cells) -> Result<Record, Failure> {
    let mut columns = Columns::of(row);
    // The fields stand in the order of the columns.
    Ok(Record {
        sequence: columns.number()?,
        hash: ChainHash(columns.bytes()?),
        event: Event {
            time: columns.time()?,
            action: columns.parsed()?,
            key_id: columns.optional_key_id()?,
            actor: columns.take()?,
            address: columns.optional_address()?,
            user_agent: columns.take()?,
            method: columns.take()?,
            path: columns.take()?,
            status: read_status(&mut columns)?,
            request_id: columns.take()?,
            details: columns.take::<String>()?.into(),
        },
    })
}

/// No answer has the status 0, which the chain takes for none.
fn read_status(columns: &mut Columns<'_, impl Cells>) -> Result<Option<u16>, Failure> {
    match columns.optional_number()? {
        Some(0) => Err(columns.wrong()),
        status => Ok(status),
    }
}

/// Reads the columns `sequence, hash, seal`.
pub fn read_head(row: &impl Cells) -> Result<Head, Failure> {
    let mut columns = Columns::of(row);
    Ok(Head {
        sequence: columns.number()?,
        hash: ChainHash(columns.bytes()?),
        seal: ChainHash(columns.bytes()?),
    })
}
