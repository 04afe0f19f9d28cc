//! A login over HTTP: user name and password are posted to an URL, and the answer is who that is.

mod answer;
mod cookies;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sealgate_core::identity::{IdentityProvider, NotIdentified, UserData};
use sealgate_core::secret::SecretText;
use zeroize::Zeroizing;

use self::answer::{Answer, Rules};
use crate::{chain, is_loopback, tls, unavailable};

/// Longest body of an answer that is read, in bytes. Who a user is takes far less.
const MAX_ANSWER: usize = 64 * 1024;

/// Longest head of an answer that is read, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Connections that are kept for the next login, and for how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Where and how to ask.
#[derive(Clone)]
pub struct HttpOptions {
    /// `https://` or `http://`, without a user name or password in it.
    pub url: String,
    /// How user name and password are written.
    pub format: Format,
    /// The name of the field with the user name.
    pub username_field: String,
    /// The name of the field with the password.
    pub password_field: String,
    /// The statuses, of 200 to 399, that mean a user is who they say. 200 to 299 if there are none
    /// here. A portal of forms may say so with a redirection: 302 or 303. It is not followed.
    pub success: Option<Vec<u16>>,
    /// The cookie that a login sets and nothing else does. Where there is one, an answer without it
    /// is a refusal, whatever its status. An answer that is not JSON needs one, unless it is empty
    /// with a status of 200 to 299: a portal answers a wrong password with a page too, and often
    /// with the same status and a cookie of its own.
    pub success_cookie: Option<String>,
    /// The longest a login may take, from the connection to the answer's end.
    pub timeout: Duration,
    /// Certificates to trust, in PEM, in place of those that the operating system trusts.
    pub ca_file: Option<PathBuf>,
}

/// How user name and password are written in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`: an object with two texts.
    Json,
    /// `application/x-www-form-urlencoded`, as a form in a page is sent.
    Form,
}

/// A login somewhere else, by HTTP.
///
/// Statuses 400, 401, 403, 404 and 422 refuse a user; so does the JSON `false` or `null`. What is
/// neither that nor a success means that the login cannot be used. Who a user is, is the answer's
/// JSON: an object as it is, anything else as `{"answer": …}`. The cookies that the answer sets are
/// added as `cookies`, and the user name as `username` where the answer has none.
///
/// Redirections are not followed, and no proxy of the environment is used: a password goes where
/// the settings say.
pub struct HttpUpstream {
    url: Uri,
    format: Format,
    username_field: String,
    password_field: String,
    timeout: Duration,
    rules: Rules,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpUpstream {
    /// Takes the options; nothing is asked yet.
    ///
    /// # Errors
    /// Says which option cannot be used.
    pub fn new(options: HttpOptions) -> Result<Self, String> {
        let url = parse_url(&options.url)?;
        if options.username_field.is_empty() || options.password_field.is_empty() {
            return Err("username_field and password_field need a name each".to_owned());
        }
        if options.username_field == options.password_field {
            return Err("username_field and password_field are the same".to_owned());
        }
        if options.timeout.is_zero() {
            return Err("a login needs some time: the timeout is 0".to_owned());
        }
        let rules = Rules::new(options.success, options.success_cookie)?;
        let client = client(&url, options.ca_file.as_deref())?;
        Ok(Self {
            url,
            format: options.format,
            username_field: options.username_field,
            password_field: options.password_field,
            timeout: options.timeout,
            rules,
            client,
        })
    }

    /// Whether passwords cross a network unencrypted.
    pub fn is_plaintext(&self) -> bool {
        is_plain(&self.url) && !self.url.host().is_some_and(is_loopback)
    }

    async fn ask(&self, username: &str, password: &SecretText) -> Result<Answer, NotIdentified> {
        let request = self.request(username, password)?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| unavailable(chain(&error)))?;
        read(response).await
    }

    fn request(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<Request<Full<Bytes>>, NotIdentified> {
        let fields = [
            (self.username_field.as_str(), username),
            (self.password_field.as_str(), password.expose()),
        ];
        Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, self.format.content_type())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "sealgate")
            .body(Full::new(Bytes::from_owner(self.format.write(fields))))
            .map_err(|error| unavailable(chain(&error)))
    }
}

#[async_trait]
impl IdentityProvider for HttpUpstream {
    async fn identify(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<UserData, NotIdentified> {
        let answer = tokio::time::timeout(self.timeout, self.ask(username, password))
            .await
            .map_err(|_| unavailable(format!("no answer within {:?}", self.timeout)))??;
        self.rules.judge(&answer, username)
    }

    fn describe(&self) -> String {
        format!("a login over HTTP at {}", shown(&self.url))
    }
}

impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUpstream")
            .field("url", &shown(&self.url))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("format", &self.format)
            .field("timeout", &self.timeout)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

impl Format {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }

    /// The request's body. It has the password in it, so it is wiped once it is sent.
    fn write(self, fields: [(&str, &str); 2]) -> Zeroizing<Vec<u8>> {
        // As much as two fields take if each of their bytes is escaped: a buffer that grows would
        // leave copies behind.
        let room = fields.iter().map(|(name, value)| name.len() + value.len());
        let room = 6 * room.sum::<usize>() + 16;
        match self {
            Self::Json => {
                let mut body = Zeroizing::new(Vec::with_capacity(room));
                let fields = BTreeMap::from(fields);
                serde_json::to_writer(&mut *body, &fields).expect("texts are JSON");
                body
            }
            Self::Form => {
                let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
                form.extend_pairs(fields);
                Zeroizing::new(form.finish().into_bytes())
            }
        }
    }
}

fn parse_url(text: &str) -> Result<Uri, String> {
    // The text is not shown: there may be a password in it.
    let url: Uri = text
        .parse()
        .map_err(|error| format!("the URL of the login cannot be read: {error}"))?;
    if !matches!(url.scheme_str(), Some("https" | "http")) {
        return Err("the URL of the login begins with neither https:// nor http://".to_owned());
    }
    if url.host().is_none_or(str::is_empty) {
        return Err("the URL of the login has no host in it".to_owned());
    }
    if url.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("the URL of the login has a user name or password in it".to_owned());
    }
    Ok(url)
}

/// An URL without its query, where services like to have their keys.
fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}{}", url.path())
}

fn is_plain(url: &Uri) -> bool {
    url.scheme_str() == Some("http")
}

fn client(
    url: &Uri,
    ca_file: Option<&Path>,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let mut tcp = HttpConnector::new();
    // The scheme is the next connector's matter.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new();
    let connector = if is_plain(url) {
        // No TLS will be spoken, so a system without certificates is no reason to fail.
        builder.with_tls_config(tls::trusting_nobody()?)
    } else {
        builder.with_tls_config(tls::client_config(ca_file)?)
    };
    let connector = connector.https_or_http().enable_http1().wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http1_max_buf_size(MAX_HEAD)
        .build(connector))
}

async fn read(response: Response<Incoming>) -> Result<Answer, NotIdentified> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                unavailable(format!("the answer is longer than {MAX_ANSWER} bytes"))
            } else {
                unavailable(chain(error.as_ref()))
            }
        })?
        .to_bytes();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> HttpOptions {
        HttpOptions {
            url: url.to_owned(),
            format: Format::Json,
            username_field: "username".to_owned(),
            password_field: "password".to_owned(),
            success: None,
            success_cookie: None,
            timeout: Duration::from_secs(5),
            ca_file: None,
        }
    }

    fn refused(options: HttpOptions) -> String {
        HttpUpstream::new(options).unwrap_err()
    }

    #[test]
    fn an_url_that_cannot_be_used_is_told_without_its_password() {
        for url in [
            "",
            "/login",
            "localhost",
            "ftp://localhost/hunter2",
            "https://ada:hunter2@localhost/",
            "http://ada hunter2@localhost/",
        ] {
            let error = refused(options(url));
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_two_fields_have_names_and_not_the_same() {
        for (username, password) in [("", "password"), ("username", ""), ("it", "it")] {
            let error = refused(HttpOptions {
                username_field: username.to_owned(),
                password_field: password.to_owned(),
                ..options("http://localhost/")
            });
            assert!(error.contains("username_field"), "{error}");
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        let options = options("http://login.example/in?key=hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
        let upstream = HttpUpstream::new(options).unwrap();
        assert_eq!(
            upstream.describe(),
            "a login over HTTP at http://login.example/in"
        );
        assert!(!format!("{upstream:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_in_the_clear_on_a_network_is_known() {
        let plain = |url| HttpUpstream::new(options(url)).unwrap().is_plaintext();
        assert!(plain("http://login.example/"));
        assert!(!plain("http://localhost:8080/"));
        assert!(!plain("http://[::1]/"));
    }

    #[test]
    fn fields_are_escaped_as_their_format_asks() {
        let fields = [("name", "a&b=\"c\""), ("word", "\u{1}ä +")];
        let body = |format: Format| String::from_utf8(format.write(fields).to_vec()).unwrap();
        assert_eq!(
            body(Format::Json),
            r#"{"name":"a&b=\"c\"","word":"\u0001ä +"}"#
        );
        assert_eq!(
            body(Format::Form),
            "name=a%26b%3D%22c%22&word=%01%C3%A4+%2B"
        );
    }
}
