//! Asking Sealgate about a request, as a reverse proxy does: `/api/auth/verify`.

use axum::extract::{ConnectInfo, OriginalUri};
use http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::net::SocketAddr;

use crate::credential::API_KEY;
use crate::error::Error;
use crate::identity::{Identity, Kind};
use crate::refusal::{Cause, Outage, Refusal};
use crate::sealgate::{Answer, Question, Sealgate};

const VERIFY: &str = "/api/auth/verify";
/// Longest answer that is read, in bytes. It has no body.
const MAX_ANSWER: usize = 64 * 1024;

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What stands in an identity header that has nothing to say.
const NOTHING: &str = "-";

/// The headers of an answer that are passed on to who may not go on for now.
const LIMIT_HEADERS: [HeaderName; 6] = [
    RETRY_AFTER,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
];

/// The headers in which the server tells who calls: its settings `[identity_headers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// `key`, `token` or `session`.
    pub kind: HeaderName,
    /// The managed key's identifier.
    pub key_id: HeaderName,
    /// The key's identifier, or the user's name.
    pub subject: HeaderName,
    /// What the caller may do.
    pub permissions: HeaderName,
    /// The server's environment.
    pub environment: HeaderName,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            kind: HeaderName::from_static("x-auth-kind"),
            key_id: HeaderName::from_static("x-auth-key-id"),
            subject: HeaderName::from_static("x-auth-subject"),
            permissions: HeaderName::from_static("x-auth-permissions"),
            environment: HeaderName::from_static("x-auth-environment"),
        }
    }
}

/// Asks about a request.
pub(super) async fn ask(
    sealgate: &Sealgate,
    seal_key_header: &HeaderName,
    names: &IdentityHeaders,
    parts: &Parts,
) -> Result<Identity, Refusal> {
    let question = Question {
        method: Method::GET,
        path: VERIFY,
        headers: told_of(parts, seal_key_header),
        limit: MAX_ANSWER,
    };
    let answer = sealgate.ask(&question).await.map_err(Outage::from)?;
    judge(&answer, names)
}

/// What the server is told: the credentials, and what is asked for with them.
fn told_of(parts: &Parts, seal_key_header: &HeaderName) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [&AUTHORIZATION, &API_KEY, seal_key_header] {
        for value in parts.headers.get_all(name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
    if let Some(agent) = parts.headers.get(USER_AGENT) {
        headers.insert(USER_AGENT, agent.clone());
    }
    let method = HeaderValue::from_str(parts.method.as_str());
    headers.extend(method.ok().map(|method| (METHOD, method)));
    // Inside of a nested router the request's own path is short of its beginning. Without the query:
    // nothing is decided by it, and clients put things there that are nobody else's business.
    let original = parts.extensions.get::<OriginalUri>();
    let uri = original.map_or(&parts.uri, |OriginalUri(uri)| uri);
    let path = HeaderValue::from_str(uri.path());
    headers.extend(path.ok().map(|path| (URI, path)));
    tell_address(&mut headers, parts);
    headers
}

/// Tells the client's address, after those that proxies before us told. Who did not connect with us
/// could have written all of it, so that nothing is told unless the peer is known.
fn tell_address(headers: &mut HeaderMap, parts: &Parts) {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let Some(ConnectInfo(peer)) = peer else {
        return;
    };
    for value in parts.headers.get_all(&FORWARDED_FOR) {
        headers.append(FORWARDED_FOR, value.clone());
    }
    if let Ok(value) = HeaderValue::from_str(&peer.ip().to_canonical().to_string()) {
        headers.append(FORWARDED_FOR, value);
    }
}

/// What an answer means.
fn judge(answer: &Answer, names: &IdentityHeaders) -> Result<Identity, Refusal> {
    match answer.status {
        StatusCode::OK => identity(&answer.headers, names).map_err(|what| {
            let message = format!("it says yes, and not who calls: {what}");
            Outage::Server(Error::Answer(message)).into()
        }),
        StatusCode::UNAUTHORIZED => Err(Cause::Server.into()),
        StatusCode::FORBIDDEN => Err(Refusal::Forbidden),
        StatusCode::BAD_REQUEST => Err(Refusal::Ambiguous),
        StatusCode::TOO_MANY_REQUESTS => {
            let headers = LIMIT_HEADERS.into_iter().filter_map(|name| {
                let value = answer.headers.get(&name)?.clone();
                Some((name, value))
            });
            let headers = Box::new(headers.collect());
            Err(Refusal::TooManyRequests { headers })
        }
        status => {
            let message = format!("{VERIFY} has status {}", status.as_u16());
            Err(Outage::Server(Error::Answer(message)).into())
        }
    }
}

/// Reads the headers of a yes. Whoever answers 200 to everything, as a login page in between would, does
/// not know them.
fn identity(headers: &HeaderMap, names: &IdentityHeaders) -> Result<Identity, &'static str> {
    let text = |name: &HeaderName, what| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().map_err(|_| what),
            _ => Err(what),
        }
    };
    let kind = match text(&names.kind, "the kind")? {
        "key" => Kind::Key,
        "token" => Kind::Token,
        "session" => Kind::Session,
        _ => return Err("the kind"),
    };
    let key_id = match text(&names.key_id, "the key's identifier")? {
        NOTHING => None,
        id => Some(id.parse().map_err(|_| "the key's identifier")?),
    };
    let subject = unescaped(text(&names.subject, "the subject")?).ok_or("the subject")?;
    let permissions = match text(&names.permissions, "the permissions")? {
        NOTHING => "",
        permissions => permissions,
    };
    let environment = match text(&names.environment, "the environment")? {
        NOTHING => None,
        environment => Some(environment.to_owned()),
    };
    Ok(Identity {
        key_id,
        permissions: permissions.to_owned(),
        environment,
        ..Identity::of(kind, subject)
    })
}

/// A name as it was before it was percent-encoded (RFC 3986 section 2.1).
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        if *first == b'%' {
            let [high, low, after @ ..] = after else {
                return None;
            };
            bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let pairs = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: pairs.collect(),
            body: bytes::Bytes::new(),
        }
    }

    const GOOD: [(&str, &str); 5] = [
        ("x-auth-kind", "session"),
        ("x-auth-key-id", "-"),
        ("x-auth-subject", "zo%C3%AB%2C"),
        ("x-auth-permissions", "-"),
        ("x-auth-environment", "production"),
    ];

    #[test]
    fn an_identity_is_read_from_the_headers() {
        let identity = judge(&answer(200, &GOOD), &IdentityHeaders::default()).unwrap();
        assert_eq!(identity.kind, Kind::Session);
        assert_eq!(identity.subject, "zoë,");
        assert_eq!((identity.key_id, identity.permissions.as_str()), (None, ""));
        assert_eq!(identity.environment.as_deref(), Some("production"));
    }

    #[test]
    fn a_yes_without_a_whole_identity_is_an_outage() {
        let names = IdentityHeaders::default();
        for missing in 0..GOOD.len() {
            let mut headers = GOOD.to_vec();
            headers.remove(missing);
            let refused = judge(&answer(200, &headers), &names).unwrap_err();
            assert_eq!(refused.status(), 503, "{missing}");
        }
        for (index, value) in [
            (0, "anonymous"),
            (0, ""),
            (1, "7"),
            (2, ""),
            (2, "%"),
            (2, "%4"),
            (2, "%zz"),
            (2, "%FF"),
        ] {
            let mut headers = GOOD.to_vec();
            headers[index].1 = value;
            let refused = judge(&answer(200, &headers), &names).unwrap_err();
            assert_eq!(refused.status(), 503, "{value}");
        }
    }

    #[test]
    fn refusals_are_passed_on_and_everything_else_is_an_outage() {
        let names = IdentityHeaders::default();
        for (status, told) in [
            (401, 401),
            (403, 403),
            (400, 400),
            (429, 429),
            (204, 503),
            (302, 503),
            (404, 503),
            (500, 503),
            (503, 503),
        ] {
            let refused = judge(&answer(status, &GOOD), &names).unwrap_err();
            assert_eq!(refused.status(), told, "{status}");
        }
        let limited = answer(429, &[("retry-after", "7"), ("set-cookie", "a=b")]);
        let Err(Refusal::TooManyRequests { headers }) = judge(&limited, &names) else {
            panic!("not a 429");
        };
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[RETRY_AFTER], "7");
    }

    fn told(request: Request<()>) -> Vec<(String, String)> {
        let seal = HeaderName::from_static("x-gomaluum-key");
        let headers = told_of(&request.into_parts().0, &seal);
        let pairs = headers.iter();
        pairs
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn the_server_is_told_the_credentials_the_method_and_the_path_and_nothing_else() {
        let request = Request::builder()
            .method("POST")
            .uri("/orders?secret=1")
            .header("Authorization", "Bearer t")
            .header("X-API-Key", "k")
            .header("X-Gomaluum-Key", "s")
            .header("Cookie", "a=b")
            .header("X-Forwarded-Method", "GET")
            .header("X-Original-Method", "GET")
            .header("X-Forwarded-For", "6.6.6.6")
            .body(())
            .unwrap();
        let mut told = told(request);
        told.sort();
        let expected = [
            ("authorization", "Bearer t"),
            ("x-api-key", "k"),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/orders"),
            ("x-gomaluum-key", "s"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn the_whole_path_is_told_and_the_address_of_a_known_peer() {
        let peer: SocketAddr = "[::ffff:192.0.2.7]:40000".parse().unwrap();
        let request = Request::builder()
            .uri("/orders")
            .extension(OriginalUri("/api/orders?x=1".parse().unwrap()))
            .extension(ConnectInfo(peer))
            .header("X-Forwarded-For", "6.6.6.6")
            .body(())
            .unwrap();
        let told = told(request);
        let uri = told.iter().find(|(name, _)| name == "x-forwarded-uri");
        assert_eq!(uri.unwrap().1, "/api/orders");
        let addresses = told.iter().filter(|(name, _)| name == "x-forwarded-for");
        let addresses: Vec<_> = addresses.map(|(_, value)| value.as_str()).collect();
        assert_eq!(addresses, ["6.6.6.6", "192.0.2.7"]);
    }
}
