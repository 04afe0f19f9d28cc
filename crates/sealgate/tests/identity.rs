//! Settings of users and sessions, as a running server follows them: where users come from, in which
//! header a seal key comes, how a wrong one is answered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Home, Ran, Response, Server};

const PASSWORD: &str = "correct horse battery";

fn log_in(server: &Server, password: &str) -> Response {
    let body = json!({"username": "ada", "password": password});
    server.post("/api/auth/login").json(&body).send()
}

/// A portal of one user; it serves as long as the test runs. Gives its address.
fn portal() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(|it| answer(&it)));
    format!("http://{address}/login")
}

fn answer(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let is_right = body == json!({"matric": "ada", "pin": PASSWORD});
    let (status, answer) = if is_right {
        ("200 OK", r#"{"name":"Ada","kulliyyah":"KICT"}"#)
    } else {
        ("401 Unauthorized", "{}")
    };
    let length = answer.len();
    let _ = write!(
        &mut &*stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{answer}"
    );
}

fn of_portal(command: &mut Command, url: &str) {
    command
        .env("SEALGATE_IDENTITY_BACKEND", "http")
        .env("SEALGATE_IDENTITY_HTTP_URL", url)
        .env("SEALGATE_IDENTITY_HTTP_USERNAME_FIELD", "matric")
        .env("SEALGATE_IDENTITY_HTTP_PASSWORD_FIELD", "pin")
        .env("SEALGATE_IDENTITY_HTTP_SUCCESS", "200, 201");
}

#[test]
fn users_come_from_a_login_over_http() {
    let home = Home::new();
    let url = portal();
    let server = Server::start_with(&home, |command| of_portal(command, &url));
    log_in(&server, "wrong").expect(401);
    let answer = log_in(&server, PASSWORD).expect(200).json();
    let token = answer["data"]["token"].as_str().expect("a token");
    let profile = || server.get("/api/profile").bearer(token).send();
    assert_eq!(profile().expect(200).json()["data"]["kulliyyah"], "KICT");

    let logout = &mut home.command(&["user", "logout", "--username", "ada"]);
    of_portal(logout, &url);
    Ran::of(logout).success();
    std::thread::sleep(std::time::Duration::from_secs(1));
    profile().expect(401);
}

#[test]
fn a_directory_of_no_use_stops_the_server_and_no_revocation() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x"]);
    let password = home.write("password", "");
    let ldap = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command
            .env("SEALGATE_LISTEN", "127.0.0.1:0")
            .env("SEALGATE_IDENTITY_BACKEND", "ldap")
            .env("SEALGATE_IDENTITY_LDAP_URL", "ldaps://127.0.0.1:1")
            .env("SEALGATE_IDENTITY_LDAP_SEARCH_BASE", "dc=example")
            .env("SEALGATE_IDENTITY_LDAP_BIND_DN", "cn=sealgate")
            .env("SEALGATE_IDENTITY_LDAP_BIND_PASSWORD_FILE", &password);
        Ran::of(&mut command)
    };
    ldap(&["serve"]).failure(1, "is empty");
    let ran = ldap(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("is empty"), "{ran:?}");
    ldap(&["revoke", "--id", &key.id]).success();
}

#[test]
fn passwords_that_would_travel_in_the_clear_are_pointed_out() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let mut command = home.command(&["doctor", "--json"]);
    of_portal(&mut command, "http://portal.example.com/login");
    let ran = Ran::of(&mut command);
    let findings = ran.json()["findings"].as_array().expect("findings").clone();
    let users = findings.iter().find(|found| found["check"] == "users");
    let users = users.expect("a finding about users");
    assert_eq!(users["level"], "warn");
    assert!(
        users["message"].to_string().contains("in the clear"),
        "{users}"
    );
}

#[test]
fn a_seal_key_comes_in_the_header_that_is_set_and_a_wrong_one_is_answered_as_set() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, PASSWORD).success();
    home.write(
        "sealgate.toml",
        "[sessions]\nheader = \"x-campus-key\"\nkey_prefix = \"cmp\"\nwrong_key_status = 401\n\
         audience = \"campus\"\n",
    );
    let server = Server::start(&home);
    let generate = || {
        let made = server.post("/api/key/generate").send().expect(200).json();
        made["api_key"].as_str().expect("a key").to_owned()
    };
    let (key, other) = (generate(), generate());
    assert!(key.starts_with("cmp_"));
    let body = json!({"username": "ada", "password": PASSWORD});
    let login = server.post("/api/auth/login").header("x-campus-key", &key);
    let answer = login.json(&body).send().expect(200).json();
    let token = answer["data"]["token"].as_str().expect("a token");
    let profile = |key: &str| {
        let ask = server.get("/api/profile").bearer(token);
        ask.header("x-campus-key", key).send()
    };
    profile(&key).expect(200);
    profile(&other).expect(401);
}

#[test]
fn a_server_that_needs_a_seal_key_takes_no_default_and_says_nothing_of_it() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, PASSWORD).success();
    let warning = "the default key, which everybody knows";

    let server = Server::start(&home);
    log_in(&server, PASSWORD).expect(200);
    let (_, log) = server.stop();
    assert!(log.contains(warning), "{log}");

    let server = Server::start_with(&home, |command| {
        command.env("SEALGATE_SESSIONS_REQUIRE_KEY", "1");
    });
    let refused = log_in(&server, PASSWORD).expect(401).json();
    assert_eq!(refused["message"], "API key is required");
    let (_, log) = server.stop();
    assert!(!log.contains(warning), "{log}");
}
