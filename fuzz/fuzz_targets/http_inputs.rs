//! What of a request is read before its body is: `Authorization`, `X-API-Key`, `X-Forwarded-For`,
//! the query, and the cursors in it. It goes through the whole router, to a store with keys in it.
//!
//! The input's first line is a query, and what a cursor holds; the second is `Authorization`, the
//! third `X-API-Key`, and each further one an `X-Forwarded-For`.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request, StatusCode, Uri};
use libfuzzer_sys::fuzz_target;
use sealgate_core::authority::{Authority, Caller, Settings};
use sealgate_core::clock::{Clock, ManualClock, Timestamp};
use sealgate_core::master::MasterKey;
use sealgate_core::policy::PolicyHandle;
use sealgate_core::random::{Random, SeededRandom};
use sealgate_core::request::KeyRequest;
use sealgate_core::secret::{Secret, SecretText};
use sealgate_server::request_id::RequestIds;
use sealgate_server::serve::ClientAddress;
use sealgate_server::{App, HttpSettings};
use sealgate_store::{Sqlite, SqliteOptions};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

/// Keys that a listing finds.
const KEYS: usize = 5;
/// A trusted proxy, which every request comes through.
const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (router, admin, directory) = runtime.block_on(make());
    World {
        runtime,
        router,
        admin,
        _directory: directory,
    }
});

struct World {
    runtime: Runtime,
    router: Router,
    /// An administrator's key, which no input knows.
    admin: String,
    _directory: TempDir,
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (query, token, key) = (line(), line(), line());

    let credentials = [("authorization", token), ("x-api-key", key)];
    let forwarded = lines.map(|line| ("x-forwarded-for", line));
    let headers = credentials
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
    let headers: Vec<_> = headers.chain(forwarded).collect();
    let (status, _) = ask("/api/auth/profile", &headers);
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a credential was made up");

    for path in ["/api/auth/keys", "/api/auth/keys/TcE8hG4L/logs"] {
        if let Ok(query) = std::str::from_utf8(query) {
            list(path, query);
        }
    }
    // What a cursor holds, which the fuzzer cannot reach through base64url.
    let cursor = URL_SAFE_NO_PAD.encode(query);
    list("/api/auth/keys", &format!("q=key&limit=1&cursor={cursor}"));
});

/// Fetches a page, and the one after it.
fn list(path: &str, query: &str) {
    let admin = [("x-api-key", WORLD.admin.as_bytes())];
    let (status, page) = ask(&format!("{path}?{query}"), &admin);
    if let (StatusCode::OK, Some(cursor)) = (status, page["next_cursor"].as_str()) {
        let (status, _) = ask(&format!("{path}?cursor={cursor}"), &admin);
        assert_eq!(status, StatusCode::OK, "a cursor that was told is good");
    }
}

/// Sends a request, unless it is none that HTTP could carry, and checks the answer's form.
fn ask(uri: &str, headers: &[(&'static str, &[u8])]) -> (StatusCode, Value) {
    let uri = uri.parse().unwrap_or(Uri::from_static("/api/auth/keys"));
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    request.extensions_mut().insert(ClientAddress(PROXY));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(*name, value);
        }
    }
    let World {
        runtime, router, ..
    } = &*WORLD;
    runtime.block_on(async {
        let answered = router.clone().oneshot(request).await;
        let (head, body) = answered.expect("a router answers").into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("every answer is JSON");
        assert!(!head.status.is_server_error(), "{body}");
        if head.status.is_client_error() {
            assert_eq!(body["status_code"], head.status.as_u16());
            assert!(body["error"].is_string(), "{body}");
        }
        (head.status, body)
    })
}

async fn make() -> (Router, String, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let start = Timestamp::from_seconds(1_700_000_000);
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (
        Arc::new(ManualClock::at(start)),
        Arc::new(SeededRandom::new(7)),
    );
    let master = MasterKey::new(Secret::new([0x5A; 32]));
    let options = SqliteOptions {
        path: directory.path().join("sealgate.db"),
        create: true,
    };
    let store = Sqlite::open(options, &master, random.clone(), clock.clone()).await;
    let store = Arc::new(store.expect("a store"));
    let settings = Settings::default();
    let authority = Authority::new(store, clock.clone(), random.clone(), &master, settings);
    authority.start().await.expect("a start");
    let admin = create(&authority).await;
    authority.load_keys().await.expect("the keys");
    let http = HttpSettings {
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
        ..HttpSettings::default()
    };
    let app = App {
        authority: Arc::new(authority),
        http,
        request_ids: RequestIds::new(random, clock),
        policy: PolicyHandle::default(),
    };
    (sealgate_server::router(app), admin, directory)
}

/// Makes the keys, one of which has the prefix that inputs know; gives an administrator's.
async fn create(authority: &Authority) -> String {
    let known = "TcE8hG4L.TcE8hG4LAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut last = String::new();
    for number in 0..KEYS {
        let request = KeyRequest {
            name: format!("Key {number}"),
            is_admin: number > 0,
            api_key: (number == 0).then(|| SecretText::new(known.to_owned())),
            ..KeyRequest::default()
        };
        let created = authority
            .create(request, &Caller::command_line("fuzz"))
            .await;
        created
            .expect("a key")
            .api_key
            .expose()
            .clone_into(&mut last);
    }
    last
}
