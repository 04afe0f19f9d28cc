//! Bodies as nobody should send them: each is refused with the envelope and changes nothing.

use serde_json::json;

use crate::support::{World, patch, post};

/// What is wrong with the body of a new key, and how the message begins.
fn bad_keys() -> Vec<(String, &'static str)> {
    let nested = format!(r#"{{"name":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let nested_whole = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let with = |field: &str, value: serde_json::Value| {
        let mut body = json!({"name": "a"});
        body[field] = value;
        body.to_string()
    };
    vec![
        (String::new(), "body: "),
        ("null".into(), "body: "),
        ("[]".into(), "body: "),
        (r#""name""#.into(), "body: "),
        // Serde would take an array for an object whose fields come in their order.
        (
            r#"["a","","api:read",null,true,null,null,[],null]"#.into(),
            "body: ",
        ),
        (r#"{"name":"a""#.into(), "body: EOF while parsing"),
        (
            r#"{"name":"a"} trailing"#.into(),
            "body: trailing characters",
        ),
        (
            r#"{"name":"a"}{"name":"b"}"#.into(),
            "body: trailing characters",
        ),
        (
            r#"{"name":"a","name":"b"}"#.into(),
            "name: is there more than once",
        ),
        (r#"{name:"a"}"#.into(), "body: key must be a string"),
        ("\u{feff}{}".into(), "body: "),
        (nested, "name: "),
        (nested_whole, "body: "),
        ("{}".into(), "name: is missing"),
        (
            with("nmae", json!("b")),
            "nmae: unknown field, expected one of `name`",
        ),
        (with("name", json!(5)), "name: expected a string"),
        (with("name", json!("")), "name: "),
        (with("name", json!("a".repeat(101))), "name: "),
        (with("name", json!("a\u{7}b")), "name: control characters"),
        (
            with("description", json!("a\nb")),
            "description: control characters",
        ),
        (
            with("permissions", json!("api:read\u{1b}[31m")),
            "permissions: ",
        ),
        (
            with("permissions", json!("api:read\napi:write")),
            "permissions: ",
        ),
        (
            with("permissions", json!(["api:read"])),
            "permissions: expected a string",
        ),
        (
            with("permissions", json!("a:b ".repeat(64))),
            "permissions: ",
        ),
        (with("expires_in_days", json!(0)), "expires_in_days: "),
        (with("expires_in_days", json!(3_651)), "expires_in_days: "),
        (
            with("expires_in_days", json!(-1)),
            "expires_in_days: expected a whole number",
        ),
        (
            with("expires_in_days", json!(1.5)),
            "expires_in_days: expected a whole number",
        ),
        (
            with("expires_in_days", json!(u64::MAX)),
            "expires_in_days: expected a whole number",
        ),
        (
            with("is_admin", json!("yes")),
            "is_admin: expected true or false",
        ),
        (
            with("is_admin", json!(null)),
            "is_admin: expected true or false",
        ),
        (
            with("environment", json!("moon")),
            "environment: expected one of",
        ),
        (with("rate_limit", json!(0)), "rate_limit: "),
        (with("allowed_ips", json!(["10.0.0.0/33"])), "allowed_ips: "),
        (
            with("allowed_ips", json!("10.0.0.0/8")),
            "allowed_ips: expected an array",
        ),
    ]
}

#[tokio::test]
async fn a_bad_body_is_refused_naming_the_field_and_changes_nothing() {
    let world = World::new().await;
    let before = world.keys().await["keys"].as_array().unwrap().len();
    for (body, expected) in bad_keys() {
        let answer = post("/api/auth/keys")
            .key(&world.admin.text)
            .json_text(body.clone());
        let message = answer.send(&world).await.error(400, "invalid_request");
        assert!(message.starts_with(expected), "{body}: {message}");
        assert!(message.chars().count() <= 257);
    }
    let answer = post("/api/auth/keys")
        .key(&world.admin.text)
        .json_text(&b"{\"name\":\"\xff\"}"[..]);
    answer.send(&world).await.error(400, "invalid_request");
    assert_eq!(world.keys().await["keys"].as_array().unwrap().len(), before);
}

#[tokio::test]
async fn a_bad_patch_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}", key.id);
    let before = crate::support::get(&path)
        .key(&world.admin.text)
        .send(&world)
        .await
        .ok();
    for (body, expected) in [
        ("{}", "body: name at least one field"),
        (r#"{"is_admin":true}"#, "is_admin: unknown field"),
        (r#"{"environment":"testing"}"#, "environment: unknown field"),
        (
            r#"{"expires_at":"tomorrow"}"#,
            "expires_at: not an RFC 3339 time",
        ),
        (r#"{"expires_at":"2001-01-01T00:00:00Z"}"#, "expires_at: "),
        (r#"{"expires_at":null,"expires_in_days":1}"#, "expires_at: "),
        (r#"{"rate_limit":0}"#, "rate_limit: "),
        (
            r#"{"rate_limit_window_seconds":60}"#,
            "rate_limit_window_seconds: there is no limit",
        ),
        (
            r#"{"rate_limit":null,"rate_limit_window_seconds":60}"#,
            "rate_limit_window_seconds: there is no limit",
        ),
        (r#"{"name":"b","permissions":"nonsense"}"#, "permissions: "),
    ] {
        let answer = patch(&path)
            .key(&world.admin.text)
            .json_text(body)
            .send(&world)
            .await;
        let message = answer.error(400, "invalid_request");
        assert!(message.starts_with(expected), "{body}: {message}");
    }
    let after = crate::support::get(&path)
        .key(&world.admin.text)
        .send(&world)
        .await
        .ok();
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_bad_revocation_or_rotation_leaves_the_key_as_it_is() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    for (verb, body) in [
        ("revoke", r#"{"reason":5}"#),
        ("revoke", r#"{"why":"x"}"#),
        ("revoke", r#"{"reason":"a\nb"}"#),
        ("rotate", r#"{"grace_seconds":-1}"#),
        ("rotate", r#"{"grace_seconds":2592001}"#),
        ("rotate", r#"{"grace_seconds":"24h"}"#),
        ("rotate", "{"),
    ] {
        let path = format!("/api/auth/keys/{}/{verb}", key.id);
        let answer = post(&path)
            .key(&world.admin.text)
            .json_text(body)
            .send(&world)
            .await;
        answer.error(400, "invalid_request");
    }
    post("/api/auth/token")
        .key(&key.text)
        .send(&world)
        .await
        .ok();
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused() {
    let world = World::new().await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
    ] {
        let request = post("/api/auth/keys").key(&world.admin.text);
        let request = request
            .header("Content-Type", content_type)
            .body(r#"{"name":"a"}"#);
        request
            .send(&world)
            .await
            .error(415, "unsupported_media_type");
    }
    let request = post("/api/auth/keys")
        .key(&world.admin.text)
        .body(r#"{"name":"a"}"#);
    request
        .send(&world)
        .await
        .error(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_ciphertext_that_is_none_is_refused() {
    let world = World::new().await;
    let key = world.key("api:read api:write").await;
    for ciphertext in [
        "",
        "sg1.",
        "sg1.AAAA",
        "sg2.AAAAAAAA",
        "sg1.=",
        "\u{0}",
        &"a".repeat(900_000),
    ] {
        let body = json!({"ciphertext": ciphertext});
        let answer = post("/api/decrypt")
            .key(&key.text)
            .json(&body)
            .send(&world)
            .await;
        answer.error(400, "invalid_request");
    }
}
