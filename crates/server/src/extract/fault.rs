//! Why an input was not read, in words fit for the caller: the field's name and what would be
//! right, never the value that was sent, which could be a secret in the wrong place.

use sealgate_core::redact::redact;
use serde_path_to_error::Path;

use crate::error::Problem;

/// Longest name of a field that is repeated to the caller, in characters.
const MAX_NAME: usize = 64;

/// Puts an error of serde into our words. `whole` is what the input is called where no field of it
/// is to blame.
pub(super) fn describe(whole: &'static str, path: &Path, message: &str) -> Problem {
    if let Some(text) = message.strip_prefix("unknown field `") {
        return match text.split_once("`, expected ") {
            Some((unknown, known)) => {
                let (known, _) = place(known);
                Problem::invalid(name(unknown), format!("unknown field, expected {known}"))
            }
            None => Problem::invalid(name(text), "unknown field, there is none here"),
        };
    }
    if let Some(field) = quoted_after("missing field `", message) {
        return Problem::invalid(name(field), "is missing");
    }
    if let Some(field) = quoted_after("duplicate field `", message) {
        return repeated(field);
    }
    let field = match path.to_string() {
        path if path == "." || path == "?" => whole.to_owned(),
        path => name(&path),
    };
    match message.rsplit_once(", expected ") {
        // What stands before it repeats the value.
        Some((_, expected)) => {
            let (expected, at) = place(expected);
            Problem::invalid(field, format!("expected {}{at}", plain(expected)))
        }
        None => Problem::invalid(field, redact(message)),
    }
}

/// A field, or a parameter, that may be there once.
pub(super) fn repeated(field: &str) -> Problem {
    Problem::invalid(name(field), "is there more than once")
}

fn quoted_after<'a>(start: &str, message: &'a str) -> Option<&'a str> {
    let (quoted, _) = message.strip_prefix(start)?.split_once('`')?;
    Some(quoted)
}

/// A name that could be the caller's, fit to be repeated.
fn name(text: &str) -> String {
    let name = redact(text);
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// Tells " at line 1 column 2" from what stands before it.
fn place(text: &str) -> (&str, &str) {
    text.rfind(" at line ")
        .map_or((text, ""), |at| text.split_at(at))
}

/// Rust's names of types, in JSON's words.
fn plain(expected: &str) -> &str {
    match expected {
        "u32" | "u64" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        known if known.starts_with("struct ") => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use sealgate_core::request::{KeyPatch, KeyRequest};
    use serde::de::DeserializeOwned;

    use super::*;

    fn message<T: DeserializeOwned>(json: &str) -> String {
        let mut reader = serde_json::Deserializer::from_str(json);
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
            panic!("{json} is read");
        };
        describe("body", error.path(), &error.inner().to_string())
            .message()
            .into_owned()
    }

    #[test]
    fn the_field_is_named_and_what_would_be_right() {
        let unknown = message::<KeyRequest>(r#"{"nmae": "x"}"#);
        assert!(
            unknown.starts_with("nmae: unknown field, expected one of `name`, `description`"),
            "{unknown}"
        );
        for (json, expected) in [
            ("{}", "name: is missing"),
            (
                r#"{"name":"a","name":"b"}"#,
                "name: is there more than once",
            ),
            (
                r#"{"name":"a","rate_limit":-1}"#,
                "rate_limit: expected a whole number, 0 or more at line 1 column 27",
            ),
            (
                r#"{"name":"a","is_admin":"yes"}"#,
                "is_admin: expected true or false at line 1 column 28",
            ),
            (
                r#"{"name":"a","allowed_ips":[1]}"#,
                "allowed_ips[0]: expected a string at line 1 column 28",
            ),
            ("[]", "body: expected an object at line 1 column "),
        ] {
            assert!(
                message::<KeyRequest>(json).starts_with(expected),
                "{}",
                message::<KeyRequest>(json)
            );
        }
        assert_eq!(
            message::<KeyPatch>(r#"{"expires_at":"tomorrow"}"#),
            "expires_at: not an RFC 3339 time at line 1 column 25"
        );
    }

    #[test]
    fn a_value_is_never_repeated() {
        for json in [
            r#"{"name":"a","rate_limit":"hunter2"}"#,
            r#"{"name":"a","rate_limit":"hunter2, expected u32"}"#,
            r#"{"name":"a","environment":"hunter2"}"#,
            r#"{"name":"a","allowed_ips":"hunter2"}"#,
            r#""hunter2""#,
        ] {
            let message = message::<KeyRequest>(json);
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_a_secret_one_is_masked() {
        let long = message::<KeyRequest>(&format!(r#"{{"{}": 1}}"#, "ab ".repeat(1_000)));
        assert!(long.chars().count() <= 257, "{long}");
        let secret = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";
        let masked = message::<KeyRequest>(&format!(r#"{{"{secret}": 1}}"#));
        assert!(!masked.contains("UVZuhD7"), "{masked}");
    }
}
