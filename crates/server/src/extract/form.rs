//! Form bodies, read as OAuth has them (RFC 6749 section 3.2): each parameter once, one without a value
//! as if it were not there, and unknown ones passed over.

use std::collections::HashSet;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::fault;
use super::payload::Payload;
use crate::error::{MediaType, Problem};

/// A body that is `application/x-www-form-urlencoded`.
pub(crate) struct StrictForm<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for StrictForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match Payload::read(request, MediaType::Form).await? {
            Some(payload) => parse(payload.bytes()).map(Self),
            None => parse(b"").map(Self),
        }
    }
}

fn parse<T: DeserializeOwned>(form: &[u8]) -> Result<T, Problem> {
    let mut names = HashSet::new();
    for (name, _) in form_urlencoded::parse(form) {
        if let Some(name) = names.replace(name) {
            return Err(fault::repeated(&name));
        }
    }
    let said = Zeroizing::new(with_values(form));
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(&said));
    serde_path_to_error::deserialize(reader)
        .map_err(|error| fault::describe("body", error.path(), &error.inner().to_string()))
}

/// The parameters that have a value.
fn with_values(form: &[u8]) -> Vec<u8> {
    let has_value = |parameter: &&[u8]| {
        let end_of_name = parameter.iter().position(|byte| *byte == b'=');
        end_of_name.is_some_and(|at| at + 1 < parameter.len())
    };
    let parameters = form.split(|byte| *byte == b'&').filter(has_value);
    parameters.collect::<Vec<_>>().join(&b'&')
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Asked {
        token: String,
        token_type_hint: Option<String>,
    }

    fn token_of(form: &str) -> Result<String, String> {
        let asked = parse::<Asked>(form.as_bytes());
        let asked = asked.map_err(|problem| problem.message().into_owned());
        asked.map(|asked| asked.token)
    }

    #[test]
    fn a_parameter_is_there_once_and_unknown_ones_are_passed_over() {
        for form in [
            "token=a.b",
            "token=a%2Eb&other=1",
            "other=1&token=a.b&token_type_hint=",
            "&token=a.b&",
        ] {
            assert_eq!(token_of(form).as_deref(), Ok("a.b"), "{form}");
        }
        for (form, message) in [
            ("token=a&token=a", "token: is there more than once"),
            ("token=&token=a", "token: is there more than once"),
            ("token=a&%74oken=b", "token: is there more than once"),
            ("token=a&x=1&x=2", "x: is there more than once"),
            ("", "token: is missing"),
            ("token=", "token: is missing"),
            ("a.b", "token: is missing"),
            ("Token=a", "token: is missing"),
        ] {
            assert_eq!(token_of(form), Err(message.to_owned()), "{form}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(token in "\\PC{1,40}", hint in option::of("\\PC{1,9}")) {
            let asked = Asked { token, token_type_hint: hint };
            let form = serde_urlencoded::to_string(&asked).unwrap();
            prop_assert_eq!(parse::<Asked>(form.as_bytes()).unwrap(), asked);
        }

        #[test]
        fn whatever_comes_is_read_or_refused(form: Vec<u8>) {
            if let Ok(asked) = parse::<Asked>(&form) {
                prop_assert!(!asked.token.is_empty());
            }
        }
    }
}
