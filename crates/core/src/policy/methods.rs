//! The methods that a rule is about, and the method of a request.

use std::sync::Arc;

use super::pattern::Fit;
use super::rule::{InvalidRule, MAX_ENTRIES};
use crate::permission::Permission;

/// The methods of HTTP, and what any other is called.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", OTHER,
];
const OTHER: &str = "other";
/// Longest name of a method.
const MAX_METHOD: usize = 32;
/// The methods that a rule is about.
#[derive(Clone, Debug)]
pub(super) struct Methods {
    /// As they are written; none for every one.
    pub(super) written: Option<Box<[Box<str>]>>,
    /// Those of [`METHODS`], by place; `GET` brings `HEAD` along.
    known: u16,
}

impl Methods {
    pub(super) fn new(written: Option<&[String]>) -> Result<Self, InvalidRule> {
        let complain = |message: String| Err(InvalidRule::new("methods", message));
        match written {
            Some([]) => {
                return complain(
                    "a rule without a method fits nothing: leave it out for all".into(),
                );
            }
            Some(written) if written.len() > MAX_ENTRIES => {
                return complain(format!("at most {MAX_ENTRIES} methods"));
            }
            _ => {}
        }
        let mut known = 0;
        for method in written.unwrap_or_default() {
            if method.len() > MAX_METHOD || !is_method(method) {
                return complain(format!(
                    "`{}` is not a method: write it in capitals, as in GET",
                    method.escape_debug()
                ));
            }
            let place = Method::of(method).place;
            if METHODS[place] != OTHER {
                known |= 1 << place;
            }
            if method == "GET" {
                known |= 1 << Method::of("HEAD").place;
            }
        }
        Ok(Self {
            written: written.map(|written| written.iter().map(|it| it.as_str().into()).collect()),
            known,
        })
    }

    pub(super) fn fit(&self, method: Method<'_>) -> Fit {
        let Some(written) = &self.written else {
            return Fit::Exactly;
        };
        if METHODS[method.place] != OTHER {
            return if self.known & 1 << method.place == 0 {
                Fit::No
            } else {
                Fit::Exactly
            };
        }
        let folded = METHODS
            .iter()
            .position(|it| it.eq_ignore_ascii_case(method.text));
        if written.iter().any(|it| **it == *method.text) {
            Fit::Exactly
        } else if folded.is_some_and(|place| self.known & 1 << place != 0)
            || written
                .iter()
                .any(|it| it.eq_ignore_ascii_case(method.text))
        {
            Fit::ButForCase
        } else {
            Fit::No
        }
    }
}

/// A token (RFC 9110 section 5.6.2) without lower-case letters.
fn is_method(text: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !text.is_empty() && text.bytes().all(fits)
}

/// The method of a request, as it is spelled: `get` is not `GET` (RFC 9110 section 9.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Method<'a> {
    text: &'a str,
    /// Its place among [`METHODS`].
    place: usize,
}

impl<'a> Method<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let known = METHODS[..METHODS.len() - 1].iter();
        let place = known.clone().position(|known| *known == text);
        Self {
            text,
            place: place.unwrap_or(METHODS.len() - 1),
        }
    }

    pub(super) const fn as_str(self) -> &'a str {
        self.text
    }

    /// What it needs unless a rule says otherwise: a safe one (RFC 9110 section 9.2.1) reads.
    pub(super) fn permission(self) -> Permission<'static> {
        match METHODS[self.place] {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Permission::READ,
            _ => Permission::WRITE,
        }
    }
}

/// The names of one path's requests, made once, by method: a client can neither make up names nor cost
/// an allocation.
#[derive(Clone, Debug)]
pub(super) struct Names([Arc<str>; METHODS.len()]);

impl Names {
    pub(super) fn of(path: &str) -> Self {
        Self(METHODS.map(|method| format!("{method} {path}").into()))
    }

    pub(super) fn of_method(&self, method: Method<'_>) -> &Arc<str> {
        &self.0[method.place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(names: &[&str], method: &str) -> Fit {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Methods::new(Some(&names)).unwrap().fit(Method::of(method))
    }

    #[test]
    fn a_method_is_as_it_is_spelled_and_get_brings_head_along() {
        assert_eq!(fit(&["GET"], "GET"), Fit::Exactly);
        assert_eq!(fit(&["GET"], "HEAD"), Fit::Exactly);
        assert_eq!(fit(&["HEAD"], "GET"), Fit::No);
        assert_eq!(fit(&["GET"], "POST"), Fit::No);
        assert_eq!(fit(&["POST", "PURGE"], "PURGE"), Fit::Exactly);
        assert_eq!(fit(&["POST", "PURGE"], "PROPFIND"), Fit::No);
        assert_eq!(fit(&["GET"], "get"), Fit::ButForCase);
        assert_eq!(fit(&["GET"], "Head"), Fit::ButForCase);
        assert_eq!(fit(&["PURGE"], "purge"), Fit::ButForCase);
        assert_eq!(fit(&["GET"], "post"), Fit::No);
        let all = Methods::new(None).unwrap();
        assert_eq!(all.fit(Method::of("get")), Fit::Exactly);
    }

    #[test]
    fn a_name_for_counters_has_a_method_that_is_known() {
        let names = Names::of("/a");
        for (method, name) in [
            ("GET", "GET /a"),
            ("PURGE", "other /a"),
            ("other", "other /a"),
        ] {
            assert_eq!(&**names.of_method(Method::of(method)), name);
        }
    }
}
