//! The first thing that happens to a request: what is known of it before anybody looks at its
//! credential is put together as its [`Arrival`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use ipnet::IpNet;
use sealgate_core::audit::Origin;

use super::account::Unanswered;
use crate::app::Server;
use crate::request_id::RequestId;
use crate::route::Route;
use crate::serve::ClientAddress;

/// The header in which proxies tell for whom they ask.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The header that tells the client the request's identifier.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is known of a request before anybody looks at its credential.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The request's identifier; one that the client sent along is not believed.
    pub id: RequestId,
    /// The client's address.
    pub address: IpAddr,
    /// The route's name.
    pub route: Arc<Route>,
    method: Method,
    uri: Uri,
    user_agent: Option<HeaderValue>,
    is_sending: AtomicBool,
}

impl Arrival {
    /// Puts together what a request says.
    pub fn new(id: RequestId, route: Arc<Route>, request: &Request, trusted: &[IpNet]) -> Self {
        let peer = request.extensions().get::<ClientAddress>();
        // Nothing but a test lacks the peer's address; no allow-list that names somebody has this.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        Self {
            id,
            address: client_address(peer, request.headers(), trusted),
            route,
            method: request.method().clone(),
            uri: request.uri().clone(),
            user_agent: request.headers().get(USER_AGENT).cloned(),
            is_sending: AtomicBool::new(false),
        }
    }

    /// The request as the audit log wants it.
    pub fn origin(&self) -> Origin {
        self.unanswered().origin()
    }

    /// The request as one that met a problem.
    pub fn unanswered(&self) -> Unanswered<'_> {
        Unanswered {
            request_id: self.id,
            address: self.address,
            route: &self.route.name,
            method: self.method.as_str(),
            path: self.uri.path(),
            user_agent: self.user_agent.as_ref(),
        }
    }

    /// Notes whether the client has yet to send of its body.
    pub fn set_sending(&self, is_sending: bool) {
        self.is_sending.store(is_sending, Ordering::Relaxed);
    }

    /// Whether the client has yet to send of its body.
    pub fn is_sending(&self) -> bool {
        self.is_sending.load(Ordering::Relaxed)
    }
}

/// Gives the request its [`Arrival`], and the answer the request's identifier.
pub(crate) async fn arrive(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = server.request_ids.next();
    let matched = request.extensions().get::<MatchedPath>();
    let route = server.routes.find(request.method(), matched);
    let arrival = Arrival::new(id, route, &request, &server.http.trusted_proxies);
    request.extensions_mut().insert(Arc::new(arrival));
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id.into());
    response
}

/// The client's address: the peer's, unless the peer is a trusted proxy. Then it is the right-most
/// entry of `X-Forwarded-For` that is no trusted proxy: what stands left of it, anybody could have
/// written. An entry that is no address ends the search, and the proxy that sent it is the client.
pub(crate) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    while is_trusted(client) {
        match entries.next().and_then(|entry| parse_address(entry.trim())) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// An address, with a port or without.
fn parse_address(entry: &str) -> Option<IpAddr> {
    let address = entry
        .parse()
        .or_else(|_| entry.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_header_of_a_stranger_is_not_believed() {
        assert_eq!(client("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn behind_a_trusted_proxy_the_client_is_the_right_most_stranger() {
        assert_eq!(client("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6, 192.0.2.1, 10.0.0.2"]),
            "192.0.2.1"
        );
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6", "192.0.2.1", "10.0.0.2"]),
            "192.0.2.1"
        );
        assert_eq!(
            client("2001:db8::1", &["[2001:db9::7]:4711"]),
            "2001:db9::7"
        );
        assert_eq!(
            client("::ffff:10.0.0.1", &["::ffff:192.0.2.1"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_proxy_that_sent_it() {
        assert_eq!(client("10.0.0.1", &["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(
            client("10.0.0.1", &["192.0.2.1, nonsense, 10.0.0.2"]),
            "10.0.0.2"
        );
        assert_eq!(client("10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_is_not_believed_where_a_proxy_added_its_address(
            written in vec("[ -~]{0,40}|((10|192)\\.0\\.[0-9]\\.[0-9]{1,3},? ?){0,4}", 0..3),
            on_a_line_of_its_own: bool,
        ) {
            let mut lines = written.clone();
            match lines.last_mut() {
                Some(last) if !on_a_line_of_its_own => last.push_str(", 198.51.100.7"),
                _ => lines.push("198.51.100.7".to_owned()),
            }
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(client("10.0.0.1", &lines), "198.51.100.7");
        }

        #[test]
        fn a_client_is_the_peer_or_an_address_that_was_named(
            entries in vec("[0-9a-f:.\\[\\] ]{0,24}|10\\.0\\.0\\.[0-9]{1,3}(:[0-9]{1,5})?", 0..5),
        ) {
            let found = client("10.0.0.1", &[&entries.join(",")]);
            let named = entries.iter().filter_map(|entry| parse_address(entry.trim()));
            let mut known = named.chain(["10.0.0.1".parse().unwrap()]);
            prop_assert!(known.any(|address| address.to_string() == found), "{}", found);
        }
    }
}
