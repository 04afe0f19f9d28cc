//! A secret in any place of a request, right or wrong, comes out neither in an answer nor in a log
//! line nor in an audit record.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Call, World, call, get, patch, post};

/// What was logged, by whatever test: a subscriber of one thread alone could miss lines, because
/// whether a line is wanted at all is decided once, for all threads.
static LOGGED: LazyLock<Lines> = LazyLock::new(|| {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    lines
});

/// Lines in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A secret in every place a request has.
fn planted(admin: &str, id: &str, secret: &str) -> Vec<Call> {
    let with = |field: &str| json!({"name": "a", field: secret});
    let of = |path: &str| path.replace("{id}", id);
    vec![
        get("/api/encrypt").key(secret),
        get("/api/encrypt").token(secret),
        get("/api/encrypt").header("Authorization", secret),
        get("/api/encrypt").key(secret).key(secret),
        get("/api/encrypt").header("User-Agent", secret).key(secret),
        get("/api/encrypt").header("X-Request-Id", secret),
        get("/api/encrypt").header("X-Forwarded-For", secret),
        get(&format!("/{secret}")),
        get(&format!("/api/encrypt?token={secret}")),
        get(&format!("/api/auth/keys/{secret}")).key(admin),
        get(&format!("/api/auth/keys?{secret}=1")).key(admin),
        get(&format!("/api/auth/keys?limit={secret}")).key(admin),
        get(&format!("/api/auth/keys?status={secret}")).key(admin),
        get(&format!("/api/auth/keys?cursor={secret}")).key(admin),
        get(&format!("/api/auth/keys?q={secret}")).key(admin),
        call(&secret[..8], "/api/encrypt"),
        post("/api/auth/keys").key(admin).json(&json!(secret)),
        post("/api/auth/keys").key(admin).json(&json!({secret: 1})),
        post("/api/auth/keys")
            .key(admin)
            .json_text(secret.to_owned()),
        post("/api/auth/keys").key(admin).json(&with("name")),
        post("/api/auth/keys").key(admin).json(&with("description")),
        post("/api/auth/keys").key(admin).json(&with("permissions")),
        post("/api/auth/keys").key(admin).json(&with("environment")),
        post("/api/auth/keys").key(admin).json(&with("rate_limit")),
        post("/api/auth/keys").key(admin).json(&with("api_key")),
        post("/api/auth/keys")
            .key(admin)
            .json(&json!({"name": "a", "allowed_ips": [secret]})),
        post("/api/auth/keys")
            .key(admin)
            .header("Content-Type", secret)
            .body(secret.to_owned()),
        patch(&of("/api/auth/keys/{id}"))
            .key(admin)
            .json(&json!({"expires_at": secret})),
        post(&of("/api/auth/keys/{id}/revoke"))
            .key(admin)
            .json(&json!({"reason": secret})),
        post(&of("/api/auth/keys/{id}/rotate"))
            .key(admin)
            .json(&json!({"grace_seconds": secret})),
        post("/api/decrypt")
            .key(admin)
            .json(&json!({"ciphertext": secret})),
        post("/api/encrypt")
            .key(admin)
            .json(&json!({"plaintext": secret, "more": secret})),
    ]
}

#[tokio::test]
async fn a_secret_in_any_place_comes_out_nowhere() {
    LazyLock::force(&LOGGED);
    let world = World::new().await;
    let key = world.key("api:read").await;
    let revoked = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}/revoke", revoked.id);
    post(&path).key(&world.admin.text).send(&world).await.ok();

    for secret in [&key.text, &key.token, &revoked.text, &revoked.token] {
        let tail = &secret[secret.len() - 20..];
        for (place, request) in planted(&world.admin.text, &key.id, secret)
            .into_iter()
            .enumerate()
        {
            let answer = request.send(&world).await;
            assert!(answer.status.as_u16() < 500, "{place}: {}", answer.text());
            assert!(!answer.text().contains(tail), "{place}: {}", answer.text());
            for value in answer.headers.values() {
                assert!(
                    !String::from_utf8_lossy(value.as_bytes()).contains(tail),
                    "{place}"
                );
            }
        }
        let events = json!(world.events().await).to_string();
        assert!(!events.contains(tail), "{events}");
        let logged = LOGGED.text();
        assert!(logged.contains("refused"), "something was logged: {logged}");
        let leak = logged.lines().find(|line| line.contains(tail));
        assert_eq!(leak, None);
    }
    // The key that was in all those places is as it was.
    post("/api/auth/token")
        .key(&key.text)
        .send(&world)
        .await
        .ok();
}

#[tokio::test]
async fn a_panic_leaves_a_log_line_without_its_payload() {
    LazyLock::force(&LOGGED);
    let world = World::with_http(sealgate_server::HttpSettings {
        metrics: Arc::new(|| panic!("hunter2")),
        ..sealgate_server::HttpSettings::default()
    })
    .await;
    let answer = get("/metrics").send(&world).await;
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let logged = LOGGED.text();
    let line = logged
        .lines()
        .find(|line| line.contains("a handler panicked"))
        .unwrap();
    assert!(line.contains(id), "{line}");
    assert!(!logged.contains("hunter2"));
}

#[tokio::test]
async fn metrics_are_labelled_with_routes_and_reasons_and_nothing_a_client_made_up() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _measuring = metrics::set_default_local_recorder(&recorder);
    let world = World::new().await;
    get(&format!("/api/auth/keys/{}", world.admin.id))
        .key(&world.admin.text)
        .send(&world)
        .await;
    call("MADEUP", "/hunter2").send(&world).await;
    call("MADEUP", "/healthz").send(&world).await;
    get("/api/encrypt").key("hunter2").send(&world).await;
    let text = recorder.handle().render();
    for series in [
        r#"sealgate_requests_total{method="GET",route="/api/auth/keys/{id}",status="200"} 1"#,
        r#"sealgate_requests_total{method="other",route="unmatched",status="404"} 1"#,
        r#"sealgate_requests_total{method="other",route="/healthz",status="405"} 1"#,
        r#"sealgate_requests_total{method="GET",route="/api/encrypt",status="401"} 1"#,
        r#"sealgate_refusals_total{reason="malformed_credential"} 1"#,
        r#"sealgate_request_duration_seconds_count{method="GET",route="/api/encrypt"} 1"#,
    ] {
        assert!(text.contains(series), "{series} is not in {text}");
    }
    for made_up in ["hunter2", "MADEUP", &world.admin.id] {
        assert!(!text.contains(made_up), "{text}");
    }
}
