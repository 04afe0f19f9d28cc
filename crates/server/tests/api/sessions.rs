//! Users' sessions: log in, see one's data, renew, log out, and what ends them.

use sealgate_core::authority::{SessionSettings, Settings};
use sealgate_server::HttpSettings;
use serde_json::json;

use crate::support::{
    OTHER_SEAL_KEY, PASSWORD, SEAL_KEY, World, call, delete, get, log_in, patch, post, settings,
    token_of,
};

const MESSAGE: &str =
    "Login successful! Please use the token in the Authorization header for future requests.";

/// A world with a user.
async fn world_with_ada() -> World {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    world
}

async fn is_alive(world: &World, token: &str) -> bool {
    let answer = get("/api/profile").token(token).send(world).await;
    if answer.status != 200 {
        assert_eq!(
            answer.error(401, "invalid_token"),
            "Invalid or expired token"
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"Bearer realm="sealgate", error="invalid_token""#
        );
    }
    answer.status == 200
}

#[tokio::test]
async fn a_user_logs_in_and_sees_the_data_with_the_same_seal_key() {
    let world = world_with_ada().await;
    let key = post("/api/key/generate").send(&world).await.ok();
    let key = key["api_key"].as_str().unwrap();
    let answer = log_in("ada", PASSWORD).seal_key(key).send(&world).await;
    let token = token_of(&answer);
    assert_eq!(
        answer.ok(),
        json!({"message": MESSAGE, "data": {"token": token, "username": "ada"}})
    );
    assert!(token.starts_with("v4.public.eyJhdWQiOiJnb21hbHV1bSIs"));
    assert_eq!(answer.headers["cache-control"], "no-store");

    let answer = get("/api/profile")
        .token(&token)
        .seal_key(key)
        .send(&world)
        .await;
    assert_eq!(
        answer.ok(),
        json!({
            "message": "Profile retrieved successfully",
            "data": {
                "username": "ada",
                "display_name": null,
                "email": null,
                "roles": [],
                "attributes": {},
            },
        })
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["vary"], "authorization, x-gomaluum-key");
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test]
async fn without_a_seal_key_the_default_one_seals() {
    let world = world_with_ada().await;
    let token = world.session("ada", None).await;
    assert!(is_alive(&world, &token).await);
    let named = get("/api/profile")
        .token(&token)
        .seal_key("gomaluum-default-key-2024");
    named.send(&world).await.ok();
}

#[tokio::test]
async fn the_short_path_of_the_login_is_the_same() {
    let world = world_with_ada().await;
    let body = json!({"username": "ada", "password": PASSWORD, "remember": true});
    let answer = post("/api/login").json(&body).send(&world).await;
    assert_eq!(answer.ok()["message"], MESSAGE);
    assert!(is_alive(&world, &token_of(&answer)).await);
}

#[tokio::test]
async fn another_seal_key_than_the_logins_does_not_open_the_data() {
    let world = world_with_ada().await;
    let token = world.session("ada", Some(SEAL_KEY)).await;
    for request in [
        get("/api/profile").token(&token).seal_key(OTHER_SEAL_KEY),
        get("/api/profile").token(&token),
        post("/api/auth/token/renew")
            .token(&token)
            .seal_key(OTHER_SEAL_KEY),
    ] {
        let answer = request.send(&world).await;
        assert_eq!(
            answer.error(500, "decryption_failed"),
            "Failed to decrypt data with API key"
        );
        assert!(!answer.headers.contains_key("www-authenticate"));
        let event = &world.events().await[0];
        assert_eq!(event["details"]["reason"], "wrong_seal_key");
        assert_eq!(event["details"]["username"], "ada");
        assert_eq!(event["status"], 500);
    }
}

#[tokio::test]
async fn a_wrong_seal_key_is_a_401_where_the_operator_wants_that() {
    let world = World::with_http(HttpSettings {
        wrong_key_status: http::StatusCode::UNAUTHORIZED,
        seal_key_header: http::HeaderName::from_static("x-seal"),
        ..HttpSettings::default()
    })
    .await;
    world.user("ada", PASSWORD).await;
    let login = log_in("ada", PASSWORD).header("x-seal", SEAL_KEY);
    let token = token_of(&login.send(&world).await);
    let answer = get("/api/profile").token(&token).send(&world).await;
    answer.error(401, "decryption_failed");
    assert_eq!(
        answer.headers["www-authenticate"],
        r#"ApiKey realm="sealgate", header="x-seal""#
    );
    let profile = get("/api/profile").token(&token).header("x-seal", SEAL_KEY);
    let answer = profile.send(&world).await;
    answer.ok();
    assert_eq!(answer.headers["vary"], "authorization, x-seal");
    let document = get("/api/openapi.json").send(&world).await.ok();
    let scheme = &document["components"]["securitySchemes"]["SealKeyAuth"];
    assert_eq!(scheme["name"], "x-seal");
    let login = &document["paths"]["/api/auth/login"]["post"]["parameters"][0];
    assert_eq!(login["name"], "x-seal");
}

#[tokio::test]
async fn a_required_seal_key_is_missed() {
    let settings = Settings {
        sessions: SessionSettings {
            require_key: true,
            ..SessionSettings::default()
        },
        ..settings()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    world.user("ada", PASSWORD).await;
    for request in [
        log_in("ada", PASSWORD),
        log_in("ada", PASSWORD).seal_key("gomaluum-default-key-2024"),
    ] {
        let answer = request.send(&world).await;
        assert_eq!(answer.error(401, "missing_api_key"), "API key is required");
        assert_eq!(
            answer.headers["www-authenticate"],
            r#"ApiKey realm="sealgate", header="x-gomaluum-key""#
        );
    }
    world.session("ada", Some(SEAL_KEY)).await;
}

#[tokio::test]
async fn a_session_ends_if_it_is_not_renewed_and_at_the_longest_lifetime_in_any_case() {
    let world = world_with_ada().await;
    let mut token = world.session("ada", None).await;
    let renewals = 604_800 / 28_000;
    for _ in 0..renewals {
        world.clock.advance_millis(28_000_000);
        let before = token.clone();
        let answer = post("/api/auth/token/renew")
            .token(&token)
            .send(&world)
            .await;
        token = token_of(&answer);
        assert_eq!(answer.ok()["message"], MESSAGE);
        assert_ne!(before, token);
        assert!(is_alive(&world, &before).await);
    }
    world
        .clock
        .advance_millis((604_800 - renewals * 28_000) * 1_000);
    assert!(!is_alive(&world, &token).await);
    let answer = post("/api/auth/token/renew")
        .token(&token)
        .send(&world)
        .await;
    answer.error(401, "invalid_token");

    let token = world.session("ada", None).await;
    world.clock.advance_millis(28_799_000);
    assert!(is_alive(&world, &token).await);
    world.clock.advance_millis(1_000);
    assert!(!is_alive(&world, &token).await);
}

#[tokio::test]
async fn a_session_that_was_logged_out_is_dead_in_every_process_with_all_its_tokens() {
    let world = world_with_ada().await;
    let second = world.second().await;
    for method in ["GET", "POST"] {
        let (token, other) = (
            world.session("ada", Some(SEAL_KEY)).await,
            world.session("ada", None).await,
        );
        let warm = get("/api/profile").token(&token).seal_key(SEAL_KEY);
        warm.send(&second).await.ok();
        let renewal = post("/api/auth/token/renew").token(&token);
        let renewed = token_of(&renewal.seal_key(SEAL_KEY).send(&world).await);
        // No seal key is needed.
        let answer = call(method, "/api/auth/logout").token(&token);
        let answer = answer.send(&world).await;
        assert_eq!(answer.ok(), json!({"message": "Logged out successfully"}));
        second.authority.sync().await.unwrap();
        for world in [&world, &second] {
            for token in [&token, &renewed] {
                let profile = get("/api/profile").token(token).seal_key(SEAL_KEY);
                profile.send(world).await.error(401, "invalid_token");
            }
            assert!(is_alive(world, &other).await);
        }
        assert!(!is_alive(&world.second().await, &token).await);
        let again = call(method, "/api/auth/logout").token(&token);
        again.send(&world).await.error(401, "invalid_token");
        assert_eq!(world.refusals().await[0], "session_ended");
    }
}

#[tokio::test]
async fn an_access_token_is_logged_out_too_and_its_key_lives_on() {
    let world = World::new().await;
    let second = world.second().await;
    for method in ["GET", "POST"] {
        let key = world.key("api:read").await;
        let logout = || call(method, "/api/auth/logout");
        let answer = logout().token(&key.token).send(&world).await;
        assert_eq!(answer.ok(), json!({"message": "Logged out successfully"}));
        second.authority.sync().await.unwrap();
        for world in [&world, &second] {
            let profile = get("/api/auth/profile").token(&key.token);
            profile.send(world).await.error(401, "invalid_token");
            let profile = get("/api/auth/profile").key(&key.text);
            profile.send(world).await.ok();
        }
        let answer = logout().key(&key.text).send(&world).await;
        assert_eq!(
            answer.error(401, "missing_token"),
            "Access token is required"
        );
    }
}

#[tokio::test]
async fn what_an_administrator_does_to_a_user_ends_the_sessions_everywhere() {
    let world = world_with_ada().await;
    let second = world.second().await;
    let admin = &world.admin.text;
    let changes = [
        post("/api/users/ada/logout").key(admin),
        post("/api/users/ADA/password")
            .key(admin)
            .json(&json!({"password": PASSWORD})),
        patch("/api/users/ada")
            .key(admin)
            .json(&json!({"is_active": false})),
        delete("/api/users/ada").key(admin),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        if n == 3 {
            let on = patch("/api/users/ada")
                .key(admin)
                .json(&json!({"is_active": true}));
            on.send(&world).await.ok();
        }
        let token = world.session("ada", None).await;
        assert!(is_alive(&second, &token).await);
        change.send(&world).await.ok();
        second.authority.sync().await.unwrap();
        assert!(!is_alive(&world, &token).await, "{n}");
        assert!(!is_alive(&second, &token).await, "{n}");
        let renewal = post("/api/auth/token/renew").token(&token);
        renewal.send(&world).await.error(401, "invalid_token");
        assert!(
            world
                .refusals()
                .await
                .contains(&"sessions_ended".to_owned())
        );
        if n >= 2 {
            let login = log_in("ada", PASSWORD).send(&world).await;
            login.error(401, "invalid_credentials");
        }
    }
}

#[tokio::test]
async fn the_public_keys_of_session_tokens_are_published() {
    let world = world_with_ada().await;
    let answer = get("/.well-known/paseto-keys.json").send(&world).await;
    assert_eq!(answer.headers["cache-control"], "public, max-age=3600");
    let body = answer.ok();
    let keys = body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0]["kid"].as_str().unwrap().starts_with("k4.pid."));
    let paserk = keys[0]["paserk"].as_str().unwrap();
    assert!(paserk.starts_with("k4.public."));
    assert_eq!(keys[0]["verify_until"], json!(null));
}

#[tokio::test]
async fn logins_are_counted_by_the_kind_of_their_seal_key() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _measuring = metrics::set_default_local_recorder(&recorder);
    let world = world_with_ada().await;
    let managed = world.key("session:seal").await;
    let token = world.session("ada", None).await;
    world.session("ada", Some(SEAL_KEY)).await;
    world.session("ada", Some(&managed.text)).await;
    let renewal = post("/api/auth/token/renew").token(&token);
    renewal.send(&world).await.ok();
    log_in("ada", "wrong").send(&world).await;
    let text = recorder.handle().render();
    for kind in ["default", "generated", "managed"] {
        let series = format!("sealgate_logins_total{{seal_key=\"{kind}\"}} 1");
        assert!(text.contains(&series), "{series} is not in {text}");
    }
}
