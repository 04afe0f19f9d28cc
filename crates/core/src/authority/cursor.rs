//! The place of a key in a listing, as a caller is told it and hands it back: base64url of the key's
//! identifier and, where names were searched, of a space and its folded name.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::error::Error;
use crate::key::KeyId;
use crate::store::Cursor;

/// What a caller is told.
pub(super) fn encode(cursor: &Cursor) -> String {
    let name = cursor
        .name
        .as_deref()
        .map_or(String::new(), |name| format!(" {name}"));
    BASE64_URL_SAFE_NO_PAD.encode(format!("{}{name}", cursor.id))
}

/// Reads what a caller hands back for a listing that searches names, or does not.
///
/// # Errors
/// If it was not handed out, or for a listing of the other kind.
pub(super) fn decode(text: &str, searches_names: bool) -> Result<Cursor, Error> {
    let cursor = parse(text).filter(|cursor| cursor.name.is_some() == searches_names);
    cursor.ok_or_else(|| Error::invalid("cursor", "use next_cursor of the page before, unchanged"))
}

fn parse(text: &str) -> Option<Cursor> {
    let decoded = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (id, name) = match decoded.split_once(' ') {
        Some((id, name)) => (id, Some(name.to_owned())),
        None => (decoded.as_str(), None),
    };
    let id = KeyId(Uuid::try_parse(id).ok()?);
    Some(Cursor { name, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_of_the_other_kind_of_listing_is_refused() {
        let plain = Cursor {
            name: None,
            id: KeyId(Uuid::from_u128(1)),
        };
        assert!(decode(&encode(&plain), true).is_err());
        assert_eq!(decode(&encode(&plain), false).unwrap(), plain);
    }

    proptest! {
        #[test]
        fn what_is_told_reads_back(id: u128, name in proptest::option::of(".{0,40}")) {
            let cursor = Cursor { name, id: KeyId(Uuid::from_u128(id)) };
            let read = decode(&encode(&cursor), cursor.name.is_some()).unwrap();
            prop_assert_eq!(read, cursor);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = decode(&text, false);
        }
    }
}
