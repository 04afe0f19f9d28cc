//! Administration of users.

use serde_json::{Value, json};

use crate::support::{Call, PASSWORD, World, delete, get, log_in, patch, post};

/// As an administrator.
fn by_admin(world: &World, call: Call) -> Call {
    call.key(&world.admin.text)
}

#[tokio::test]
async fn a_user_is_made_and_shown_as_it_was_asked_for() {
    let world = World::new().await;
    let made = make_ada(&world).await;
    assert_eq!(
        made,
        json!({
            "user_id": made["user_id"],
            "username": "Ada",
            "display_name": "Ada Lovelace",
            "email": "ada@example.com",
            "roles": ["student"],
            "attributes": {"matric_no": "2110001"},
            "is_active": true,
            "created_at": "2023-11-14T22:13:20Z",
            "last_login_at": null,
            "password_changed_at": "2023-11-14T22:13:20Z",
        })
    );
    let token = world.session("ada", None).await;
    let profile = get("/api/profile").token(&token).send(&world).await.ok();
    assert_eq!(profile["data"]["attributes"]["matric_no"], "2110001");

    let shown = by_admin(&world, get("/api/users/aDA")).send(&world).await;
    assert_eq!(shown.ok()["last_login_at"], "2023-11-14T22:13:20Z");
}

#[tokio::test]
async fn a_user_is_changed_in_what_is_sent_and_nothing_else() {
    let world = World::new().await;
    make_ada(&world).await;
    let change = json!({"email": null, "roles": ["student", "tutor"]});
    let changed = by_admin(&world, patch("/api/users/ada").json(&change));
    let changed = changed.send(&world).await.ok();
    assert_eq!(changed["email"], json!(null));
    assert_eq!(changed["roles"], json!(["student", "tutor"]));
    assert_eq!(changed["display_name"], "Ada Lovelace");
}

#[tokio::test]
async fn a_user_that_is_removed_is_no_user_any_more() {
    let world = World::new().await;
    make_ada(&world).await;
    let removed = by_admin(&world, delete("/api/users/ada")).send(&world);
    assert_eq!(
        removed.await.ok(),
        json!({"message": "User deleted", "username": "Ada"})
    );
    for request in [
        get("/api/users/ada"),
        delete("/api/users/ada"),
        patch("/api/users/ada").json(&json!({"is_active": true})),
        post("/api/users/ada/logout"),
        post("/api/users/ada/password").json(&json!({"password": PASSWORD})),
    ] {
        let answer = by_admin(&world, request).send(&world).await;
        assert_eq!(answer.error(404, "not_found"), "no such user");
    }
}

#[tokio::test]
async fn what_an_administrator_does_with_users_is_recorded_as_the_administrators() {
    let world = World::new().await;
    make_ada(&world).await;
    let change = patch("/api/users/ada").json(&json!({"email": null}));
    for request in [change, delete("/api/users/ada")] {
        by_admin(&world, request).send(&world).await.ok();
    }
    let events = world.events().await;
    for action in ["user.created", "user.updated", "user.deleted"] {
        let event = events.iter().find(|event| event["action"] == action);
        let event = event.unwrap_or_else(|| panic!("{action} is not in the log"));
        assert_eq!(event["actor"], format!("key:{}", world.admin.id));
    }
}

/// Makes a user with everything that one can have; gives the answer's body.
async fn make_ada(world: &World) -> Value {
    let body = json!({
        "username": "Ada",
        "password": PASSWORD,
        "display_name": "Ada Lovelace",
        "email": "ada@example.com",
        "roles": ["student"],
        "attributes": {"matric_no": "2110001"},
    });
    let answer = by_admin(world, post("/api/users").json(&body));
    let answer = answer.send(world).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["location"], "/api/users/Ada");
    answer.json()
}

#[tokio::test]
async fn users_are_listed_by_name_page_by_page() {
    let world = World::new().await;
    for name in ["grace", "Ada", "alan", "barbara"] {
        world.user(name, PASSWORD).await;
    }
    let off = patch("/api/users/alan").json(&json!({"is_active": false}));
    by_admin(&world, off).send(&world).await.ok();
    let names = |body: &Value| -> Vec<String> {
        let users = body["users"].as_array().unwrap().iter();
        users
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, expected) in [
        ("", &["Ada", "alan", "barbara", "grace"][..]),
        ("?q=A", &["Ada", "alan"]),
        ("?is_active=false", &["alan"]),
        ("?is_active=true&q=a", &["Ada"]),
    ] {
        let list = by_admin(&world, get(&format!("/api/users{query}")));
        let body = list.send(&world).await.ok();
        assert_eq!(names(&body), expected, "{query}");
        assert_eq!(body["next_cursor"], json!(null));
    }
    let first = by_admin(&world, get("/api/users?limit=3"));
    let first = first.send(&world).await.ok();
    assert_eq!(names(&first), ["Ada", "alan", "barbara"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = by_admin(&world, get(&format!("/api/users?limit=3&cursor={cursor}")));
    let second = second.send(&world).await.ok();
    assert_eq!(names(&second), ["grace"]);
    assert_eq!(second["next_cursor"], json!(null));
    for query in [
        "limit=0",
        "limit=1001",
        "is_active=yes",
        "nmae=a",
        "q=a&q=a",
    ] {
        let list = by_admin(&world, get(&format!("/api/users?{query}")));
        list.send(&world).await.error(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_password_is_set_and_the_old_one_is_none_any_more() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    world.clock.advance_millis(60_000);
    let body = json!({"password": "another good password"});
    let set = post("/api/users/ADA/password").json(&body);
    let answer = by_admin(&world, set).send(&world).await;
    assert_eq!(
        answer.ok(),
        json!({"message": "Password changed", "username": "ada"})
    );
    let old = log_in("ada", PASSWORD).send(&world).await;
    old.error(401, "invalid_credentials");
    let new = log_in("ada", "another good password").send(&world).await;
    new.ok();
    let shown = by_admin(&world, get("/api/users/ada")).send(&world).await;
    assert_eq!(shown.ok()["password_changed_at"], "2023-11-14T22:14:20Z");
}

#[tokio::test]
async fn a_user_is_logged_out_everywhere_and_may_come_back() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let tokens = [
        world.session("ada", None).await,
        world.session("ada", None).await,
    ];
    let answer = by_admin(&world, post("/api/users/ada/logout"));
    assert_eq!(
        answer.send(&world).await.ok(),
        json!({"message": "All sessions of the user have ended", "username": "ada"})
    );
    for token in tokens {
        let profile = get("/api/profile").token(&token).send(&world).await;
        profile.error(401, "invalid_token");
    }
    let token = world.session("ada", None).await;
    get("/api/profile").token(&token).send(&world).await.ok();
}

#[tokio::test]
async fn what_is_wrong_with_a_new_password_is_told_with_what_would_be_right() {
    let world = World::new().await;
    world.user("ada.lovelace", PASSWORD).await;
    for (password, message) in [
        ("short", "it must have at least 8 characters"),
        (&"x".repeat(257), "it must have at most 256 bytes"),
        (
            "two\nlines of it",
            "it must have no control characters, such as a line break",
        ),
        ("Ada.Lovelace", "it is the user name: choose another"),
    ] {
        let body = json!({"password": password});
        let request = post("/api/users/ada.lovelace/password").json(&body);
        let answer = by_admin(&world, request).send(&world).await;
        let told = answer.error(400, "invalid_request");
        assert_eq!(told, format!("password: {message}"));
    }
    log_in("ada.lovelace", PASSWORD).send(&world).await.ok();
}

#[tokio::test]
async fn bad_users_are_refused_naming_the_field() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"username": "eve", "password": PASSWORD});
        body[field] = value;
        body.to_string()
    };
    for (body, message) in [
        (String::new(), "body: "),
        ("[]".to_owned(), "body: "),
        (r#"["eve","pw"]"#.to_owned(), "body: "),
        (r#"{"username":"eve"}"#.to_owned(), "password: is missing"),
        (r#"{"password":"eve"}"#.to_owned(), "username: is missing"),
        (
            r#"{"username":"eve","password":"a","password":"b"}"#.to_owned(),
            "password: is there more than once",
        ),
        (with("is_admin", json!(true)), "is_admin: unknown field"),
        (with("username", json!("")), "username: "),
        (with("username", json!("a".repeat(101))), "username: "),
        (with("username", json!("../x")), "username: "),
        (with("username", json!("a\u{0}b")), "username: "),
        (
            with("password", json!(["x"])),
            "password: expected a string",
        ),
        (with("password", json!("short")), "password: "),
        (with("password", json!("x".repeat(257))), "password: "),
        (with("email", json!("nowhere")), "email: "),
        (with("roles", json!("student")), "roles: expected an array"),
        (with("roles", json!([""])), "roles: "),
        (with("attributes", json!([])), "attributes: expected"),
        (
            with("attributes", json!({"a": "x".repeat(5_000)})),
            "attributes: ",
        ),
    ] {
        let request = by_admin(&world, post("/api/users").json_text(body.clone()));
        let told = request.send(&world).await.error(400, "invalid_request");
        assert!(told.starts_with(message), "{body}: {told}");
    }
    let taken = json!({"username": "ADA", "password": PASSWORD});
    let answer = by_admin(&world, post("/api/users").json(&taken));
    answer.send(&world).await.error(409, "conflict");
    let listed = by_admin(&world, get("/api/users")).send(&world).await.ok();
    assert_eq!(listed["users"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_bad_change_of_a_user_changes_nothing() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let before = by_admin(&world, get("/api/users/ada")).send(&world).await;
    let before = before.ok();
    for (request, message) in [
        (patch("/api/users/ada").json(&json!({})), ""),
        (
            patch("/api/users/ada").json(&json!({"username": "eve"})),
            "username: unknown field",
        ),
        (
            patch("/api/users/ada").json(&json!({"password": "eve"})),
            "password: unknown field",
        ),
        (
            patch("/api/users/ada").json(&json!({"is_active": "no"})),
            "is_active: expected true or false",
        ),
        (
            post("/api/users/ada/password").json(&json!({"password": "x", "more": 1})),
            "more: unknown field",
        ),
        (
            post("/api/users/ada/password").json(&json!({"password": ""})),
            "password: ",
        ),
        (
            get("/api/users/%00"),
            "username: it must have no control characters",
        ),
        (get("/api/users/%ff"), "username: it is not UTF-8"),
        (
            get(&format!("/api/users/{}", "a".repeat(257))),
            "username: it must have 1 to 256 bytes",
        ),
    ] {
        let request = by_admin(&world, request);
        let told = request.send(&world).await.error(400, "invalid_request");
        assert!(told.starts_with(message), "{told}");
    }
    let after = by_admin(&world, get("/api/users/ada")).send(&world).await;
    assert_eq!(after.ok(), before);
}
