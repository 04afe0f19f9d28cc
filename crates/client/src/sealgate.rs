//! Where Sealgate is, and how requests get there.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::error::{Error, chain};
use crate::tls;

/// Longest head of an answer that is read, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Connections that are kept for the next request. More are opened when more requests wait.
const IDLE_CONNECTIONS: usize = 32;
/// For how long they are kept: for less than Sealgate does, so that it is not the one to close them.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How to reach Sealgate.
#[derive(Clone, Debug)]
pub struct SealgateOptions {
    /// The longest that one question may take, from the connection to the answer's end.
    pub timeout: Duration,
    /// Certificates to trust, in PEM, in place of those that the operating system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether `http://` may lead to another machine than this one. Keys and tokens then travel in the
    /// clear, and whoever sits in between can bring back what was revoked.
    pub allow_plaintext: bool,
}

impl Default for SealgateOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            ca_file: None,
            allow_plaintext: false,
        }
    }
}

/// A Sealgate server, and the connections to it. Clones share the connections.
#[derive(Clone)]
pub struct Sealgate(Arc<Inner>);

struct Inner {
    base: String,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Sealgate {
    /// Takes the address, such as `https://auth.example.com`; nothing is asked yet.
    ///
    /// Redirections are not followed, and no proxy of the environment is used: a credential goes where
    /// this address says.
    ///
    /// # Errors
    /// [`Error::Option`] if the address or an option cannot be used.
    pub fn new(url: &str, options: &SealgateOptions) -> Result<Self, Error> {
        let uri = parse_url(url, options.allow_plaintext).map_err(Error::Option)?;
        if options.timeout.is_zero() {
            let message = "an answer needs some time: the timeout is 0";
            return Err(Error::Option(message.to_owned()));
        }
        let client = client(&uri, options).map_err(Error::Option)?;
        Ok(Self(Arc::new(Inner {
            base: shown(&uri),
            timeout: options.timeout,
            client,
        })))
    }

    /// The longest that one question may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Asks. An answer of whatever status is an answer; one that is longer than `limit` bytes is not.
    ///
    /// A connection that was kept may have been closed at the other end meanwhile, so that what fails on
    /// one is tried a second time. Nothing that is asked here does harm when it is asked twice.
    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let Inner { timeout: limit, .. } = &*self.0;
        timeout(*limit, self.ask_twice(question))
            .await
            .map_err(|_| Error::Unreachable(format!("no answer within {limit:?}")))?
    }

    async fn ask_twice(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let client = &self.0.client;
        let response = match client.request(self.request(question)?).await {
            Err(error) if !error.is_connect() => client.request(self.request(question)?).await,
            first => first,
        };
        let response = response.map_err(|error| Error::Unreachable(chain(&error)))?;
        read(response, question.limit).await
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Full<Bytes>>, Error> {
        let uri = format!("{}{}", self.0.base, question.path);
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(uri)
            .body(Full::default())
            .map_err(|error| Error::Option(format!("the address cannot be used: {error}")))?;
        *request.headers_mut() = question.headers.clone();
        let ours = HeaderValue::from_static("sealgate-client");
        request.headers_mut().entry(USER_AGENT).or_insert(ours);
        Ok(request)
    }
}

impl fmt::Debug for Sealgate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealgate").field(&self.0.base).finish()
    }
}

/// A request to Sealgate. None that this crate makes has a body.
pub(crate) struct Question<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: HeaderMap,
    /// The longest answer that is taken, in bytes.
    pub limit: usize,
}

/// An answer as it came.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<Answer, Error> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Error::Answer(format!("it is longer than {limit} bytes"))
        } else {
            Error::Unreachable(chain(error.as_ref()))
        }
    })?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

fn parse_url(text: &str, allow_plaintext: bool) -> Result<Uri, String> {
    // The text is not shown: there may be a password in it.
    let url: Uri = text
        .parse()
        .map_err(|error| format!("the address of Sealgate cannot be read: {error}"))?;
    let host = url.host().unwrap_or_default();
    if !matches!(url.scheme_str(), Some("https" | "http")) {
        return Err("the address of Sealgate begins with neither https:// nor http://".to_owned());
    }
    if host.is_empty() {
        return Err("the address of Sealgate has no host in it".to_owned());
    }
    if url.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("the address of Sealgate has a user name or password in it".to_owned());
    }
    if url.query().is_some() {
        return Err("the address of Sealgate has a query in it".to_owned());
    }
    if is_plain(&url) && !is_loopback(host) && !allow_plaintext {
        return Err(format!(
            "credentials would travel to {host} in the clear: use https://, or set allow_plaintext"
        ));
    }
    Ok(url)
}

/// The address without a slash at its end, so that paths can follow.
fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}{}", url.path().trim_end_matches('/'))
}

fn is_plain(url: &Uri) -> bool {
    url.scheme_str() == Some("http")
}

/// Whether a host's name is this machine's own: what goes there crosses no network.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn client(
    url: &Uri,
    options: &SealgateOptions,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let mut tcp = HttpConnector::new();
    // The scheme is the next connector's matter.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.timeout));
    let builder = HttpsConnectorBuilder::new();
    let connector = if is_plain(url) {
        // No TLS will be spoken, so a system without certificates is no reason to fail.
        builder.with_tls_config(tls::trusting_nobody()?)
    } else {
        builder.with_tls_config(tls::client_config(options.ca_file.as_deref())?)
    };
    let connector = connector.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http1_max_buf_size(MAX_HEAD)
        .build(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        match Sealgate::new(url, &SealgateOptions::default()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_told() {
        for (url, told) in [
            ("", "cannot be read"),
            ("auth.example.com", "neither https:// nor http://"),
            ("ftp://auth.example.com", "neither https:// nor http://"),
            (
                "https://user:hunter2@auth.example.com",
                "a user name or password",
            ),
            ("https://auth.example.com/?key=hunter2", "a query"),
            ("http://auth.example.com", "in the clear"),
            ("http://192.0.2.1:8080", "in the clear"),
        ] {
            assert!(error(url).contains(told), "{url}: {}", error(url));
            assert!(!error(url).contains("hunter2"), "{}", error(url));
        }
    }

    #[test]
    fn plaintext_stays_on_this_machine_unless_it_may_leave() {
        for url in [
            "http://localhost:8080",
            "http://127.0.0.1/",
            "http://[::1]:80",
        ] {
            assert_eq!(error(url), "");
        }
        let options = SealgateOptions {
            allow_plaintext: true,
            ..SealgateOptions::default()
        };
        assert!(Sealgate::new("http://auth.internal", &options).is_ok());
    }

    #[test]
    fn paths_follow_the_address() {
        for (url, base) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("http://localhost/auth/", "http://localhost/auth"),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), base);
        }
    }

    #[test]
    fn debug_shows_the_address_alone() {
        let sealgate = Sealgate::new("http://localhost:8080", &SealgateOptions::default());
        assert_eq!(
            format!("{:?}", sealgate.unwrap()),
            r#"Sealgate("http://localhost:8080")"#
        );
    }
}
