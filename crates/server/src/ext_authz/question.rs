//! What Envoy tells of a request, read for the gate.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::ext_authz::v3::pb::{Address, CheckRequest};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use http::header::{COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use super::ROUTE;
use crate::app::Server;
use crate::error::Problem;
use crate::gate::Asked;
use crate::layer::arrival::{FORWARDED_FOR, client_address};

/// A request that Envoy asks about.
pub(super) struct Question<'a> {
    pub method: Method,
    /// The path without the query; none if Envoy did not tell it.
    path: Option<&'a str>,
    /// Those headers that count here.
    pub headers: HeaderMap,
    /// The client's address.
    pub address: IpAddr,
    http: &'a HttpRequest,
}

impl Question<'_> {
    /// As the gate wants it.
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            route: ROUTE,
            method: &self.method,
            path: self.path,
            headers: &self.headers,
            address: self.address,
        }
    }

    /// The names of the client's headers, pseudo-headers left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = lines(self.http).map(|(name, _, _)| name);
        names.filter(|name| !name.starts_with(':'))
    }
}

/// Reads questions.
pub(super) struct Reader {
    /// What credentials come in.
    credentials: [HeaderName; 3],
    trusted_proxies: Vec<IpNet>,
}

/// The other headers that count: for the client's address, for the audit log, and for rules that add a
/// cookie.
const OTHERS: [HeaderName; 3] = [FORWARDED_FOR, USER_AGENT, COOKIE];

impl Reader {
    pub fn new(server: &Server) -> Self {
        Self {
            credentials: server.gate.credential_headers(),
            trusted_proxies: server.http.trusted_proxies.clone(),
        }
    }

    /// Reads a question.
    ///
    /// # Errors
    /// If it is about no request of HTTP.
    pub fn read<'a>(&self, request: &'a CheckRequest) -> Result<Question<'a>, Problem> {
        let attributes = request.attributes.as_ref();
        let http = attributes.and_then(|it| it.request.as_ref()?.http.as_ref());
        let http =
            http.ok_or_else(|| Problem::ambiguous("attributes.request.http", "is missing"))?;
        let method = Method::from_bytes(http.method.as_bytes())
            .map_err(|_| Problem::ambiguous("method", "it is no method of HTTP"))?;
        let path = read_path(&http.path)?;
        let mut headers = HeaderMap::with_capacity(4);
        for (name, value, form) in lines(http) {
            self.read_line(name, value, form, &mut headers)?;
        }
        let address = client_address(source(request), &headers, &self.trusted_proxies);
        Ok(Question {
            method,
            path,
            headers,
            address,
            http,
        })
    }

    fn read_line(
        &self,
        name: &str,
        value: &[u8],
        form: Form,
        headers: &mut HeaderMap,
    ) -> Result<(), Problem> {
        let is_same = |known: &&HeaderName| known.as_str().eq_ignore_ascii_case(name);
        if let Some(name) = self.credentials.iter().find(is_same) {
            // No credential has a comma in it. Where Envoy joins lines, one says that there were two,
            // of which the one behind it might have believed the other.
            let parts = value.split(|byte| form == Form::Joined && *byte == b',');
            // More than two are no worse.
            for part in parts.take(2) {
                headers.append(name, header_value(name, part)?);
            }
        } else if let Some(name) = OTHERS.iter().find(is_same) {
            headers.append(name, header_value(name, value)?);
        }
        Ok(())
    }
}

/// How Envoy sends headers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Lines of one name as one, with commas between them, and as text.
    Joined,
    /// As they came (`encode_raw_headers`).
    Raw,
}

fn lines(http: &HttpRequest) -> impl Iterator<Item = (&str, &[u8], Form)> {
    let joined = http.headers.iter();
    let joined = joined.map(|(name, value)| (name.as_str(), value.as_bytes(), Form::Joined));
    let raw = http.header_map.iter().flat_map(|map| &map.headers);
    joined.chain(raw.map(|line| {
        let value = match line.raw_value.as_slice() {
            [] => line.value.as_bytes(),
            raw => raw,
        };
        (line.key.as_str(), value, Form::Raw)
    }))
}

fn header_value(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, Problem> {
    HeaderValue::from_bytes(value)
        .map_err(|_| Problem::ambiguous(name.to_string(), "it has bytes that no header can have"))
}

/// What stands before the query. A `CONNECT` has no path (RFC 9113 section 8.5).
fn read_path(target: &str) -> Result<Option<&str>, Problem> {
    if target.is_empty() {
        return Ok(None);
    }
    if !target.starts_with('/') && target != "*" {
        return Err(Problem::ambiguous(
            "path",
            "it must be a path, which begins with a slash",
        ));
    }
    Ok(target.split('?').next())
}

/// Who is at the other end of Envoy's connection, as Envoy says. Of whom it says nothing, as of a client
/// on a local socket, no allow-list that names somebody has the address.
pub(super) fn source(request: &CheckRequest) -> IpAddr {
    let told = || {
        let source = request.attributes.as_ref()?.source.as_ref()?;
        match source.address.as_ref()?.address.as_ref()? {
            Address::SocketAddress(socket) => socket.address.parse::<IpAddr>().ok(),
            _ => None,
        }
    };
    told().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| {
        address.to_canonical()
    })
}
