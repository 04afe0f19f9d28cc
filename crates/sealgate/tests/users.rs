//! `sealgate user`: users at the command line, as a running server knows them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, Response, Server};

const PASSWORD: &str = "correct horse battery";
const PROMISE: Duration = Duration::from_secs(1);

fn add(home: &Home, arguments: &[&str]) -> Value {
    let arguments = [&["user", "add", "--password-stdin", "--json"], arguments].concat();
    let ran = home.run_with_input(&arguments, &format!("{PASSWORD}\n"));
    ran.success().json()
}

fn show(home: &Home, name: &str) -> Value {
    home.json(&["user", "show", "--username", name])
}

fn names(listed: &Value) -> Vec<&str> {
    let users = listed["users"].as_array().expect("users");
    let names = users.iter().map(|user| user["username"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

fn log_in(server: &Server, password: &str) -> Response {
    let body = json!({"username": "ada", "password": password});
    server.post("/api/auth/login").json(&body).send()
}

fn token(server: &Server) -> String {
    let answer = log_in(server, PASSWORD).expect(200).json();
    let token = answer["data"]["token"].as_str();
    token.expect("a token").to_owned()
}

fn profile(server: &Server, token: &str) -> Response {
    server.get("/api/profile").bearer(token).send()
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn time_to_refusal(server: &Server, token: &str) -> Duration {
    let start = Instant::now();
    while profile(server, token).status != 401 {
        assert!(start.elapsed() < 10 * PROMISE, "never refused");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

#[test]
fn a_user_is_made_shown_changed_and_deleted() {
    let home = Home::new();
    let made = add(
        &home,
        &[
            "--username",
            "ada",
            "--display-name",
            "Ada Lovelace",
            "--email",
            "ada@example.com",
            "--role",
            "student",
            "--role",
            "tutor",
            "--attribute",
            "year=2",
            "--attribute",
            "faculty=KICT",
        ],
    );
    assert_eq!(made["username"], "ada");
    assert_eq!(made["roles"], json!(["student", "tutor"]));
    assert_eq!(made["attributes"], json!({"year": 2, "faculty": "KICT"}));
    assert_eq!(made["is_active"], true);
    assert_eq!(made["last_login_at"], Value::Null);
    // The case of letters does not tell users apart.
    assert_eq!(show(&home, "ADA")["user_id"], made["user_id"]);

    let update = ["user", "update", "--username", "ada"];
    let changed = home.json(
        &[
            &update[..],
            &["--attribute", "year=3", "--attribute", "faculty=null"],
            &["--email", "", "--role", "graduate"],
        ]
        .concat(),
    );
    assert_eq!(changed["attributes"], json!({"year": 3}));
    assert_eq!(changed["email"], Value::Null);
    assert_eq!(changed["roles"], json!(["graduate"]));
    assert_eq!(changed["display_name"], "Ada Lovelace");
    home.run(&update).failure(2, "nothing is to be changed");

    let delete = ["user", "delete", "--username", "ada"];
    assert_eq!(home.json(&delete)["message"], "User deleted");
    home.run(&delete).failure(1, "there is no such user");
    home.run(&["user", "show", "--username", "ada"])
        .failure(1, "sealgate user list");
}

#[test]
fn users_are_listed_by_name_and_by_whether_they_may_log_in() {
    let home = Home::new();
    for name in ["charles", "ada", "adele"] {
        add(&home, &["--username", name]);
    }
    home.run(&["user", "disable", "--username", "adele"])
        .success();
    let list = |arguments: &[&str]| home.json(&[&["user", "list"], arguments].concat());
    assert_eq!(names(&list(&[])), ["ada", "adele", "charles"]);
    assert_eq!(names(&list(&["--search", "AD"])), ["ada", "adele"]);
    assert_eq!(names(&list(&["--disabled"])), ["adele"]);
    assert_eq!(names(&list(&["--active"])), ["ada", "charles"]);

    let page = list(&["--limit", "2"]);
    assert_eq!(names(&page), ["ada", "adele"]);
    let cursor = page["next_cursor"].as_str().expect("there are more");
    let page = list(&["--cursor", cursor]);
    assert_eq!(names(&page), ["charles"]);
    assert_eq!(page["next_cursor"], Value::Null);
    home.run(&["user", "list", "--limit", "0"])
        .failure(2, "--limit: ");
    assert_eq!(
        home.run(&["user", "list", "--quiet"]).success().stdout,
        "ada\nadele\ncharles\n"
    );
}

#[test]
fn a_user_with_a_name_that_is_taken_is_not_made() {
    let home = Home::new();
    add(&home, &["--username", "ada"]);
    let again = ["user", "add", "--username", "Ada", "--password-stdin"];
    home.run_with_input(&again, PASSWORD)
        .failure(1, "there is a user Ada already");
}

#[test]
fn a_password_comes_from_standard_input_and_never_from_an_argument() {
    let home = Home::new();
    let arguments = ["user", "add", "--username", "ada"];
    home.run(&arguments)
        .failure(2, "there is no terminal to ask for a password on")
        .failure(2, "--password-stdin");
    let ran = home.run(&[&arguments[..], &["--password", PASSWORD]].concat());
    ran.failure(2, "unexpected argument");

    let from_stdin = [&arguments[..], &["--password-stdin"]].concat();
    for (input, says) in [
        ("", "nothing on standard input"),
        (
            "short\n",
            "the password: it must have at least 8 characters",
        ),
        ("\n", "the password: it must have at least 8 characters"),
        (
            &"x".repeat(300),
            "the password: it must have at most 256 bytes",
        ),
        (&"x".repeat(5_000), "too long for a password"),
    ] {
        let ran = home.run_with_input(&from_stdin, input);
        assert_ne!(ran.code, Some(0));
        assert!(ran.stderr.contains(says), "{ran:?}");
        assert!(!ran.stderr.contains("xxx") && !ran.stderr.contains("short"));
    }
    let named = [
        "user",
        "add",
        "--username",
        "ada.lovelace",
        "--password-stdin",
    ];
    home.run_with_input(&named, "Ada.Lovelace\n")
        .failure(2, "the password: it is the user name: choose another");
    // Only the first line counts, and its end is no part of it.
    home.run_with_input(&from_stdin, &format!("{PASSWORD}\r\nmore\n"))
        .success();
    let server = Server::start(&home);
    log_in(&server, PASSWORD).expect(200);
}

#[test]
fn what_ends_a_users_sessions_counts_in_a_running_server_within_a_second() {
    let home = Home::new();
    add(&home, &["--username", "ada"]);
    let server = Server::start(&home);
    let user = |what: &str| home.run(&["user", what, "--username", "ada"]).success();

    let session = token(&server);
    profile(&server, &session).expect(200);
    user("logout");
    assert!(time_to_refusal(&server, &session) < PROMISE);

    let session = token(&server);
    user("disable");
    assert!(time_to_refusal(&server, &session) < PROMISE);
    log_in(&server, PASSWORD).expect(401);
    user("enable");

    let session = token(&server);
    let passwd = ["user", "passwd", "--username", "ada", "--password-stdin"];
    home.run_with_input(&passwd, "another horse\n").success();
    assert!(time_to_refusal(&server, &session) < PROMISE);
    log_in(&server, PASSWORD).expect(401);
    let answer = log_in(&server, "another horse").expect(200).json();
    let session = answer["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();

    user("delete");
    assert!(time_to_refusal(&server, &session) < PROMISE);
    log_in(&server, "another horse").expect(401);
}

#[test]
fn the_command_line_and_the_api_show_a_user_alike() {
    let home = Home::new();
    let admin = home.create_key(&["--name", "Admin", "--admin"]);
    let made = add(&home, &["--username", "ada", "--role", "student"]);
    let server = Server::start(&home);
    let get = |path: &str| {
        let answer = server.get(path).api_key(&admin.api_key).send();
        answer.expect(200).json()
    };
    assert_eq!(get("/api/users/ada"), made);
    assert_eq!(get("/api/users/ada"), show(&home, "ada"));
    assert_eq!(get("/api/users"), home.json(&["user", "list"]));
}

#[test]
fn who_did_what_to_whom_is_in_the_log() {
    let home = Home::new();
    add(&home, &["--username", "ada"]);
    for what in ["disable", "enable", "logout", "delete"] {
        home.run(&["user", what, "--username", "ada"]).success();
    }
    let logs = home.json(&["logs"]);
    let events = logs["events"].as_array().expect("events");
    for action in [
        "user.created",
        "user.disabled",
        "user.enabled",
        "user.logged_out",
        "user.deleted",
    ] {
        let event = events.iter().find(|event| event["action"] == action);
        let event = event.unwrap_or_else(|| panic!("no {action} in {logs}"));
        assert_eq!(event["details"]["username"], "ada");
        assert!(
            event["actor"]
                .as_str()
                .is_some_and(|it| it.starts_with("cli:"))
        );
    }
}
