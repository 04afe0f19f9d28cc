//! What an answer means: a user, a refusal, or nothing that can be understood.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sealgate_core::identity::{NotIdentified, UserData};
use serde_json::{Map, Value};

use super::cookies;
use crate::unavailable;

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// By what a success is told.
pub(super) struct Rules {
    success: Option<Vec<u16>>,
    success_cookie: Option<String>,
}

impl Rules {
    /// # Errors
    /// If a status cannot mean a success, or the cookie has no name.
    pub(super) fn new(
        success: Option<Vec<u16>>,
        success_cookie: Option<String>,
    ) -> Result<Self, String> {
        if success.as_ref().is_some_and(Vec::is_empty) {
            return Err("no status means a success: leave the list out for 200 to 299".to_owned());
        }
        if let Some(status) = success
            .iter()
            .flatten()
            .find(|it| !(200..400).contains(*it))
        {
            return Err(format!(
                "the status {status} cannot mean a success: it is 200 to 399"
            ));
        }
        if success_cookie.as_ref().is_some_and(String::is_empty) {
            return Err("the cookie that means a success has no name".to_owned());
        }
        Ok(Self {
            success,
            success_cookie,
        })
    }

    /// Who the user is.
    ///
    /// # Errors
    /// If the answer refuses, or cannot be understood.
    pub(super) fn judge(&self, answer: &Answer, username: &str) -> Result<UserData, NotIdentified> {
        let status = answer.status;
        if !self.is_success(status) {
            return Err(refusal(status));
        }
        let cookies = cookies::set_by(&answer.headers);
        if let Some(name) = &self.success_cookie
            && !cookies.contains_key(name)
        {
            tracing::debug!(%status, "the login answered without the cookie of a success");
            return Err(NotIdentified::Refused);
        }
        let told = serde_json::from_slice(&answer.body).ok();
        if told.is_none() {
            self.may_be_without_json(status, &answer.body, &cookies)?;
        }
        user_data(told, cookies, username)
    }

    fn is_success(&self, status: StatusCode) -> bool {
        self.success
            .as_ref()
            .map_or(status.is_success(), |list| list.contains(&status.as_u16()))
    }

    /// Pages and redirections are also how portals refuse, so that only a cookie that the settings
    /// name makes them a success.
    fn may_be_without_json(
        &self,
        status: StatusCode,
        body: &[u8],
        cookies: &Map<String, Value>,
    ) -> Result<(), NotIdentified> {
        let named = self.success_cookie.is_some();
        if named || body.is_empty() && status.is_success() && !cookies.is_empty() {
            Ok(())
        } else {
            Err(unavailable(format!(
                "the answer with status {} is not JSON, and no success_cookie tells whether it is \
                 a success",
                status.as_u16()
            )))
        }
    }
}

/// What a status that is no success means.
fn refusal(status: StatusCode) -> NotIdentified {
    match status.as_u16() {
        400 | 401 | 403 | 404 | 422 => {
            // An URL that is wrong refuses everybody with 404, and this is where it shows.
            tracing::debug!(%status, "the login refused");
            NotIdentified::Refused
        }
        status => unavailable(format!(
            "the answer's status is {status}, which is neither a success nor a refusal"
        )),
    }
}

fn user_data(
    told: Option<Value>,
    cookies: Map<String, Value>,
    username: &str,
) -> Result<UserData, NotIdentified> {
    let mut data = match told {
        Some(Value::Object(object)) => object,
        // Asked whether a password is right, these are a no.
        Some(Value::Bool(false) | Value::Null) => return Err(NotIdentified::Refused),
        Some(value) => Map::from_iter([("answer".to_owned(), value)]),
        None => Map::new(),
    };
    if !cookies.is_empty() {
        match data.get_mut("cookies") {
            Some(Value::Object(known)) => known.extend(cookies),
            _ => drop(data.insert("cookies".to_owned(), Value::Object(cookies))),
        }
    }
    data.entry("username")
        .or_insert_with(|| Value::from(username));
    Ok(UserData(data))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::SET_COOKIE;
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        Rules::new(None, None).unwrap()
    }

    fn with_cookie(success: Option<Vec<u16>>) -> Rules {
        Rules::new(success, Some("ticket".to_owned())).unwrap()
    }

    fn answer(status: u16, cookies: &[&'static str], body: &'static str) -> Answer {
        let cookie = |text: &&'static str| (SET_COOKIE, HeaderValue::from_static(text));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: cookies.iter().map(cookie).collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn told(rules: &Rules, answer: &Answer) -> Value {
        Value::Object(rules.judge(answer, "ada").unwrap().0)
    }

    fn not_told(rules: &Rules, answer: &Answer) -> NotIdentified {
        rules.judge(answer, "ada").unwrap_err()
    }

    fn is_unavailable(rules: &Rules, answer: &Answer) -> bool {
        matches!(not_told(rules, answer), NotIdentified::Unavailable(_))
    }

    #[test]
    fn an_object_is_taken_as_it_is() {
        let body = r#"{"matric":"1912345","nested":{"a":[1]}}"#;
        assert_eq!(
            told(&rules(), &answer(200, &[], body)),
            json!({"matric": "1912345", "nested": {"a": [1]}, "username": "ada"})
        );
        let body = r#"{"username":"Ada Lovelace"}"#;
        assert_eq!(
            told(&rules(), &answer(201, &[], body)),
            json!({"username": "Ada Lovelace"})
        );
    }

    #[test]
    fn any_other_json_is_an_answer() {
        for (body, value) in [
            ("[1]", json!([1])),
            ("\"x\"", json!("x")),
            ("true", json!(true)),
        ] {
            assert_eq!(
                told(&rules(), &answer(200, &[], body)),
                json!({"answer": value, "username": "ada"})
            );
        }
    }

    #[test]
    fn false_and_null_are_refusals() {
        for body in ["false", "null", " false\n"] {
            assert_eq!(
                not_told(&rules(), &answer(200, &["a=b"], body)),
                NotIdentified::Refused
            );
        }
    }

    #[test]
    fn cookies_join_those_of_the_answer() {
        let body = r#"{"cookies":{"a":"old","b":"kept"}}"#;
        assert_eq!(
            told(&rules(), &answer(200, &["a=new; Path=/", "c=\"3\""], body)),
            json!({"cookies": {"a": "new", "b": "kept", "c": "\"3\""}, "username": "ada"})
        );
        assert_eq!(
            told(&rules(), &answer(200, &["a=1"], r#"{"cookies":7}"#)),
            json!({"cookies": {"a": "1"}, "username": "ada"})
        );
    }

    #[test]
    fn an_empty_answer_needs_a_cookie() {
        assert_eq!(
            told(&rules(), &answer(204, &["a=1"], "")),
            json!({"cookies": {"a": "1"}, "username": "ada"})
        );
        assert!(is_unavailable(&rules(), &answer(204, &[], "")));
        assert!(is_unavailable(
            &rules(),
            &answer(204, &["a=; Max-Age=0"], "")
        ));
    }

    #[test]
    fn a_page_with_some_cookie_is_not_a_success() {
        assert!(is_unavailable(
            &rules(),
            &answer(200, &["visit=1"], "<html>")
        ));
        let redirected = Rules::new(Some(vec![302]), None).unwrap();
        assert!(is_unavailable(&redirected, &answer(302, &["visit=1"], "")));
    }

    #[test]
    fn the_named_cookie_tells_a_success_from_a_refusal() {
        let rules = with_cookie(Some(vec![200, 302]));
        assert_eq!(
            told(&rules, &answer(302, &["visit=1", "ticket=t"], "<html>")),
            json!({"cookies": {"visit": "1", "ticket": "t"}, "username": "ada"})
        );
        for body in ["<html>", "", r#"{"username":"ada"}"#] {
            for cookie in ["visit=1", "ticket=; Max-Age=0"] {
                assert_eq!(
                    not_told(&rules, &answer(200, &[cookie], body)),
                    NotIdentified::Refused
                );
            }
        }
    }

    #[test]
    fn statuses_are_refusals_or_failures() {
        for status in [400, 401, 403, 404, 422] {
            let answer = answer(status, &["ticket=t"], "{}");
            assert_eq!(
                not_told(&with_cookie(None), &answer),
                NotIdentified::Refused
            );
        }
        for status in [302, 303, 405, 408, 409, 418, 429, 500, 502, 503] {
            let answer = answer(status, &["ticket=t"], "{}");
            assert!(is_unavailable(&with_cookie(None), &answer), "{status}");
        }
    }

    #[test]
    fn a_status_outside_of_the_list_is_no_success() {
        let rules = Rules::new(Some(vec![204]), None).unwrap();
        assert!(is_unavailable(&rules, &answer(200, &[], "{}")));
    }

    #[test]
    fn a_refusal_cannot_be_listed_as_a_success() {
        for list in [vec![], vec![401], vec![200, 500], vec![100]] {
            assert!(Rules::new(Some(list), None).is_err());
        }
        assert!(Rules::new(None, Some(String::new())).is_err());
    }
}
