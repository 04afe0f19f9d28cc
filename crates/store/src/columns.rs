//! The values of a row by their order, whichever engine it came from.

use std::net::IpAddr;
use std::str::FromStr;

use sealgate_core::clock::Timestamp;
use sealgate_core::key::KeyId;
use uuid::Uuid;

use crate::failure::Failure;

/// A row of one of the engines. Every column is a text, a number of 64 bits or bytes, or nothing.
pub trait Cells {
    /// A text.
    fn text(&self, place: usize) -> Result<Option<&str>, Failure>;

    /// A number.
    fn number(&self, place: usize) -> Result<Option<i64>, Failure>;

    /// Bytes.
    fn bytes(&self, place: usize) -> Result<Option<&[u8]>, Failure>;

    /// The name of a column.
    fn name(&self, place: usize) -> &str;

    /// What was written, of a text that may have held any character.
    fn unescaped(text: &str) -> String {
        text.to_owned()
    }
}

/// What a column is read as. A `&str` is of a known form, a `String` is any text.
pub trait Cell<'r>: Sized {
    /// Reads it.
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure>;
}

impl<'r> Cell<'r> for Option<&'r str> {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        row.text(place)
    }
}

impl<'r> Cell<'r> for Option<String> {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        Ok(row.text(place)?.map(R::unescaped))
    }
}

impl<'r> Cell<'r> for Option<i64> {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        row.number(place)
    }
}

impl<'r> Cell<'r> for Option<&'r [u8]> {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        row.bytes(place)
    }
}

impl<'r> Cell<'r> for &'r str {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        present(row, place)
    }
}

impl<'r> Cell<'r> for String {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        present(row, place)
    }
}

impl<'r> Cell<'r> for i64 {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        present(row, place)
    }
}

impl<'r> Cell<'r> for bool {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        present::<i64, R>(row, place).map(|flag| flag != 0)
    }
}

impl<'r> Cell<'r> for &'r [u8] {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        present(row, place)
    }
}

impl<'r> Cell<'r> for Vec<u8> {
    fn at<R: Cells>(row: &'r R, place: usize) -> Result<Self, Failure> {
        present(row, place).map(<[u8]>::to_vec)
    }
}

fn present<'r, T, R: Cells>(row: &'r R, place: usize) -> Result<T, Failure>
where
    Option<T>: Cell<'r>,
{
    Option::<T>::at(row, place)?.ok_or_else(|| wrong(row, place))
}

fn wrong(row: &impl Cells, place: usize) -> Failure {
    let column = row.name(place);
    Failure::unreadable(format!("a value of the column {column} is damaged"))
}

/// The values of a row, taken one after the other in the order they were selected.
pub struct Columns<'r, R> {
    row: &'r R,
    next: usize,
}

impl<'r, R: Cells> Columns<'r, R> {
    /// Starts at the first value.
    pub const fn of(row: &'r R) -> Self {
        Self::at(row, 0)
    }

    /// Starts at the value of this place.
    pub const fn at(row: &'r R, place: usize) -> Self {
        Self { row, next: place }
    }

    /// The next value.
    pub fn take<T: Cell<'r>>(&mut self) -> Result<T, Failure> {
        let value = T::at(self.row, self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// The next value, a number of a narrower type.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Failure> {
        let value: i64 = self.take()?;
        T::try_from(value).map_err(|_| self.wrong())
    }

    /// The next value, a number of a narrower type or nothing.
    pub fn optional_number<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, Failure> {
        let value: Option<i64> = self.take()?;
        value.map(T::try_from).transpose().map_err(|_| self.wrong())
    }

    /// The next value, a time.
    pub fn time(&mut self) -> Result<Timestamp, Failure> {
        self.take().map(Timestamp::from_millis)
    }

    /// The next value, a time or nothing.
    pub fn optional_time(&mut self) -> Result<Option<Timestamp>, Failure> {
        Ok(self.take::<Option<i64>>()?.map(Timestamp::from_millis))
    }

    /// The next value, a key's identifier.
    pub fn key_id(&mut self) -> Result<KeyId, Failure> {
        self.uuid().map(KeyId)
    }

    /// The next value, an identifier.
    pub fn uuid(&mut self) -> Result<Uuid, Failure> {
        let text = self.take()?;
        read_uuid(text).ok_or_else(|| self.wrong())
    }

    /// The next value, a key's identifier or nothing.
    pub fn optional_key_id(&mut self) -> Result<Option<KeyId>, Failure> {
        let text = self.take::<Option<&str>>()?;
        text.map(|text| read_id(text).ok_or_else(|| self.wrong()))
            .transpose()
    }

    /// The next value, a text of a certain form.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, Failure> {
        let text: &str = self.take()?;
        text.parse().map_err(|_| self.wrong())
    }

    /// The next value, an address or nothing.
    pub fn optional_address(&mut self) -> Result<Option<IpAddr>, Failure> {
        let Some(text) = self.take::<Option<&str>>()? else {
            return Ok(None);
        };
        let address: Option<IpAddr> = text.parse().ok();
        // Spelled as it was written, so that the audit log's chain covers every byte of it.
        let address = address.filter(|address| address.to_string() == text);
        address.map(Some).ok_or_else(|| self.wrong())
    }

    /// The next value, so many bytes.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let bytes: &[u8] = self.take()?;
        bytes.try_into().map_err(|_| self.wrong())
    }

    /// The error for the value taken last: it is none that was ever written there.
    pub fn wrong(&self) -> Failure {
        wrong(self.row, self.next.saturating_sub(1))
    }
}

/// A key's identifier.
pub fn read_id(text: &str) -> Option<KeyId> {
    read_uuid(text).map(KeyId)
}

/// An identifier, spelled as it was written: what looks up another row is another's.
fn read_uuid(text: &str) -> Option<Uuid> {
    let is_as_written = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    Uuid::try_parse(text).ok().filter(|_| is_as_written)
}
