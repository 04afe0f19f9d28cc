//! What a rule adds to a request for the service behind: headers, with values of who calls in them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::authority::{Identity, Session};
use crate::error::{Denied, Reason};
use crate::key::KeyId;

/// Headers that are about one connection or the message's own frame (RFC 9110 sections 7.2, 7.6.1 and
/// 8.6, RFC 9112 section 6.1).
const OF_THE_MESSAGE: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What the identity headers begin with by default.
const OF_IDENTITY: &str = "x-auth-";
const COOKIE: &str = "cookie";
/// Longest template of a header, in bytes.
const MAX_TEMPLATE: usize = 1_024;

/// A header to add.
#[derive(Clone, Debug)]
pub(super) struct Injection {
    name: Box<str>,
    value: Box<[Part]>,
    /// Which cookie it is, if it is one.
    cookie: Option<Box<str>>,
}

/// A part of a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This text.
    Text(Box<str>),
    /// A value that depends on who calls.
    Of(Source),
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// `{session.FIELD}`: a field of the sealed data; those after the first are within it.
    Session(Box<[Box<str>]>),
    /// `{subject}`: the user's name, or the key's identifier.
    Subject,
    /// `{key_id}`: the managed key's identifier.
    KeyId,
}

/// The names of what rules add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InjectedNames {
    headers: BTreeSet<String>,
    cookies: BTreeSet<Box<str>>,
}

impl InjectedNames {
    pub(super) fn of<'i>(injections: impl Iterator<Item = &'i Injection>) -> Self {
        let mut names = Self::default();
        for injection in injections {
            match &injection.cookie {
                Some(cookie) => names.cookies.insert(cookie.clone()),
                None => names.headers.insert(injection.name.to_ascii_lowercase()),
            };
        }
        names
    }

    /// Headers other than `Cookie`, in lower case.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(String::as_str)
    }

    /// Cookies, as the rules spell them.
    pub fn cookies(&self) -> impl Iterator<Item = &str> + Clone {
        self.cookies.iter().map(|name| &**name)
    }
}

/// What is known of who calls.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// The user's name, or the key's identifier.
    pub subject: Option<Cow<'a, str>>,
    /// The managed key, itself or the one that seals the session.
    pub key_id: Option<KeyId>,
    /// The sealed data of the user: a JSON object.
    pub session_data: Option<&'a str>,
}

impl From<&Identity> for Known<'_> {
    fn from(identity: &Identity) -> Self {
        let key_id = identity.key_id();
        Self {
            subject: Some(key_id.to_string().into()),
            key_id: Some(key_id),
            session_data: None,
        }
    }
}

impl<'a> From<&'a Session> for Known<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            subject: Some(session.username().into()),
            key_id: session.sealed_by().key_id(),
            session_data: Some(session.data()),
        }
    }
}

/// Fills headers in.
///
/// # Errors
/// If a value is missing, or no header can hold it.
pub(super) fn fill(
    injections: &[Injection],
    known: &Known<'_>,
) -> Result<Vec<(String, String)>, Denied> {
    if injections.is_empty() {
        return Ok(Vec::new());
    }
    let needs_data = injections.iter().any(Injection::is_of_session);
    let data = known.session_data.filter(|_| needs_data);
    let data = data.and_then(|text| serde_json::from_str(text).ok());
    let data: Value = data.unwrap_or_default();
    let mut filled: Vec<(String, String)> = Vec::with_capacity(injections.len());
    for injection in injections {
        let value = injection.fill(known, &data).map_err(|source| Denied {
            reason: Reason::MissingValue(source.name()),
            key_id: known.key_id,
        })?;
        let is_cookie = |(name, _): &&mut (String, String)| name.eq_ignore_ascii_case(COOKIE);
        match filled.iter_mut().find(is_cookie) {
            // A request has one such header (RFC 6265 section 5.4).
            Some((_, cookies)) if injection.cookie.is_some() => {
                cookies.push_str("; ");
                cookies.push_str(&value);
            }
            _ => filled.push((injection.name.to_string(), value)),
        }
    }
    Ok(filled)
}

impl Injection {
    /// Reads `NAME: VALUE`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{}` {what}", text.escape_debug());
        if text.len() > MAX_TEMPLATE {
            return Err(format!("a header has at most {MAX_TEMPLATE} bytes here"));
        }
        let Some((name, value)) = text.split_once(':') else {
            return Err(wrong("is not a header: write it as in `X-User: {subject}`"));
        };
        check_name(name).map_err(|what| wrong(&what))?;
        let value = parse_value(value.trim()).map_err(|what| wrong(&what))?;
        let cookie = if name.eq_ignore_ascii_case(COOKIE) {
            Some(cookie_name(&value).ok_or_else(|| {
                wrong("is not one cookie: write it as in `Cookie: portal={session.cookie}`")
            })?)
        } else {
            None
        };
        Ok(Self {
            name: name.into(),
            value,
            cookie,
        })
    }

    /// The header's name.
    pub(super) const fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same header, or the same cookie.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name) && self.cookie == other.cookie
    }

    /// Whether it takes a value of the sealed data.
    pub(super) fn is_of_session(&self) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Of(Source::Session(_)));
        self.value.iter().any(is_it)
    }

    /// Whether it takes a value that depends on who calls.
    pub(super) fn is_of_caller(&self) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Of(_));
        self.value.iter().any(is_it)
    }

    /// The value for who calls; otherwise what is missing, or does not fit.
    fn fill(&self, known: &Known<'_>, data: &Value) -> Result<String, &Source> {
        let fits = match self.cookie {
            Some(_) => is_cookie_octet,
            None => is_visible_or_space,
        };
        let mut filled = String::new();
        for part in &self.value {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Of(source) => {
                    let value = source.value(known, data);
                    let value = value.filter(|it| !it.is_empty() && it.bytes().all(fits));
                    filled.push_str(&value.ok_or(source)?);
                }
            }
        }
        Ok(filled)
    }
}

impl Source {
    fn parse(text: &str) -> Option<Self> {
        let fields = match text {
            "subject" => return Some(Self::Subject),
            "key_id" => return Some(Self::KeyId),
            _ => text.strip_prefix("session.")?.split('.'),
        };
        let fields: Box<[Box<str>]> = fields.map(Into::into).collect();
        let is_whole = fields.iter().all(|field| !field.is_empty());
        is_whole.then_some(Self::Session(fields))
    }

    fn name(&self) -> String {
        match self {
            Self::Session(fields) => format!("session.{}", fields.join(".")),
            Self::Subject => "subject".to_owned(),
            Self::KeyId => "key_id".to_owned(),
        }
    }

    fn value<'v>(&self, known: &'v Known<'_>, data: &'v Value) -> Option<Cow<'v, str>> {
        match self {
            Self::Subject => known.subject.as_deref().map(Cow::Borrowed),
            Self::KeyId => known.key_id.map(|id| id.to_string().into()),
            Self::Session(fields) => {
                let mut fields = fields.iter();
                let value = fields.try_fold(data, |value, field| value.as_object()?.get(&**field));
                match value? {
                    Value::String(text) => Some(text.into()),
                    Value::Number(number) => Some(number.to_string().into()),
                    Value::Bool(flag) => Some(flag.to_string().into()),
                    Value::Null | Value::Array(_) | Value::Object(_) => None,
                }
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("does not begin with the name of a header and a colon".to_owned());
    }
    // Some servers do not tell marks apart.
    let folded = name.to_ascii_lowercase();
    let folded = folded.replace(|mark: char| !mark.is_ascii_alphanumeric(), "-");
    if OF_THE_MESSAGE.contains(&&*folded) {
        return Err("is about the message itself, and is for the proxy to set".to_owned());
    }
    if folded.starts_with(OF_IDENTITY) {
        return Err("is one of the headers that tell who calls, which no rule can set".to_owned());
    }
    Ok(())
}

fn parse_value(text: &str) -> Result<Box<[Part]>, String> {
    if text.is_empty() {
        return Err("has no value".to_owned());
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
        if before.contains('}') || !before.bytes().all(is_visible_or_space) {
            return Err("has a value that is not visible ASCII, or a `}` without a `{`".to_owned());
        }
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        if before.len() == rest.len() {
            break;
        }
        let source = after.split_once('}');
        let source = source.and_then(|(inner, after)| Some((Source::parse(inner)?, after)));
        let Some((source, after)) = source else {
            return Err(
                "has something else in braces than {session.FIELD}, {subject} or {key_id}"
                    .to_owned(),
            );
        };
        parts.push(Part::Of(source));
        rest = after;
    }
    Ok(parts.into())
}

/// The name of the one cookie that a value sets (RFC 6265 section 4.2.1).
fn cookie_name(value: &[Part]) -> Option<Box<str>> {
    let Some(Part::Text(first)) = value.first() else {
        return None;
    };
    let (name, begins) = first.split_once('=')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let texts = value.iter().skip(1).filter_map(|part| match part {
        Part::Text(text) => Some(&**text),
        Part::Of(_) => None,
    });
    let mut octets = texts.chain([begins]).flat_map(str::bytes);
    (!name.is_empty() && name.bytes().all(is_token) && octets.all(is_cookie_octet))
        .then(|| name.into())
}

/// What a value of a cookie is made of (RFC 6265 section 4.1.1).
const fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E)
}

const fn is_visible_or_space(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const DATA: &str = r#"{"cookie":"s3cr=t","year":3,"good":true,"none":null,"list":[1],
        "deep":{"er":"x y"},"bad":"a\r\nX-Evil: 1","semi":"a;b=c","empty":"","word":"zoë"}"#;

    fn known() -> Known<'static> {
        Known {
            subject: Some("ada".into()),
            key_id: Some(KeyId(Uuid::nil())),
            session_data: Some(DATA),
        }
    }

    fn filled(text: &str) -> Result<String, Reason> {
        let injections = [Injection::parse(text).unwrap()];
        let mut filled = fill(&injections, &known()).map_err(|denied| denied.reason)?;
        Ok(filled.remove(0).1)
    }

    #[test]
    fn values_of_who_calls_are_put_in() {
        for (text, value) in [
            ("Cookie: portal={session.cookie}", "portal=s3cr=t"),
            (
                "X-Year: year {session.year}, {session.good}",
                "year 3, true",
            ),
            ("X-Deep:{session.deep.er}", "x y"),
            ("X-User: {subject}{subject}", "adaada"),
            ("X-Key: {key_id}", "00000000-0000-0000-0000-000000000000"),
            ("X-Portal: yes", "yes"),
            ("Authorization: Bearer {session.cookie}", "Bearer s3cr=t"),
        ] {
            assert_eq!(filled(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn cookies_are_told_in_one_header() {
        let texts = ["Cookie: a={subject}", "X-A: b", "cookie: c={session.year}"];
        let injections = texts.map(|text| Injection::parse(text).unwrap());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            fill(&injections, &known()).unwrap(),
            [pair("Cookie", "a=ada; c=3"), pair("X-A", "b")]
        );
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_refused() {
        for text in [
            "X: {session.nothing}",
            "X: {session.none}",
            "X: {session.list}",
            "X: {session.deep}",
            "X: {session.cookie.deeper}",
            "X: {session.empty}",
            "X: {session.bad}",
            "X: {session.word}",
            "Cookie: a={session.semi}",
            "Cookie: a={session.deep.er}",
        ] {
            assert!(
                matches!(filled(text), Err(Reason::MissingValue(_))),
                "{text}"
            );
        }
        assert_eq!(filled("X: {session.semi}").unwrap(), "a;b=c");
        let nobody = Known::default();
        for text in ["X: {subject}", "X: {key_id}", "X: {session.cookie}"] {
            let injections = [Injection::parse(text).unwrap()];
            assert!(fill(&injections, &nobody).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_header_or_not_for_a_rule_is_refused() {
        for (text, says) in [
            ("X-User", "is not a header"),
            (": x", "the name of a header"),
            ("X User: x", "the name of a header"),
            ("Host: x", "for the proxy"),
            ("content-length: 1", "for the proxy"),
            ("Transfer_Encoding: chunked", "for the proxy"),
            ("Connection: close", "for the proxy"),
            ("X-Auth-Subject: x", "who calls"),
            ("x_auth_kind: x", "who calls"),
            ("X:", "has no value"),
            ("X: {user}", "something else in braces"),
            ("X: {session.}", "something else in braces"),
            ("X: {session}", "something else in braces"),
            ("X: {session.a..b}", "something else in braces"),
            ("X: {subject", "something else in braces"),
            ("X: a}b", "without a `{`"),
            ("X: a\nb", "visible ASCII"),
            ("X: ö", "visible ASCII"),
            ("Cookie: {session.cookie}", "is not one cookie"),
            ("Cookie: a={subject}; b=c", "is not one cookie"),
            ("Cookie: a b={subject}", "is not one cookie"),
        ] {
            let error = Injection::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_value_ends_a_header_or_a_cookie(value: String, is_cookie: bool) {
            let data = serde_json::json!({ "x": value }).to_string();
            let known = Known { session_data: Some(&data), ..Known::default() };
            let text = if is_cookie { "Cookie: a={session.x}" } else { "X: {session.x}" };
            let filled = fill(&[Injection::parse(text).unwrap()], &known);
            if let Ok(filled) = filled {
                let (_, filled) = &filled[0];
                prop_assert!(filled.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
                prop_assert!(!is_cookie || !filled.contains([';', ',', ' ', '"', '\\']));
                prop_assert!(filled.ends_with(&value));
            }
        }
    }
}
