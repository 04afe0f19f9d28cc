//! Seal keys, for who has none yet: made and examined, for anybody, but not too often.

use sealgate_core::authority::{SessionSettings, Settings};
use sealgate_core::seal_key::SealKeyRules;
use sealgate_server::HttpSettings;
use serde_json::json;

use crate::support::{PASSWORD, World, log_in, post, settings};

#[tokio::test]
async fn a_key_is_made_as_the_guide_shows() {
    let world = World::new().await;
    let answer = post("/api/key/generate").send(&world).await;
    let body = answer.ok();
    let key = body["api_key"].as_str().unwrap();
    assert_eq!(
        body,
        json!({
            "api_key": key,
            "message": "API key generated successfully. Include this key in the 'x-gomaluum-key' \
                        header for enhanced security.",
            "created_at": "now",
        })
    );
    let digits = key.strip_prefix("gml_1700000000_").unwrap();
    assert_eq!(digits.len(), 64);
    assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let again = post("/api/key/generate").send(&world).await.ok();
    assert_ne!(again["api_key"], body["api_key"]);

    let answer = post("/api/key/validate").seal_key(key).send(&world).await;
    assert_eq!(answer.ok(), json!({"valid": true, "format": "timestamped"}));
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn the_header_is_called_as_the_settings_say() {
    let world = World::with_http(HttpSettings {
        seal_key_header: http::HeaderName::from_static("x-seal"),
        cors_origins: vec!["*".to_owned()],
        ..HttpSettings::default()
    })
    .await;
    let body = post("/api/key/generate").send(&world).await.ok();
    assert!(body["message"].as_str().unwrap().contains("'x-seal'"));
    let key = body["api_key"].as_str().unwrap();
    let examined = post("/api/key/validate").header("x-seal", key);
    assert_eq!(examined.send(&world).await.ok()["valid"], true);
    let examined = post("/api/key/validate").seal_key(key);
    assert_eq!(examined.send(&world).await.ok()["valid"], false);
    let preflight = crate::support::call("OPTIONS", "/api/users/ada")
        .header("Origin", "https://console.example")
        .header("Access-Control-Request-Method", "DELETE");
    let answer = preflight.send(&world).await;
    let header = |name| answer.headers[name].to_str().unwrap();
    assert!(header("access-control-allow-headers").contains("x-seal"));
    assert!(header("access-control-allow-methods").contains("DELETE"));
}

#[tokio::test]
async fn a_key_is_examined_by_its_form_alone() {
    let world = World::new().await;
    let hex = "A1B2".repeat(10);
    // A managed key that nobody has, but of the right form.
    let managed = World::new().await.key("api:read").await.text;
    for (key, format) in [
        ("gomaluum-default-key-2024", "default"),
        (
            "gml_1_0000000000000000000000000000000000000000",
            "timestamped",
        ),
        (&hex, "hex"),
        (&managed, "managed"),
    ] {
        let answer = post("/api/key/validate").seal_key(key).send(&world).await;
        assert_eq!(answer.ok(), json!({"valid": true, "format": format}));
    }
    assert!(world.refusals().await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told_without_repeating_it() {
    let world = World::new().await;
    let check = || post("/api/key/validate");
    let long = "a".repeat(10_000);
    for (request, reason) in [
        (check(), "there is no header x-gomaluum-key"),
        (
            check().seal_key("a").seal_key("a"),
            "the header x-gomaluum-key is there more than once",
        ),
        (check().seal_key(""), "the header x-gomaluum-key is empty"),
        (
            check().header("x-gomaluum-key", b"caf\xe9"),
            "the header x-gomaluum-key has characters other than",
        ),
        (
            check().seal_key("hunter2"),
            "neither a timestamped key (gml_SECONDS_DIGITS), nor",
        ),
        (check().seal_key(&long), "neither a timestamped key"),
        (
            check().seal_key("gml_hunter2"),
            "a timestamped key is written gml_SECONDS_DIGITS",
        ),
        (check().seal_key("gml_x_0"), "the second part"),
        (check().seal_key("gml_1_hunter2"), "the last part"),
        (
            check().seal_key("hunter2.hunter2"),
            "a managed key is written",
        ),
    ] {
        let body = request.send(&world).await.ok();
        assert_eq!(body["valid"], false);
        assert!(body.get("format").is_none());
        let told = body["reason"].as_str().unwrap();
        assert!(told.starts_with(reason), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn what_a_key_should_begin_with_is_told_as_the_settings_say() {
    let world = World::with(with_rules(false), HttpSettings::default()).await;
    for key in ["hunter2", "cmp_hunter2"] {
        let request = post("/api/key/validate").seal_key(key);
        let body = request.send(&world).await.ok();
        let told = body["reason"].as_str().unwrap();
        assert!(told.contains("cmp_SECONDS_DIGITS"), "{told}");
    }
}

#[tokio::test]
async fn a_default_key_that_logins_refuse_is_well_formed_all_the_same() {
    let world = World::with(with_rules(true), HttpSettings::default()).await;
    world.user("ada", PASSWORD).await;
    let default = SealKeyRules::default().default_key;
    let request = post("/api/key/validate").seal_key(default.expose());
    assert_eq!(
        request.send(&world).await.ok(),
        json!({"valid": true, "format": "default"})
    );
    let login = log_in("ada", PASSWORD).seal_key(default.expose());
    login.send(&world).await.error(401, "missing_api_key");
}

/// Settings by which seal keys begin with `cmp`.
fn with_rules(require_key: bool) -> Settings {
    Settings {
        sessions: SessionSettings {
            require_key,
            seal_keys: SealKeyRules {
                prefix: "cmp".to_owned(),
                ..SealKeyRules::default()
            },
            ..SessionSettings::default()
        },
        ..settings()
    }
}

#[tokio::test]
async fn an_address_may_ask_so_often_and_is_told_what_is_left() {
    let settings = Settings {
        anonymous_per_minute: 3,
        ..settings()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    for (path, remaining, reset) in [
        ("/api/key/generate", "2", "20"),
        ("/api/key/validate", "1", "40"),
        ("/api/key/generate", "0", "60"),
    ] {
        let answer = post(path).send(&world).await;
        answer.ok();
        assert_eq!(answer.headers["ratelimit-limit"], "3");
        assert_eq!(answer.headers["ratelimit-remaining"], remaining);
        assert_eq!(answer.headers["ratelimit-reset"], reset);
        assert_eq!(answer.headers["ratelimit-policy"], r#""address";q=3;w=60"#);
    }
    for path in ["/api/key/generate", "/api/key/validate"] {
        let answer = post(path).send(&world).await;
        assert_eq!(
            answer.error(429, "rate_limited"),
            "This address may make 3 requests a minute"
        );
        assert_eq!(answer.headers["retry-after"], "20");
        assert_eq!(answer.headers["ratelimit-limit"], "3");
        assert_eq!(answer.headers["ratelimit-remaining"], "0");
        assert_eq!(answer.headers["ratelimit-policy"], r#""address";q=3;w=60"#);
        assert_eq!(world.refusals().await[0], "address_limited");
    }
    let elsewhere = post("/api/key/generate").from("203.0.113.9");
    elsewhere.send(&world).await.ok();
    world.clock.advance_millis(20_000);
    post("/api/key/generate").send(&world).await.ok();
}
