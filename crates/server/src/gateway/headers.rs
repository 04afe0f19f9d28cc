//! The headers of a request on its way to the service: what the gate says is there and believed, what
//! the client made up about itself is not.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use ipnet::IpNet;

use super::cookie;
use crate::error::Problem;
use crate::gate::{Gate, Passed, is_spelling_of};

const FORWARDED: HeaderName = http::header::FORWARDED;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Of one connection, or an answer to nobody; or read as the request that the policy did not see: another
/// method, another path, another proxy for what the service itself asks for.
const NEVER: [&str; 14] = [
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-override-url",
];

/// What a proxy says about the client, and anybody can write.
const OF_PROXIES: [&str; 24] = [
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-original-host",
    "x-real-ip",
];

/// What no client may take away by calling it a matter of the connection (RFC 9110 section 7.6.1).
const END_TO_END: [HeaderName; 5] = [HOST, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, CACHE_CONTROL];

/// What becomes of a header of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is not passed on.
    Removed,
    /// It is passed on if it is spelled as it should be.
    Kept,
    /// As [`Self::Kept`] from a trusted proxy, as [`Self::Removed`] from anybody else.
    OfProxies,
}

/// Turns the headers that came into those that go on.
#[derive(Debug)]
pub(super) struct Headers {
    /// The names that are looked at, by their length.
    watched: Vec<Vec<(HeaderName, Fate)>>,
    trusted: Vec<IpNet>,
    /// How clients reach this server.
    scheme: &'static str,
}

/// A client, as far as headers tell of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether the request may become a WebSocket.
    pub is_upgrading: bool,
}

impl Headers {
    pub fn new(gate: &Gate, keep_credentials: bool, trusted: &[IpNet], is_tls: bool) -> Self {
        let mut headers = Self {
            watched: Vec::new(),
            trusted: trusted.to_vec(),
            scheme: if is_tls { "https" } else { "http" },
        };
        let of_credentials = if keep_credentials {
            Fate::Kept
        } else {
            Fate::Removed
        };
        for name in [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING] {
            headers.watch(name, Fate::Kept);
        }
        for name in OF_PROXIES {
            headers.watch(HeaderName::from_static(name), Fate::OfProxies);
        }
        for name in gate.credential_headers() {
            headers.watch(name, of_credentials);
        }
        for name in NEVER {
            headers.watch(HeaderName::from_static(name), Fate::Removed);
        }
        for name in gate.identity_headers().names() {
            headers.watch(name.clone(), Fate::Removed);
        }
        headers
    }

    fn watch(&mut self, name: HeaderName, fate: Fate) {
        let length = name.as_str().len();
        if self.watched.len() <= length {
            self.watched.resize_with(length + 1, Vec::new);
        }
        self.watched[length].push((name, fate));
    }

    /// Rewrites the headers of a request that may go through. The host is checked.
    pub fn rewrite(
        &self,
        request: &mut Parts,
        sender: Sender,
        gate: &Gate,
        passed: &Passed,
    ) -> Result<(), Problem> {
        let headers = &mut request.headers;
        let is_trusted = self
            .trusted
            .iter()
            .any(|network| network.contains(&sender.peer));
        self.remove(headers, is_trusted);
        remove_nominated(headers);
        cookie::join(headers, request.version);
        passed.remove_forged(headers);
        self.tell_of_client(headers, request.version, sender.peer);
        gate.write_identity(passed, headers)?;
        for (name, value) in passed.injected(headers) {
            headers.insert(name, value);
        }
        if sender.is_upgrading {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        Ok(())
    }

    /// Removes what the client may not say.
    fn remove(&self, headers: &mut HeaderMap, is_trusted: bool) {
        let unwelcome = |name: &&HeaderName| self.is_unwelcome(name, is_trusted);
        let names: Vec<HeaderName> = headers.keys().filter(unwelcome).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }

    fn is_unwelcome(&self, name: &HeaderName, is_trusted: bool) -> bool {
        let watched = self.watched.get(name.as_str().len());
        let mut watched = watched.map_or([].as_slice(), Vec::as_slice).iter();
        watched.any(|(known, fate)| {
            is_spelling_of(name.as_str(), known.as_str())
                && match fate {
                    Fate::Removed => true,
                    Fate::Kept => name != known,
                    Fate::OfProxies => !is_trusted || name != known,
                }
        })
    }

    /// Says who is at the other end of the connection, after what trusted proxies have said.
    fn tell_of_client(&self, headers: &mut HeaderMap, version: Version, peer: IpAddr) {
        let peer = peer.to_canonical();
        let mut address = String::with_capacity(48);
        let _ = write!(address, "{peer}");
        append(headers, &FORWARDED_FOR, &address);

        let node = match peer {
            IpAddr::V4(_) => address,
            // RFC 7239 section 6.1.
            IpAddr::V6(_) => format!("\"[{address}]\""),
        };
        let host = headers.get(HOST).cloned();
        let mut element = format!("for={node};proto={}", self.scheme);
        if let Some(host) = host.as_ref().and_then(|host| host.to_str().ok()) {
            let _ = write!(element, ";host=\"{host}\"");
        }
        append(headers, &FORWARDED, &element);

        if let Some(host) = host {
            headers.entry(FORWARDED_HOST).or_insert(host);
        }
        let scheme = HeaderValue::from_static(self.scheme);
        headers.entry(FORWARDED_PROTO).or_insert(scheme);
        append(headers, &VIA, via(version));
    }
}

/// Removes what the client calls a matter of the connection. The names go too: the one who passes the
/// request on would take what the gate has said for such a matter.
fn remove_nominated(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// How this server is named where messages tell of their way (RFC 9110 section 7.6.3).
const fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0 sealgate",
        Version::HTTP_10 => "1.0 sealgate",
        _ => "1.1 sealgate",
    }
}

/// Adds to a list of values, on one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    let line = if headers.contains_key(name) {
        let mut line = Vec::new();
        for said in headers.get_all(name) {
            line.extend_from_slice(said.as_bytes());
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(value.as_bytes());
        HeaderValue::from_bytes(&line)
    } else {
        HeaderValue::from_str(value)
    };
    // Parts of headers, an address and a checked host are fit for one.
    if let Ok(line) = line {
        headers.insert(name, line);
    }
}
