//! A server in a temporary directory, whose clock and randomness the test decides, and requests to
//! it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use sealgate_core::authority::{Authority, Caller, Created, PasswordSettings, Settings};
use sealgate_core::clock::{Clock, ManualClock, Timestamp};
use sealgate_core::identity::IdentityProvider;
use sealgate_core::master::MasterKey;
use sealgate_core::password::HashingCost;
use sealgate_core::policy::{Policy, PolicyHandle, Rule, RuleDraft};
use sealgate_core::random::{Random, SeededRandom};
use sealgate_core::request::KeyRequest;
use sealgate_core::secret::Secret;
use sealgate_server::request_id::RequestIds;
use sealgate_server::serve::ClientAddress;
use sealgate_server::{App, HttpSettings, api, ext_authz};
use sealgate_store::{Sqlite, SqliteOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// When tests begin.
pub const START: Timestamp = Timestamp::from_seconds(1_700_000_000);
/// Where requests come from, unless they say otherwise.
pub const CLIENT: &str = "192.0.2.7:40000";
/// A password that any user may have.
pub const PASSWORD: &str = "correct horse battery staple";
/// A seal key, and another one.
pub const SEAL_KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";
pub const OTHER_SEAL_KEY: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server.
pub struct World {
    pub router: Router,
    /// Where Envoy asks.
    pub ext_authz: Router,
    pub authority: Arc<Authority>,
    pub policy: PolicyHandle,
    pub clock: Arc<ManualClock>,
    /// An administrator's key.
    pub admin: TestKey,
    directory: Arc<TempDir>,
    /// The next process' randomness.
    seeds: Arc<AtomicU64>,
}

/// A key whose text is known.
#[derive(Clone)]
pub struct TestKey {
    pub id: String,
    pub text: String,
    pub token: String,
}

impl From<Created> for TestKey {
    fn from(created: Created) -> Self {
        Self {
            id: created.record.id.to_string(),
            text: created.api_key.expose().to_owned(),
            token: created.grant.token.expose().to_owned(),
        }
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(settings(), HttpSettings::default()).await
    }

    pub async fn with_http(http: HttpSettings) -> Self {
        Self::with(settings(), http).await
    }

    pub async fn with(settings: Settings, http: HttpSettings) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::at(START));
        let seeds = Arc::new(AtomicU64::new(7));
        Box::pin(Self::start(directory, clock, settings, http, seeds, None)).await
    }

    /// A server whose users come from a directory outside.
    pub async fn with_directory(users: Arc<dyn IdentityProvider>) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::at(START));
        let seeds = Arc::new(AtomicU64::new(7));
        let http = HttpSettings::default();
        let users = Some(users);
        Box::pin(Self::start(
            directory,
            clock,
            settings(),
            http,
            seeds,
            users,
        ))
        .await
    }

    /// Another process on the same store.
    pub async fn second(&self) -> Self {
        let (directory, seeds) = (Arc::clone(&self.directory), Arc::clone(&self.seeds));
        let (clock, http) = (self.clock.clone(), HttpSettings::default());
        Box::pin(Self::start(directory, clock, settings(), http, seeds, None)).await
    }

    async fn start(
        directory: Arc<TempDir>,
        clock: Arc<ManualClock>,
        settings: Settings,
        http: HttpSettings,
        seeds: Arc<AtomicU64>,
        users: Option<Arc<dyn IdentityProvider>>,
    ) -> Self {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        let master = MasterKey::new(Secret::new([0x5A; 32]));
        let options = SqliteOptions {
            path: directory.path().join("sealgate.db"),
            create: true,
        };
        let as_clock: Arc<dyn Clock> = clock.clone();
        let store = Sqlite::open(options, &master, random.clone(), as_clock.clone());
        let store = Arc::new(store.await.unwrap());
        let authority = Authority::new(store, as_clock.clone(), random.clone(), &master, settings);
        let authority = match users {
            Some(users) => authority.with_directory(users),
            None => authority,
        };
        authority.start().await.unwrap();
        authority.load_keys().await.unwrap();
        let authority = Arc::new(authority);
        let policy = PolicyHandle::default();
        let app = App {
            authority: authority.clone(),
            http,
            request_ids: RequestIds::new(random, as_clock),
            policy: policy.clone(),
        };
        let admin = KeyRequest {
            name: "admin".to_owned(),
            permissions: Some("*".to_owned()),
            is_admin: true,
            ..KeyRequest::default()
        };
        let admin = authority.create(admin, &Caller::command_line("test")).await;
        Self {
            ext_authz: ext_authz::router(&api(app.clone())),
            router: sealgate_server::router(app),
            authority,
            policy,
            clock,
            admin: admin.unwrap().into(),
            directory,
            seeds,
        }
    }

    /// Puts rules in force.
    pub fn rule(&self, rules: &[RuleDraft]) {
        let rules = rules.iter().map(|draft| Rule::new(draft).unwrap());
        let environment = self.authority.settings().environment;
        self.policy
            .replace(Policy::new(environment, rules.collect()).unwrap());
    }

    /// A key with these permissions.
    pub async fn key(&self, permissions: &str) -> TestKey {
        self.key_of(KeyRequest {
            permissions: Some(permissions.to_owned()),
            ..KeyRequest::default()
        })
        .await
    }

    /// A key with a name, and what else is asked for.
    pub async fn key_of(&self, request: KeyRequest) -> TestKey {
        let name = "test".to_owned();
        let request = KeyRequest { name, ..request };
        let caller = Caller::command_line("test");
        self.authority
            .create(request, &caller)
            .await
            .unwrap()
            .into()
    }

    /// A user of the embedded directory.
    pub async fn user(&self, name: &str, password: &str) {
        let request = json!({"username": name, "password": password});
        let request = serde_json::from_value(request).unwrap();
        let caller = Caller::command_line("test");
        self.authority.create_user(request, &caller).await.unwrap();
    }

    /// A session token of a user whose password is [`PASSWORD`].
    pub async fn session(&self, name: &str, seal_key: Option<&str>) -> String {
        let call = log_in(name, PASSWORD);
        let call = match seal_key {
            Some(key) => call.seal_key(key),
            None => call,
        };
        token_of(&call.send(self).await)
    }

    /// The reasons of all refusals in the audit log, newest first.
    pub async fn refusals(&self) -> Vec<String> {
        let events = self.events().await;
        let refused = events.into_iter().filter(|event| {
            event["action"] == "request.refused" || event["action"] == "login.failed"
        });
        refused
            .map(|event| event["details"]["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The whole audit log, newest first.
    pub async fn events(&self) -> Vec<Value> {
        self.authority.write_last_refusals().await.unwrap();
        let page = self.authority.logs(None, None, Some(1_000)).await.unwrap();
        page.events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap())
            .collect()
    }

    /// What the store holds, for "nothing has changed".
    pub async fn keys(&self) -> Value {
        let answer = get("/api/auth/keys?limit=1000")
            .key(&self.admin.text)
            .send(self)
            .await;
        answer.json()
    }
}

/// Settings under which hashing a password costs next to nothing.
pub fn settings() -> Settings {
    Settings {
        passwords: PasswordSettings {
            cost: HashingCost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            ..PasswordSettings::default()
        },
        ..Settings::default()
    }
}

/// A request on its way.
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
    address: SocketAddr,
}

pub fn get(path: &str) -> Call {
    call("GET", path)
}

pub fn post(path: &str) -> Call {
    call("POST", path)
}

pub fn patch(path: &str) -> Call {
    call("PATCH", path)
}

pub fn call(method: &str, path: &str) -> Call {
    Call {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Body::empty(),
        address: CLIENT.parse().unwrap(),
    }
}

pub fn delete(path: &str) -> Call {
    call("DELETE", path)
}

/// A login.
pub fn log_in(name: &str, password: &str) -> Call {
    post("/api/auth/login").json(&json!({"username": name, "password": password}))
}

/// The session token in an answer to a login.
#[track_caller]
pub fn token_of(answer: &Answer) -> String {
    let body = answer.ok();
    body["data"]["token"].as_str().unwrap().to_owned()
}

impl Call {
    pub fn key(self, text: &str) -> Self {
        self.header("X-API-Key", text)
    }

    pub fn seal_key(self, text: &str) -> Self {
        self.header("x-gomaluum-key", text)
    }

    pub fn token(self, text: &str) -> Self {
        self.header("Authorization", format!("Bearer {text}"))
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.json_text(body.to_string())
    }

    pub fn json_text(self, body: impl Into<Bytes>) -> Self {
        self.header("Content-Type", "application/json")
            .body(body.into())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub fn from(mut self, address: &str) -> Self {
        self.address = format!("{address}:40000").parse().unwrap();
        self
    }

    pub async fn send(self, world: &World) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(self.body).unwrap();
        request.extensions_mut().insert(ClientAddress(self.address));
        let response = world.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        self.json()
    }

    /// That it is the error envelope, with this status and slug; gives the message.
    #[track_caller]
    pub fn error(&self, status: u16, slug: &str) -> String {
        let body = self.json();
        let fields: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            ["error", "message", "request_id", "status_code"],
            "{body}"
        );
        assert_eq!(
            (self.status.as_u16(), body["error"].as_str()),
            (status, Some(slug)),
            "{body}"
        );
        assert_eq!(body["status_code"], json!(status));
        assert_eq!(
            self.headers["x-request-id"],
            *body["request_id"].as_str().unwrap()
        );
        assert_eq!(self.headers["content-type"], "application/json");
        body["message"].as_str().unwrap().to_owned()
    }

    /// Header lines and body, without what belongs to this one request.
    pub fn without_id(&self) -> (Vec<(String, String)>, Value) {
        let mut body = self.json();
        body.as_object_mut().unwrap().remove("request_id");
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-request-id");
        let headers = headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        (headers, body)
    }
}
