//! Administration of keys over HTTP.

use serde_json::{Value, json};

use crate::support::{World, get, patch, post};

#[tokio::test]
async fn a_created_key_is_shown_once_and_works_at_once() {
    let world = World::new().await;
    let body = json!({
        "name": "Production API Key",
        "description": "the shop",
        "permissions": "api:read api:write",
        "expires_in_days": 90,
        "environment": "production",
        "rate_limit": 100,
        "allowed_ips": ["192.0.2.0/24"]
    });
    let answer = post("/api/auth/keys")
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    let created = answer.json();
    let fields: Vec<_> = created.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["api_key", "key", "message", "token"]);
    let (key, text) = (&created["key"], created["api_key"].as_str().unwrap());
    assert_eq!(key["name"], "Production API Key");
    assert_eq!(key["prefix"], text[..8]);
    assert_eq!(key["rate_limit"], 100);
    assert_eq!(key["rate_limit_window_seconds"], 3_600);
    assert_eq!(key["allowed_ips"], json!(["192.0.2.0/24"]));
    assert_eq!(text.len(), 50);

    let location = answer.headers["location"].to_str().unwrap();
    let shown = get(location).key(&world.admin.text).send(&world).await;
    assert_eq!(&shown.ok(), key);
    assert!(!shown.text().contains(&text[9..]));
    post("/api/auth/token").key(text).send(&world).await.ok();
    let token = created["token"].as_str().unwrap();
    get("/api/encrypt").token(token).send(&world).await.ok();
}

#[tokio::test]
async fn a_key_needs_no_more_than_a_name() {
    let world = World::new().await;
    let body = json!({"name": "a"});
    let created = post("/api/auth/keys")
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(created["key"]["permissions"], "api:read");
    assert_eq!(created["key"]["environment"], "production");
    assert_eq!(created["key"]["expires_at"], Value::Null);
}

#[tokio::test]
async fn keys_are_not_imported_over_http() {
    let world = World::new().await;
    let before = world.keys().await;
    let text = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";
    let body = json!({"name": "a", "api_key": text});
    let answer = post("/api/auth/keys")
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await;
    assert!(
        answer
            .error(400, "invalid_request")
            .starts_with("api_key: unknown field")
    );
    assert!(!answer.text().contains("UVZuhD7"));
    assert_eq!(
        world.keys().await["keys"].as_array().unwrap().len(),
        before["keys"].as_array().unwrap().len()
    );
}

#[tokio::test]
async fn keys_are_listed_page_by_page_and_found_by_what_is_known_of_them() {
    let world = World::new().await;
    for n in 0..5 {
        let environment = if n == 0 { "testing" } else { "production" };
        let body = json!({"name": format!("shop {n}"), "environment": environment});
        post("/api/auth/keys")
            .key(&world.admin.text)
            .json(&body)
            .send(&world)
            .await
            .ok();
    }
    let list = async |query: &str| {
        let path = format!("/api/auth/keys{query}");
        get(&path).key(&world.admin.text).send(&world).await.ok()
    };
    let mut names = Vec::new();
    let mut query = "?limit=4".to_owned();
    loop {
        let page = list(&query).await;
        let keys = page["keys"].as_array().unwrap();
        names.extend(
            keys.iter()
                .map(|key| key["name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(names.len(), 6);
    assert!(names.contains(&"admin".to_owned()));
    assert_eq!(list("?q=SHOP").await["keys"].as_array().unwrap().len(), 5);
    assert_eq!(
        list("?environment=testing").await["keys"][0]["name"],
        "shop 0"
    );
    assert_eq!(list("?status=revoked").await["keys"], json!([]));
    assert_eq!(list("?due=true").await["keys"], json!([]));
    let by_id = list(&format!("?q={}", world.admin.id)).await;
    assert_eq!(by_id["keys"][0]["name"], "admin");
}

#[tokio::test]
async fn a_query_is_read_strictly_and_the_parameter_at_fault_named() {
    let world = World::new().await;
    for (query, expected) in [
        ("limit=many", "limit: "),
        ("limit=0", "limit: "),
        ("limit=-1", "limit: "),
        ("limit=1001", "limit: "),
        ("limit=1&limit=2", "limit: is there more than once"),
        ("status=gone", "status: expected one of `active`"),
        (
            "environment=moon",
            "environment: expected one of `development`",
        ),
        ("due=perhaps", "due: "),
        ("cursor=nonsense", "cursor: "),
        ("colour=red", "colour: unknown field, expected one of `q`"),
    ] {
        let path = format!("/api/auth/keys?{query}");
        let answer = get(&path).key(&world.admin.text).send(&world).await;
        let message = answer.error(400, "invalid_request");
        assert!(message.starts_with(expected), "{query}: {message}");
    }
}

#[tokio::test]
async fn a_key_is_changed_where_the_patch_says_so_and_nowhere_else() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let path = format!("/api/auth/keys/{}", key.id);
    let before = get(&path).key(&world.admin.text).send(&world).await.ok();
    let body = json!({"name": "renamed", "rate_limit": 5, "is_active": false});
    let after = patch(&path)
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    for (field, value) in after.as_object().unwrap() {
        match field.as_str() {
            "name" => assert_eq!(value, "renamed"),
            "rate_limit" => assert_eq!(value, 5),
            "rate_limit_window_seconds" => assert_eq!(value, 3_600),
            "is_active" => assert_eq!(value, false),
            "status" => assert_eq!(value, "disabled"),
            "rotation_due_at" => assert_eq!(value, &Value::Null),
            _ => assert_eq!(value, &before[field], "{field}"),
        }
    }
    get("/api/auth/profile")
        .key(&key.text)
        .send(&world)
        .await
        .error(401, "invalid_api_key");
    let body = json!({"rate_limit": null, "is_active": true});
    let after = patch(&path)
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(after["rate_limit"], Value::Null);
    assert_eq!(after["rate_limit_window_seconds"], Value::Null);
    get("/api/auth/profile")
        .key(&key.text)
        .send(&world)
        .await
        .ok();
}

#[tokio::test]
async fn a_revoked_key_and_its_tokens_are_refused_at_once() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    get("/api/encrypt")
        .token(&key.token)
        .send(&world)
        .await
        .ok();
    let path = format!("/api/auth/keys/{}/revoke", key.id);
    let body = json!({"reason": "found in a repository"});
    let answer = post(&path)
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(answer["key_id"], key.id);
    assert_eq!(answer["revoked_at"], crate::support::START.to_string());
    assert!(answer["message"].is_string());
    get("/api/encrypt")
        .key(&key.text)
        .send(&world)
        .await
        .error(401, "invalid_api_key");
    get("/api/encrypt")
        .token(&key.token)
        .send(&world)
        .await
        .error(401, "invalid_token");
    assert_eq!(world.refusals().await, ["key_revoked"]);
    post(&path)
        .key(&world.admin.text)
        .send(&world)
        .await
        .error(409, "conflict");
    let events = world.events().await;
    let revoked = events
        .iter()
        .find(|event| event["action"] == "key.revoked")
        .unwrap();
    assert_eq!(revoked["details"]["reason"], "found in a repository");
    assert_eq!(revoked["actor"], format!("key:{}", world.admin.id));
}

#[tokio::test]
async fn the_body_of_a_revocation_may_be_empty_null_or_left_out() {
    let world = World::new().await;
    for body in [None, Some("null"), Some("{}"), Some("")] {
        let key = world.key("api:read").await;
        let path = format!("/api/auth/keys/{}/revoke", key.id);
        let request = post(&path).key(&world.admin.text);
        let request = match body {
            Some(text) => request.json_text(text),
            None => request,
        };
        request.send(&world).await.ok();
    }
}

#[tokio::test]
async fn a_key_cannot_revoke_or_disable_itself() {
    let world = World::new().await;
    let path = format!("/api/auth/keys/{}", world.admin.id);
    for credential in ["key", "token"] {
        let with = |request: crate::support::Call| match credential {
            "key" => request.key(&world.admin.text),
            _ => request.token(&world.admin.token),
        };
        with(post(&format!("{path}/revoke")))
            .send(&world)
            .await
            .error(403, "own_key");
        let off = json!({"is_active": false});
        with(patch(&path))
            .json(&off)
            .send(&world)
            .await
            .error(403, "own_key");
    }
    assert_eq!(world.refusals().await, ["own_key", "own_key"]);
    get("/api/auth/profile")
        .key(&world.admin.text)
        .send(&world)
        .await
        .ok();
}

#[tokio::test]
async fn a_rotated_key_is_replaced_by_one_that_opens_what_it_sealed() {
    let world = World::new().await;
    let key = world.key("api:read api:write").await;
    let body = json!({"plaintext": "kept"});
    let sealed = post("/api/encrypt")
        .key(&key.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    let path = format!("/api/auth/keys/{}/rotate", key.id);
    let body = json!({"grace_seconds": 60, "reason": "every 90 days"});
    let rotated = post(&path)
        .key(&world.admin.text)
        .json(&body)
        .send(&world)
        .await
        .ok();
    let fields: Vec<_> = rotated.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["api_key", "message", "new_key", "old_key_id", "token"]
    );
    assert_eq!(rotated["old_key_id"], key.id);
    assert_eq!(rotated["new_key"]["rotated_from"], key.id);
    assert_eq!(rotated["new_key"]["permissions"], "api:read api:write");
    let new = rotated["api_key"].as_str().unwrap();
    let body = json!({"ciphertext": sealed["ciphertext"]});
    let opened = post("/api/decrypt")
        .key(new)
        .json(&body)
        .send(&world)
        .await
        .ok();
    assert_eq!(opened["plaintext"], "kept");

    get("/api/encrypt").key(&key.text).send(&world).await.ok();
    world.clock.advance_millis(61_000);
    get("/api/encrypt")
        .key(&key.text)
        .send(&world)
        .await
        .error(401, "invalid_api_key");
    post(&path)
        .key(&world.admin.text)
        .send(&world)
        .await
        .error(409, "conflict");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let id = "550e8400-e29b-41d4-a716-446655440000";
    for path in [id.to_owned(), "AAAAAAAA".to_owned(), format!("{id}/logs")] {
        let path = format!("/api/auth/keys/{path}");
        let answer = get(&path).key(&world.admin.text).send(&world).await;
        assert_eq!(answer.error(404, "not_found"), "no such key");
    }
    for verb in ["revoke", "rotate"] {
        let path = format!("/api/auth/keys/{id}/{verb}");
        post(&path)
            .key(&world.admin.text)
            .send(&world)
            .await
            .error(404, "not_found");
    }
    for path in [
        "/api/auth/keys/x",
        "/api/auth/keys/%ff",
        "/api/auth/keys/a%00b",
    ] {
        let answer = get(path).key(&world.admin.text).send(&world).await;
        answer.error(400, "invalid_request");
    }
}

#[tokio::test]
async fn the_log_of_a_key_is_shown_newest_first_and_page_by_page() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    post("/api/auth/token")
        .key(&key.text)
        .send(&world)
        .await
        .ok();
    let path = format!("/api/auth/keys/{}/logs", key.id);
    let logs = async |query: &str| {
        let path = format!("{path}{query}");
        get(&path).key(&world.admin.text).send(&world).await.ok()
    };
    let all = logs("").await;
    let actions: Vec<_> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["action"])
        .collect();
    assert_eq!(actions, ["token.issued", "key.created"]);
    assert_eq!(all["next_cursor"], Value::Null);
    let first = logs("?limit=1").await;
    assert_eq!(first["events"][0]["action"], "token.issued");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = logs(&format!("?limit=1&cursor={cursor}")).await;
    assert_eq!(second["events"][0]["action"], "key.created");
}
