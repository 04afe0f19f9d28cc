//! Logins and sessions as nobody should send them.

use sealgate_core::authority::Settings;
use serde_json::json;

use crate::support::{PASSWORD, SEAL_KEY, World, call, get, log_in, post, settings};

/// Bodies that are no login, and how the message about each begins.
fn misshapen_logins() -> Vec<(Vec<u8>, &'static str)> {
    let expected = "body: a JSON object is expected";
    let texts: [(&[u8], _); 9] = [
        (b"", expected),
        (b"null", expected),
        (br#"["ada","x"]"#, expected),
        (b"{}", "username: is missing"),
        (br#"{"username":"ada"}"#, "password: is missing"),
        (br#"{"password":"hunter2"}"#, "username: is missing"),
        (
            br#"{"username":"ada","username":"eve","password":"hunter2"}"#,
            "username: is there more than once",
        ),
        (
            br#"{"username":"ada","password":"hunter2","password":"hunter3"}"#,
            "password: is there more than once",
        ),
        (
            b"{\"username\":\"ada\",\"password\":\"hunter2\xff\"}",
            "password: ",
        ),
    ];
    texts.map(|(body, begins)| (body.to_vec(), begins)).into()
}

/// Logins with a name or a password that cannot be one, and how the message about each begins.
fn unfit_logins() -> Vec<(Vec<u8>, &'static str)> {
    let (name, password) = (json!("ada"), json!("hunter2"));
    let long = json!("a".repeat(257));
    [
        (&name, json!(["hunter2"]), "password: expected a string"),
        (
            &json!({"$ne": null}),
            password.clone(),
            "username: expected a string",
        ),
        (&json!(7), password.clone(), "username: expected a string"),
        (&name, json!(null), "password: expected a string"),
        (
            &json!(""),
            password.clone(),
            "username: it must have 1 to 256 bytes",
        ),
        (&name, json!(""), "password: it must have 1 to 256 bytes"),
        (
            &long,
            password.clone(),
            "username: it must have 1 to 256 bytes",
        ),
        (
            &name,
            json!("hunter2".repeat(37)),
            "password: it must have 1 to 256 bytes",
        ),
        (
            &json!("ada\u{0}"),
            password.clone(),
            "username: it must have no control characters",
        ),
        (
            &json!("ada\r\n"),
            password,
            "username: it must have no control characters",
        ),
    ]
    .map(|(name, password, begins)| {
        let body = json!({"username": name, "password": password});
        (body.to_string().into(), begins)
    })
    .into()
}

#[tokio::test]
async fn a_bad_login_is_refused_naming_the_field_and_is_no_attempt() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    for (body, message) in misshapen_logins().into_iter().chain(unfit_logins()) {
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
async fn a_seal_key_alone_is_no_session() {
    let world = World::new().await;
    let managed = world.key("session:seal").await;
    for key in [SEAL_KEY, &managed.text] {
        let answer = get("/api/profile").seal_key(key).send(&world).await;
        assert_eq!(
            answer.error(401, "missing_token"),
            "Session token is required"
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"Bearer realm="sealgate""#
        );
        assert_eq!(world.refusals().await[0], "no_credential");
    }
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
