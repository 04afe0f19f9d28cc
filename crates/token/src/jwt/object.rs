//! Owns how a JSON object is read strictly: known members only, each once, each of its one type.
//!
//! `serde`'s derived readers refuse the same inputs but say why in prose alone. This one keeps the
//! reason as an [`InvalidToken`], and costs nothing where the object is good.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use super::InvalidToken;

/// An object with a fixed set of members.
pub trait Object<'de>: Default {
    /// Takes the value of the member called `name` out of `member`, or refuses the name.
    fn take<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        member: Member<'_, A>,
    ) -> Result<(), A::Error>;
}

/// Reads all of `text` as one object.
pub fn read<'de, T: Object<'de>>(text: &'de str) -> Result<T, InvalidToken> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let reader = Reader {
        object: T::default(),
        fault: &mut fault,
    };
    (&mut json)
        .deserialize_map(reader)
        .and_then(|object| json.end().map(|()| object))
        .map_err(|error| match error.classify() {
            Category::Data => fault.unwrap_or(InvalidToken::Malformed),
            Category::Syntax | Category::Eof | Category::Io => InvalidToken::Malformed,
        })
}

/// Reads an object that is a value within another; why one is refused is not kept.
pub fn read_nested<'de, T: Object<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_map(Reader {
        object: T::default(),
        fault: &mut None,
    })
}

/// A member whose name has been read and whose value has not.
pub struct Member<'a, A> {
    map: &'a mut A,
    fault: &'a mut Option<InvalidToken>,
}

impl<'de, A: MapAccess<'de>> Member<'_, A> {
    /// Reads the value into its place, which must still be empty.
    pub fn fill<T: Deserialize<'de>>(
        self,
        place: &mut Option<T>,
        member: &'static str,
    ) -> Result<(), A::Error> {
        if place.is_some() {
            return self.refuse(InvalidToken::Duplicate { member });
        }
        *self.fault = Some(InvalidToken::WrongType { member });
        *place = Some(self.map.next_value()?);
        *self.fault = None;
        Ok(())
    }

    /// Passes over the value.
    pub fn ignore(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(drop)
    }

    /// Ends the reading for this reason.
    pub fn refuse(self, fault: InvalidToken) -> Result<(), A::Error> {
        *self.fault = Some(fault);
        Err(A::Error::custom("refused"))
    }
}

/// Takes a member that has to be there.
pub fn required<T>(place: Option<T>, member: &'static str) -> Result<T, InvalidToken> {
    place.ok_or(InvalidToken::Missing { member })
}

struct Reader<'f, T> {
    object: T,
    fault: &'f mut Option<InvalidToken>,
}

impl<'de, T: Object<'de>> Visitor<'de> for Reader<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
        // Names are borrowed, which an escape sequence does not allow: `"\u0069at"` is no name here.
        while let Some(name) = map.next_key::<&'de str>()? {
            self.object.take(
                name,
                Member {
                    map: &mut map,
                    fault: self.fault,
                },
            )?;
        }
        Ok(self.object)
    }
}
