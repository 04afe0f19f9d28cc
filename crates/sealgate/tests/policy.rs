//! The policy: `sealgate check` explains it, a server judges by it, and SIGHUP puts another in force.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Home, Key, Server, Stopwatch};

/// How long a server may take to hear a signal before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const RULES: &str = r#"
[[routes]]
path = "/health"
anonymous = true

[[routes]]
path = "/orders/{id}"
methods = ["GET"]
permissions = "orders:read"

[[routes]]
path = "/orders/*"
permissions = "orders:read orders:write"
credentials = ["key"]

[[routes]]
path = "/testing"
environment = "testing"

[[routes]]
path = "/portal"
credentials = ["session"]

[[routes]]
path = "/internal/*"
deny = true
"#;

fn verify(server: &Server, key: Option<&str>, method: &str, path: &str) -> u16 {
    let request = server
        .get("/api/auth/verify")
        .header("X-Forwarded-Method", method)
        .header("X-Forwarded-Uri", path);
    let request = match key {
        Some(key) => request.api_key(key),
        None => request,
    };
    request.send().status
}

fn check(home: &Home, key: Option<&Key>, method: &str, path: &str) -> Value {
    let request = ["check", "--method", method, "--path", path];
    match key {
        Some(key) => home.json(&[&request[..], &["--id", &key.prefix]].concat()),
        None => home.json(&request),
    }
}

fn reasons(told: &Value) -> Vec<&str> {
    let reasons = told["reasons"].as_array().expect("reasons").iter();
    reasons
        .map(|because| because["reason"].as_str().expect("a reason"))
        .collect()
}

#[test]
fn a_server_does_what_check_says() {
    let home = Home::new();
    home.write("sealgate.toml", RULES);
    let server = Server::start(&home);
    let key = |name: &str, permissions: &str| {
        home.create_key(&["--name", name, "--permissions", permissions])
    };
    let reader = key("reader", "orders:read");
    let writer = key("writer", "orders:* api:read");
    let admin = home.create_key(&["--name", "admin", "--admin"]);
    let revoked = key("revoked", "orders:*");
    home.run(&["revoke", "--id", &revoked.id]).success();
    let other = ["--name", "other", "--environment", "testing"];
    let other = home.create_key(&other);
    let keys = [&reader, &writer, &admin, &revoked, &other];
    let callers = keys.map(Some).into_iter().chain([None]);
    let requests = [
        ("GET", "/health"),
        ("GET", "/orders/7?x=/internal"),
        ("HEAD", "/orders/7/"),
        ("POST", "/orders/7"),
        ("GET", "/orders/7/lines/a%20b"),
        ("GET", "/testing"),
        ("GET", "/portal"),
        ("POST", "/internal/metrics"),
        ("GET", "/orders/..%2finternal/metrics"),
        ("get", "/orders/7"),
        ("GET", "/Internal"),
        ("GET", "/elsewhere"),
        ("PUT", "/elsewhere"),
        ("OPTIONS", "*"),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for caller in callers {
        for (method, path) in requests {
            let told = check(&home, caller, method, path);
            let key = caller.map(|key| key.api_key.as_str());
            let status = verify(&server, key, method, path);
            let by_reason = |reason: &str| match reason {
                "ambiguous" => 400,
                "no_credential" | "key_revoked" | "other_environment" => 401,
                _ => 403,
            };
            // A rule that nobody passes is told before any credential is looked at.
            let expected = reasons(&told).first().copied().map_or(200, by_reason);
            assert_eq!(status, expected, "{method} {path}: {told}");
            assert_eq!(told["allowed"], Value::from(status == 200), "{told}");
            seen.extend(reasons(&told).into_iter().map(str::to_owned));
        }
    }
    let all = [
        "ambiguous",
        "credential_kind_not_allowed",
        "key_revoked",
        "missing_permission",
        "no_credential",
        "other_environment",
        "route_closed",
        "route_environment",
    ];
    assert!(seen.iter().eq(all), "{seen:?}");
}

#[test]
fn check_names_the_rule_that_decides_its_line_and_those_before() {
    let home = Home::new();
    home.write("sealgate.toml", RULES);
    let key = home.create_key(&["--name", "Reader", "--permissions", "orders:read"]);
    let told = check(&home, Some(&key), "POST", "/orders/7");
    assert_eq!(told["rule"]["path"], "/orders/*");
    assert_eq!(told["rule"]["line"], 11);
    assert_eq!(told["passed_over"][0]["because"], "path");
    assert_eq!(told["passed_over"][1]["because"], "method");
    assert_eq!(told["needs"]["permissions"][0]["granted"], true);
    assert_eq!(told["needs"]["permissions"][1]["granted"], false);
    assert_eq!(told["key"]["name"], "Reader");
    assert_eq!(told["reasons"][0]["message"], "the key lacks orders:write");

    let text = home.run(&[
        "check",
        "--method",
        "POST",
        "--path",
        "/orders/7",
        "--id",
        &key.id,
        "--kind",
        "token",
    ]);
    let text = text.success().stdout.replace(&key.prefix, "TcE8hG4L");
    insta::assert_snapshot!("check", text);
    let text = home.run(&["check", "--path", "/orders/..%2f%2e%2e/Health"]);
    insta::assert_snapshot!("check_ambiguous", text.success().stdout);
}

#[test]
fn check_needs_no_store_for_a_request_without_a_key() {
    let home = Home::new();
    home.write("sealgate.toml", RULES);
    assert_eq!(check(&home, None, "GET", "/health")["allowed"], true);
    let session = ["check", "--path", "/portal", "--kind", "session"];
    assert_eq!(home.json(&session)["allowed"], true);
    assert!(!home.database().exists());
    home.run(&["check", "--path", "/", "--kind", "token"])
        .failure(2, "--kind token needs --id");
    home.run(&["check", "--path", "/", "--id", "TcE8hG4L"])
        .failure(1, "there is no store");
}

#[test]
fn a_value_that_is_sealed_into_a_session_is_handed_to_the_service() {
    let home = Home::new();
    home.write(
        "sealgate.toml",
        "[[routes]]\npath = \"/portal\"\n\
         inject = [\"Cookie: portal={session.attributes.cookie}\", \"X-User: {subject}\"]\n\
         [[routes]]\npath = \"/other\"\ninject = \"X-Other: {session.attributes.other}\"\n",
    );
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    let add = [&add[..], &["--attribute", "cookie=s3cret"]].concat();
    home.run_with_input(&add, "correct horse battery\n")
        .success();
    let server = Server::start(&home);
    let body = serde_json::json!({ "username": "ada", "password": "correct horse battery" });
    let login = server
        .post("/api/auth/login")
        .json(&body)
        .send()
        .expect(200);
    let token = login.json()["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let ask = |path: &str| {
        let request = server.get("/api/auth/verify").bearer(&token);
        request.header("X-Forwarded-Uri", path).send()
    };
    let passed = ask("/portal").expect(200);
    assert_eq!(passed.header("cookie"), Some("portal=s3cret"), "{passed:?}");
    assert_eq!(passed.header("x-user"), Some("ada"));
    assert_eq!(passed.header("x-auth-kind"), Some("session"));
    let refused = ask("/other").expect(403);
    assert_eq!(refused.header("x-other"), None);
    // A key has no session.
    let key = home.create_key(&["--name", "x", "--admin"]);
    assert_eq!(verify(&server, Some(&key.api_key), "GET", "/portal"), 403);
}

#[test]
fn a_server_does_not_start_with_a_mistake_in_the_policy() {
    let home = Home::new();
    home.write(
        "sealgate.toml",
        &format!("{RULES}\n[[routes]]\npath = \"orders\"\n"),
    );
    home.run(&["serve", "--listen", "127.0.0.1:0"])
        .failure(1, "sealgate.toml:29: routes.path: `orders` is not a path");
    home.write("sealgate.toml", "[[routes]]\npath = \"/a\"\nrole = \"x\"\n");
    home.run(&["serve", "--listen", "127.0.0.1:0"])
        .failure(1, "sealgate.toml:3: routes.role: unknown field `role`");
}

#[test]
fn sighup_puts_the_policy_of_the_file_in_force_and_a_mistake_keeps_the_old_one() {
    let home = Home::new();
    home.write("sealgate.toml", RULES);
    let server = Server::start(&home);
    let health = || verify(&server, None, "GET", "/health");
    let reloads = |result: &str, count: u32| {
        let line = format!("sealgate_policy_reloads_total{{result=\"{result}\"}} {count}");
        let stopwatch = Stopwatch::start();
        while !server.get("/metrics").send().body.contains(&line) {
            assert!(stopwatch.elapsed() < PATIENCE, "no {line}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert_eq!(health(), 200);

    home.write(
        "sealgate.toml",
        "[[routes]]\npath = \"/*\"\n\n[[routes]]\npath = \"/a\"\n",
    );
    server.signal(Signal::HUP);
    reloads("failed", 1);
    assert_eq!(health(), 200);

    std::fs::remove_file(home.here().join("sealgate.toml")).expect("the file is there");
    server.signal(Signal::HUP);
    reloads("failed", 2);
    assert_eq!(health(), 200);
    assert_eq!(verify(&server, None, "GET", "/internal"), 403);

    let changed =
        "[server]\nrequest_timeout_seconds = 7\n\n[[routes]]\npath = \"/*\"\ndeny = true\n";
    home.write("sealgate.toml", changed);
    server.signal(Signal::HUP);
    reloads("ok", 1);
    assert_eq!(health(), 403);

    let (_, log) = server.stop();
    for says in [
        "the policy stays as it was: sealgate.toml:5: routes.path: this rule never decides",
        "the policy stays as it was: there is no settings file sealgate.toml",
        "settings other than [[routes]] have changed: they take a restart",
        "the policy was read again",
    ] {
        assert!(log.contains(says), "{says:?} is not in\n{log}");
    }
}
