//! The gateway: a reverse proxy in front of a service. What the [gate](crate::gate) lets through goes
//! on to the service, and the service's answer comes back.
//!
//! - [`Gateway`]: the service, as the operator's settings describe it
//! - [`forward`]: one request's way there and back
//! - [`form`]: requests whose form makes them unfit to be passed on
//! - [`headers`]: what the service is told, and what it is not
//! - [`cookie`]: the crumbs that HTTP/2 makes of `Cookie`
//! - [`upload`]: the body of a request, on its way to the service
//! - [`upstream`]: the connections to the service, and what goes wrong with them
//! - [`own`]: which paths are Sealgate's

mod cookie;
mod form;
mod forward;
mod headers;
mod own;
mod upload;
mod upstream;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use tokio_rustls::rustls::ClientConfig;

pub(crate) use self::forward::{Forwarder, Forwarding};
use self::upstream::Upstream;
pub(crate) use self::upstream::note_broken_answer;

/// What the operator decided about the gateway.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The service.
    pub upstream: UpstreamUrl,
    /// Whether the service is told the host that the client asked for, and not its own.
    pub preserve_host: bool,
    /// How long it may take to connect to the service.
    pub connect_timeout: Duration,
    /// How long the service may take until its answer begins.
    pub response_timeout: Duration,
    /// Whether the service gets the credential too.
    pub keep_credentials: bool,
    /// How to speak TLS with the service.
    pub tls: ClientConfig,
}

/// A service behind a gateway.
#[derive(Clone)]
pub struct Gateway {
    upstream: Arc<Upstream>,
    keep_credentials: bool,
    url: UpstreamUrl,
}

impl Gateway {
    /// A gateway in front of a service. Nothing is sent before there is a request.
    #[must_use]
    pub fn new(settings: GatewaySettings) -> Self {
        Self {
            keep_credentials: settings.keep_credentials,
            url: settings.upstream.clone(),
            upstream: Arc::new(Upstream::new(settings)),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("upstream", &self.url)
            .field("keep_credentials", &self.keep_credentials)
            .finish_non_exhaustive()
    }
}

/// Where a service is: `http://HOST:PORT` or `https://HOST:PORT`, without a path, since it gets the
/// paths that the policy saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    scheme: Scheme,
    authority: Authority,
}

impl UpstreamUrl {
    /// The host, without the brackets around an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl FromStr for UpstreamUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = || text.escape_default().to_string();
        let uri: Option<Uri> = text.parse().ok();
        let parts = uri.map(Uri::into_parts).unwrap_or_default();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            let shown = shown();
            return Err(format!(
                "`{shown}` is not a URL such as http://127.0.0.1:3000"
            ));
        };
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let has_path = parts.path_and_query.is_some_and(|path| path != "/") || text.contains('#');
        let has_right_port = authority.port_u16().is_some() == names_port(authority.as_str());
        if !is_http || authority.host().is_empty() || !has_right_port {
            let shown = shown();
            Err(format!(
                "`{shown}` is not a URL such as http://127.0.0.1:3000"
            ))
        } else if authority.as_str().contains('@') {
            // What stands before an @ may be a password.
            Err("it must not have a user name or a password in it".to_owned())
        } else if has_path {
            let shown = shown();
            Err(format!(
                "`{shown}` has a path: the service gets the paths that clients ask for"
            ))
        } else {
            Ok(Self { scheme, authority })
        }
    }
}

/// Whether a port is written, right or wrong.
fn names_port(authority: &str) -> bool {
    let after_address = authority.rsplit(']').next().unwrap_or(authority);
    after_address.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_by_scheme_host_and_port_alone() {
        for (text, host, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000),
            ("http://127.0.0.1:3000/", "127.0.0.1", 3000),
            ("http://[::1]:3000", "::1", 3000),
            ("https://app.internal", "app.internal", 443),
            ("http://app.internal", "app.internal", 80),
        ] {
            let url: UpstreamUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port()), (host, port));
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "127.0.0.1:3000",
            "/app",
            "http://",
            "ftp://127.0.0.1",
            "unix:/run/app.sock",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:",
            "http://127.0.0.1:3000/app",
            "http://127.0.0.1:3000/?a=b",
            "http://127.0.0.1:3000#a",
            "http://user:password@127.0.0.1:3000",
        ] {
            let complaint = text.parse::<UpstreamUrl>().unwrap_err();
            assert!(!complaint.contains("password@"), "{complaint}");
        }
    }
}
