//! A secret in any place of a request, right or wrong, comes out neither in an answer nor in a log
//! line nor in an audit record.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Call, PASSWORD, World, call, get, log_in, patch, post, token_of};

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

fn form(path: &str, body: String) -> Call {
    post(path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
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
        form("/api/auth/introspect", format!("token={secret}")).key(admin),
        form("/api/auth/introspect", secret.to_owned()).key(admin),
        form("/api/auth/introspect", format!("{secret}=1&{secret}=2")).key(admin),
        form(
            "/api/auth/introspect",
            format!("token={secret}&token={secret}"),
        )
        .key(admin),
        form("/api/auth/revoke", format!("{secret}=1")).key(admin),
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

/// A secret in every place that a client of sessions has for one; with a good token and without.
fn planted_in_sessions(admin: &str, token: &str, secret: &str) -> Vec<Call> {
    let with = |field: &str| json!({"username": "eve", "password": PASSWORD, field: secret});
    let mut calls = vec![
        post("/api/key/validate").seal_key(secret),
        post("/api/key/validate").seal_key(secret).seal_key(secret),
        post("/api/key/generate").seal_key(secret),
        log_in(secret, PASSWORD),
        log_in("ada", secret),
        log_in("nobody", secret).from("203.0.113.2"),
        log_in("ada", PASSWORD).seal_key(secret).seal_key(secret),
        log_in("ada", PASSWORD).key(secret),
        post("/api/auth/login").json(&json!({"username": "ada", "password": [secret]})),
        post("/api/auth/login").json(&json!({"username": "ada", secret: 1})),
        post("/api/auth/login").json(&json!({"username": 1, "password": secret})),
        post("/api/auth/login").json_text(secret.to_owned()),
        get("/api/profile").token(secret),
        get("/api/profile").token(token).key(secret),
        get(&format!("/api/profile?key={secret}")).token(token),
        get(&format!("/api/users/{secret}")).key(admin),
        get(&format!("/api/users?q={secret}")).key(admin),
        get(&format!("/api/users?cursor={secret}")).key(admin),
        call("DELETE", &format!("/api/users/{secret}")).key(admin),
        post("/api/users/ada/password")
            .key(admin)
            .json(&json!({"password": secret, "more": secret})),
        post("/api/users/ada/password")
            .key(admin)
            .json(&json!({"password": [secret]})),
    ];
    for field in ["is_active", "email", "roles", "attributes", secret] {
        calls.push(post("/api/users").key(admin).json(&with(field)));
        calls.push(
            patch("/api/users/ada")
                .key(admin)
                .json(&json!({field: secret})),
        );
    }
    for path in ["/api/auth/introspect", "/api/auth/revoke"] {
        calls.push(form(path, secret.to_owned()).key(admin));
        calls.push(form(path, format!("token={token}&{secret}=1&{secret}=1")).key(admin));
    }
    let asked = form("/api/auth/introspect", format!("token={secret}"));
    calls.push(asked.key(admin));
    for path in ["/api/auth/token/renew", "/api/auth/logout"] {
        calls.push(post(path).token(secret));
        calls.push(post(path).token(token).key(secret));
        calls.push(post(path).token(token).seal_key(secret).seal_key(secret));
    }
    calls
}

#[tokio::test]
async fn a_password_a_seal_key_and_a_session_token_come_out_nowhere() {
    LazyLock::force(&LOGGED);
    let world = World::new().await;
    let password = "Tr0ub4dor-and-3-staples-of-the-horse-q9XkZ2";
    world.user("ada", password).await;
    let made = post("/api/key/generate").send(&world).await.ok();
    let seal_key = made["api_key"].as_str().unwrap();
    let login = || log_in("ada", password).seal_key(seal_key);
    let other_token = token_of(&login().send(&world).await);
    let managed = world.key("session:seal").await.text;

    for secret in [password, seal_key, &other_token, &managed] {
        let token = token_of(&login().send(&world).await);
        let tail = &secret[secret.len() - 12..];
        let calls = planted_in_sessions(&world.admin.text, &token, secret);
        for (place, request) in calls.into_iter().enumerate() {
            world.clock.advance_millis(60_000);
            let answer = request.send(&world).await;
            let told = answer.text();
            let is_expected = answer.status.as_u16() < 500 || told.contains("decryption_failed");
            assert!(is_expected, "{place}: {told}");
            assert!(!told.contains(tail), "{place}: {told}");
            for value in answer.headers.values() {
                let value = String::from_utf8_lossy(value.as_bytes());
                assert!(!value.contains(tail), "{place}");
            }
        }
        // The wrong key for a good token.
        let profile = get("/api/profile").token(&token);
        let answer = profile.send(&world).await;
        assert!(!answer.text().contains(tail));
        let events = json!(world.events().await).to_string();
        assert!(!events.contains(tail), "{events}");
        let logged = LOGGED.text();
        assert_eq!(logged.lines().find(|line| line.contains(tail)), None);
    }
    assert!(LOGGED.text().contains("a seal key was made"));
    // All of it was of no consequence.
    login().send(&world).await.ok();
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
