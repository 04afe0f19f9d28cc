//! Query strings, read strictly: each parameter once, and none unknown.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::fault;
use crate::error::Problem;

/// The parameters of a query. It is `T`'s part to refuse unknown ones.
pub(crate) struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let reader = serde_urlencoded::Deserializer::new(pairs);
    serde_path_to_error::deserialize(reader)
        .map_err(|error| fault::describe("query", error.path(), &error.inner().to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        q: Option<String>,
        limit: Option<u32>,
    }

    #[test]
    fn a_parameter_is_taken_once_and_only_if_it_is_known() {
        for query in ["q=a&q=a", "limit=1&limit=2", "p=1", "q=a&=", "limit=-1"] {
            assert!(parse::<Page>(query).is_err(), "{query}");
        }
        assert_eq!(
            parse::<Page>("").unwrap(),
            Page {
                q: None,
                limit: None
            }
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(q: Option<String>, limit: Option<u32>) {
            let page = Page { q, limit };
            let query = serde_urlencoded::to_string(&page).unwrap();
            prop_assert_eq!(parse::<Page>(&query).unwrap(), page);
        }

        #[test]
        fn what_is_taken_reads_back(query in "((q|limit|%71)?[=&%+0-9a-fé\\PC]{0,8}){0,3}") {
            if let Ok(page) = parse::<Page>(&query) {
                let query = serde_urlencoded::to_string(&page).unwrap();
                prop_assert_eq!(parse::<Page>(&query).unwrap(), page);
            }
        }
    }
}
