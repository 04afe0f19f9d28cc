//! Revocations: how they are written into a row and read from one.

use sealgate_core::revocation::{Revocation, Subject};

use super::{Value, Values};
use crate::columns::{Cells, Columns};
use crate::failure::Failure;

/// The values `subject, epoch, expires_at`.
pub fn values(revocation: &Revocation) -> Values {
    vec![
        revocation.subject.name().into(),
        Value::Number(revocation.subject.epoch()),
        revocation.expires_at.into(),
    ]
}

/// Reads a revocation from the columns `subject`, `epoch`, `expires_at` of a row, from that place on.
pub fn read(row: &impl Cells, from: usize) -> Result<Revocation, Failure> {
    let mut columns = Columns::at(row, from);
    let name: &str = columns.take()?;
    let subject = Subject::parse(name, columns.take()?)
        // Spelled otherwise, it would not be found under its name.
        .filter(|subject| subject.name() == name)
        .ok_or_else(|| Failure::unreadable("a revocation is damaged"))?;
    Ok(Revocation {
        subject,
        expires_at: columns.time()?,
    })
}
