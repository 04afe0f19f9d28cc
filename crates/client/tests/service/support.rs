//! A Sealgate server that can be stopped, started again and interfered with, a service that is protected by
//! the client, and requests to both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::any;
use sealgate_client::{
    Clock, Identity, Mode, Moment, Sealgate, SealgateOptions, SessionOptions, Verifier,
    VerifierOptions, VerifyLayer,
};
use sealgate_core::authority::{Authority, Caller, Created, PasswordSettings, Settings};
use sealgate_core::clock::{Clock as _, ManualClock, SystemClock, Timestamp};
use sealgate_core::master::MasterKey;
use sealgate_core::password::HashingCost;
use sealgate_core::random::{Random, SeededRandom};
use sealgate_core::request::KeyRequest;
use sealgate_core::secret::Secret;
use sealgate_server::request_id::RequestIds;
use sealgate_server::serve::{ServeOptions, Tls, serve};
use sealgate_server::{App, HttpSettings, upkeep};
use sealgate_store::{Sqlite, SqliteOptions};
use sealgate_token::jwt::Algorithm;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::http::Call;
use crate::wire::Wire;

/// When tests begin.
const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
/// A password that any user may have.
const PASSWORD: &str = "correct horse battery staple";
/// A seal key, and another one.
pub const SEAL_KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";
pub const OTHER_SEAL_KEY: &str = "0123456789abcdef0123456789abcdef01234567";
/// The longest that anything here takes, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a server leaves behind when it is stopped.
pub struct Home {
    directory: TempDir,
    pub clock: Arc<ManualClock>,
    /// Each process has a randomness of its own.
    seeds: AtomicU64,
    pub wire: Arc<Wire>,
    /// The certificate, if it is to speak TLS.
    pub tls: Option<Tls>,
}

/// A server that runs.
pub struct Server {
    pub home: Home,
    pub authority: Arc<Authority>,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
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

/// Settings under which tokens can be verified here, and hashing a password costs next to nothing.
pub fn settings(algorithm: Algorithm) -> Settings {
    Settings {
        algorithm,
        passwords: PasswordSettings {
            cost: HashingCost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            ..PasswordSettings::default()
        },
        // The clock of the tests jumps.
        max_staleness_millis: 86_400_000,
        ..Settings::default()
    }
}

impl Home {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(START)),
            seeds: AtomicU64::new(7),
            wire: Arc::default(),
            tls: None,
        }
    }

    /// Starts a server, again on the port of the one before, where there was one.
    pub async fn start(self, settings: Settings, port: u16) -> Server {
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        let master = MasterKey::new(Secret::new([0x5A; 32]));
        let options = SqliteOptions {
            path: self.directory.path().join("sealgate.db"),
            create: true,
        };
        let clock: Arc<dyn sealgate_core::clock::Clock> = self.clock.clone();
        let store = Sqlite::open(options, &master, random.clone(), clock.clone());
        let store = Arc::new(store.await.unwrap());
        let authority = Authority::new(store, clock.clone(), random.clone(), &master, settings);
        authority.start().await.unwrap();
        authority.load_keys().await.unwrap();
        let authority = Arc::new(authority);
        let app = App {
            policy: sealgate_core::policy::PolicyHandle::default(),
            authority: Arc::clone(&authority),
            http: HttpSettings {
                trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
                ..HttpSettings::default()
            },
            request_ids: RequestIds::new(random, clock),
        };
        let router = sealgate_server::router(app);
        let router = self.wire.around(router);
        let listener = bind(port).await;
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let options = ServeOptions {
            drain_timeout: Duration::from_secs(1),
            tls: self.tls.clone(),
            ..ServeOptions::default()
        };
        let running = run(authority.clone(), router, listener, options, stopped);
        Server {
            running: tokio::spawn(running),
            home: self,
            authority,
            address,
            stop,
        }
    }
}

/// As the program does it.
async fn run(
    authority: Arc<Authority>,
    router: Router,
    listener: TcpListener,
    options: ServeOptions,
    stopped: oneshot::Receiver<()>,
) {
    let (served, was_served) = oneshot::channel::<()>();
    let chores = upkeep::run(Arc::clone(&authority), async {
        let _ = was_served.await;
    });
    let chores = tokio::spawn(chores);
    let shutdown = async {
        let _ = stopped.await;
    };
    serve(listener, router, options, shutdown).await.unwrap();
    drop(served);
    chores.await.unwrap();
    authority.store().close().await;
}

/// The port of a server that was stopped may be held by its last connections for a moment.
async fn bind(port: u16) -> TcpListener {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("the port is free", || async move {
        TcpListener::bind(address).await.ok()
    })
    .await
}

/// A server by the time of day, for who has no clock to be told by.
pub async fn real_time(settings: Settings) -> Server {
    let home = Home::new();
    let now = SystemClock.now().as_millis();
    home.clock.advance_millis(now - START.as_millis());
    Box::pin(home.start(settings, 0)).await
}

impl Server {
    /// A new one.
    pub async fn start(settings: Settings) -> Self {
        Box::pin(Home::new().start(settings, 0)).await
    }

    /// Stops it; what it leaves can be started again.
    pub async fn stop(self) -> (Home, u16) {
        let Self {
            home,
            authority,
            address,
            stop,
            running,
        } = self;
        let _ = stop.send(());
        timeout(PATIENCE, running).await.unwrap().unwrap();
        drop(authority);
        (home, address.port())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How the client reaches it.
    pub fn sealgate(&self) -> Sealgate {
        Sealgate::new(&self.url(), &SealgateOptions::default()).unwrap()
    }

    /// The client's clock, which is the server's.
    pub fn clock(&self) -> Arc<SharedClock> {
        Arc::new(SharedClock(self.home.clock.clone()))
    }

    pub fn wire(&self) -> &Wire {
        &self.home.wire
    }

    /// A verifier that has fetched what it needs.
    pub async fn verifier(&self, mode: Mode) -> Verifier {
        self.verifier_with(VerifierOptions { mode, ..options() })
            .await
    }

    pub async fn verifier_with(&self, options: VerifierOptions) -> Verifier {
        let verifier = Verifier::start_with_clock(self.sealgate(), options, self.clock());
        let verifier = verifier.unwrap();
        timeout(PATIENCE, verifier.ready()).await.expect("ready");
        verifier
    }

    /// A service whose requests are verified.
    pub async fn service(&self, mode: Mode) -> Service {
        Service::protected(self.verifier(mode).await).await
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
        let created = self.authority.create(request, &caller()).await;
        created.unwrap().into()
    }

    pub async fn revoke(&self, key: &TestKey) {
        let revoked = self.authority.revoke(&key.id, None, &caller()).await;
        revoked.unwrap();
    }

    /// Ends a token, or a session, as its holder does.
    pub async fn log_out(&self, token: &str) {
        let answer = self.post("/api/auth/logout").token(token).send().await;
        answer.ok();
    }

    /// A session token of a new user.
    pub async fn session(&self, name: &str, seal_key: Option<&str>) -> String {
        let user = json!({"username": name, "password": PASSWORD});
        let request = serde_json::from_value(user.clone()).unwrap();
        let made = self.authority.create_user(request, &caller()).await;
        made.unwrap();
        self.log_in(name, seal_key).await
    }

    /// A session token.
    pub async fn log_in(&self, name: &str, seal_key: Option<&str>) -> String {
        let call = self.post("/api/auth/login").json(&json!({
            "username": name, "password": PASSWORD
        }));
        let call = match seal_key {
            Some(key) => call.seal_key(key),
            None => call,
        };
        let body = call.send().await.ok();
        body["data"]["token"].as_str().unwrap().to_owned()
    }

    pub fn post(&self, path: &str) -> Call {
        Call::new(self.address, "POST", path)
    }
}

pub fn caller() -> Caller {
    Caller::command_line("test")
}

/// As the server is set.
pub fn options() -> VerifierOptions {
    VerifierOptions {
        sessions: Some(SessionOptions {
            audience: "gomaluum".to_owned(),
            issuer: "gomaluum".to_owned(),
        }),
        ..VerifierOptions::default()
    }
}

/// One clock for both ends.
pub struct SharedClock(Arc<ManualClock>);

impl Clock for SharedClock {
    fn now(&self) -> Moment {
        let millis = self.0.now().as_millis();
        Moment {
            unix_millis: millis,
            uptime: Duration::from_millis(u64::try_from(millis).unwrap()),
        }
    }
}

/// A service that the client protects.
pub struct Service {
    pub address: SocketAddr,
    running: JoinHandle<()>,
}

impl Service {
    /// One that tells everybody who they are.
    pub async fn protected(verifier: Verifier) -> Self {
        Self::start(tells_who_calls(VerifyLayer::new(verifier))).await
    }

    pub async fn start(router: Router) -> Self {
        let listener = bind(0).await;
        let address = listener.local_addr().unwrap();
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let running = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, running }
    }

    pub fn get(&self, path: &str) -> Call {
        Call::new(self.address, "GET", path)
    }

    pub fn post(&self, path: &str) -> Call {
        Call::new(self.address, "POST", path)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A service that says what it knows of its caller.
pub fn tells_who_calls(layer: VerifyLayer) -> Router {
    let tell = |identity: Option<Identity>| async move {
        let told = identity.map(|identity| {
            json!({
                "kind": identity.kind.as_str(),
                "key_id": identity.key_id,
                "subject": identity.subject,
                "permissions": identity.permissions,
                "environment": identity.environment,
                "expires_at": identity.expires_at,
                "user_data": identity.user_data.as_deref(),
            })
        });
        axum::Json(told)
    };
    Router::new().fallback(any(tell)).layer(layer)
}

/// Waits for something that is on its way.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let waited = timeout(PATIENCE, async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A service of any kind, which answers as it is told to.
pub async fn answers(
    answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Service {
    let handler = move || {
        let answer = answer();
        async move { answer }
    };
    Service::start(Router::new().fallback(any(handler))).await
}
