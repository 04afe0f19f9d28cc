//! Logins and sessions as nobody should send them.

use sealgate_core::authority::Settings;
use serde_json::json;

use crate::support::{PASSWORD, SEAL_KEY, World, call, get, log_in, post, settings};

/// What is wrong with the body of a login, and how the message begins.
fn bad_logins() -> Vec<(Vec<u8>, &'static str)> {
    let login = |name: serde_json::Value, password: serde_json::Value| {
        json!({"username": name, "password": password}).to_string()
    };
    let bytes = |text: &[u8]| text.to_vec();
    vec![
        (bytes(b""), "body: a JSON object is expected"),
        (bytes(b"null"), "body: a JSON object is expected"),
        (bytes(b"[\"ada\",\"x\"]"), "body: a JSON object is expected"),
        (bytes(b"{}"), "username: is missing"),
        (bytes(b"{\"username\":\"ada\"}"), "password: is missing"),
        (bytes(b"{\"password\":\"hunter2\"}"), "username: is missing"),
        (
            bytes(b"{\"username\":\"ada\",\"username\":\"eve\",\"password\":\"hunter2\"}"),
            "username: is there more than once",
        ),
        (
            bytes(b"{\"username\":\"ada\",\"password\":\"hunter2\",\"password\":\"hunter3\"}"),
            "password: is there more than once",
        ),
        (
            bytes(b"{\"username\":\"ada\",\"password\":\"hunter2\xff\"}"),
            "password: ",
        ),
        (
            login(json!("ada"), json!(["hunter2"])).into(),
            "password: expected a string",
        ),
        (
            login(json!({"$ne": null}), json!("hunter2")).into(),
            "username: expected a string",
        ),
        (
            login(json!(7), json!("hunter2")).into(),
            "username: expected a string",
        ),
        (
            login(json!("ada"), json!(null)).into(),
            "password: expected a string",
        ),
        (
            login(json!(""), json!("hunter2")).into(),
            "username: it has 1 to 256",
        ),
        (
            login(json!("ada"), json!("")).into(),
            "password: it has 1 to 256",
        ),
        (
            login(json!("a".repeat(257)), json!("hunter2")).into(),
            "username: it has 1 to 256",
        ),
        (
            login(json!("ada"), json!("hunter2".repeat(37))).into(),
            "password: it has 1 to 256",
        ),
        (
            login(json!("ada\u{0}"), json!("hunter2")).into(),
            "username: it has no control characters",
        ),
        (
            login(json!("ada\r\n"), json!("hunter2")).into(),
            "username: it has no control characters",
        ),
    ]
}

#[tokio::test]
async fn a_bad_login_is_refused_naming_the_field_and_is_no_attempt() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    for (body, message) in bad_logins() {
        let answer = post("/api/auth/login").json_text(body).send(&world).await;
        let told = answer.error(400, "invalid_request");
        assert!(told.starts_with(message), "{told}");
        assert!(!answer.text().contains("hunter2"), "{told}");
    }
    let wrong_type = post("/api/auth/login")
        .header("Content-Type", "text/plain")
        .body("{}");
    wrong_type
        .send(&world)
        .await
        .error(415, "unsupported_media_type");
    let long = post("/api/auth/login").json_text(vec![b' '; 65_537]);
    long.send(&world).await.error(413, "payload_too_large");
    // None of them was an attempt that counts.
    log_in("ada", PASSWORD).send(&world).await.ok();
}

#[tokio::test]
async fn any_password_may_be_tried() {
    let world = World::new().await;
    for password in [
        "x",
        "\u{0}",
        "\u{202e}\n",
        &"x".repeat(256),
        &"é".repeat(128),
    ] {
        let answer = log_in("ada", password).send(&world).await;
        answer.error(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_malformed_seal_key_is_refused_wherever_one_is_taken() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", None).await;
    let long = "a".repeat(9_000);
    for key in ["", " ", "x", "gml_1_zz", "a.b", "caf\u{e9}", &long] {
        for request in [
            log_in("ada", PASSWORD),
            get("/api/profile").token(&token),
            post("/api/auth/token/renew").token(&token),
            post("/api/auth/logout").token(&token),
            get("/api/auth/logout").token(&token),
        ] {
            let answer = request.seal_key(key).send(&world).await;
            assert_eq!(answer.error(401, "invalid_api_key"), "Invalid API key");
            assert_eq!(
                answer.headers["www-authenticate"],
                r#"ApiKey realm="sealgate", header="x-gomaluum-key""#
            );
            assert_eq!(world.refusals().await[0], "malformed_seal_key", "{key}");
        }
    }
    get("/api/profile").token(&token).send(&world).await.ok();
}

#[tokio::test]
async fn a_header_that_is_there_twice_is_refused() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", Some(SEAL_KEY)).await;
    for (method, path) in [
        ("GET", "/api/profile"),
        ("POST", "/api/auth/token/renew"),
        ("POST", "/api/auth/logout"),
        ("POST", "/api/auth/login"),
    ] {
        let once = || call(method, path).token(&token).seal_key(SEAL_KEY);
        for (request, slug) in [
            (once().token(&token), "invalid_token"),
            (once().seal_key(SEAL_KEY), "invalid_api_key"),
            (once().key("a").key("a"), "invalid_api_key"),
        ] {
            request.send(&world).await.error(401, slug);
            assert_eq!(world.refusals().await[0], "duplicate_credential", "{path}");
        }
    }
}

#[tokio::test]
async fn a_bad_key_is_refused_though_the_session_is_good() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", None).await;
    let requests = || {
        [
            get("/api/profile").token(&token),
            post("/api/auth/token/renew").token(&token),
            log_in("ada", PASSWORD),
            post("/api/auth/logout").token(&token),
        ]
    };
    let revoked = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}/revoke", revoked.id);
    post(&path).key(&world.admin.text).send(&world).await.ok();
    for key in ["nonsense", &revoked.text] {
        for request in requests() {
            let answer = request.key(key).send(&world).await;
            answer.error(401, "invalid_api_key");
        }
    }
    let good = world.key("api:read").await;
    for request in requests() {
        request.key(&good.text).send(&world).await.ok();
    }
}

#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let key = world.key("*").await;
    let token = world.session("ada", None).await;
    let local = token.replacen("v4.public.", "v4.local.", 1);
    let old = token.replacen("v4.public.", "v2.public.", 1);
    let cut = &token[..token.len() - 1];
    let long = format!("v4.public.{}", "a".repeat(8_200));
    let candidates = [
        "v4.public.",
        "v4.public.a",
        cut,
        &local,
        &old,
        &long,
        &key.token,
        "x",
    ];
    for bad in candidates {
        let answer = get("/api/profile").token(bad).send(&world).await;
        assert_eq!(
            answer.error(401, "invalid_token"),
            "Invalid or expired token",
            "{bad}"
        );
        if bad != key.token {
            for path in ["/api/auth/token/renew", "/api/auth/logout"] {
                let answer = post(path).token(bad).send(&world).await;
                answer.error(401, "invalid_token");
            }
        }
    }
    let basic = get("/api/profile").header("Authorization", "Basic YTpi");
    basic.send(&world).await.error(401, "invalid_token");
}

#[tokio::test]
async fn every_served_request_of_a_session_is_recorded_where_the_settings_want_it() {
    let settings = Settings {
        audit_all_requests: true,
        ..settings()
    };
    let world = World::with(settings, sealgate_server::HttpSettings::default()).await;
    world.user("ada", PASSWORD).await;
    let token = world.session("ada", Some(SEAL_KEY)).await;
    let profile = get("/api/profile").token(&token).seal_key(SEAL_KEY);
    profile.send(&world).await.ok();
    let event = &world.events().await[0];
    assert_eq!(event["action"], "request.served");
    assert_eq!(event["actor"], "user:ada");
    assert_eq!(event["path"], "/api/profile");
}
