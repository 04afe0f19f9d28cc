//! Settings of users and sessions, as a running server follows them: where users come from, in which
//! header a seal key comes, how a wrong one is answered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use std::time::Duration;

use serde_json::{Value, json};

use self::slapd::Slapd;
use crate::support::{Home, Ran, Response, Server, Stopwatch};

#[path = "../../identity/tests/ldap/slapd.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the tests of LDAP itself use more of it, and stop where it fails"
)]
mod slapd;

const PASSWORD: &str = "correct horse battery";
const WRONG_PASSWORD: &str = "battery horse incorrect";

fn log_in(server: &Server, password: &str) -> Response {
    let body = json!({"username": "ada", "password": password});
    server.post("/api/auth/login").json(&body).send()
}

/// A portal of one user; it serves as long as the test runs. Gives its address.
fn portal() -> String {
    portal_that_refuses("401 Unauthorized", "{}")
}

/// A portal that says no with the status of a yes.
fn careless_portal() -> String {
    portal_that_refuses("200 OK", r#"{"success":false}"#)
}

fn portal_that_refuses(status: &'static str, refusal: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let streams = listener.incoming().flatten();
        streams.for_each(|it| answer(&it, (status, "", refusal)));
    });
    format!("http://{address}/login")
}

fn answer(stream: &TcpStream, refusal: (&str, &str, &str)) {
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
    let (status, cookie, answer) = if is_right {
        let cookie = "Set-Cookie: MOD_AUTH_CAS=ticket-of-ada; Path=/; HttpOnly\r\n";
        ("200 OK", cookie, r#"{"name":"Ada","kulliyyah":"KICT"}"#)
    } else {
        refusal
    };
    let length = answer.len();
    let _ = write!(
        &mut &*stream,
        "HTTP/1.1 {status}\r\n{cookie}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
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

/// A command in a home whose users come from a portal.
fn portal_command(home: &Home, url: &str, arguments: &[&str]) -> Ran {
    let mut command = home.command(arguments);
    of_portal(&mut command, url);
    Ran::of(&mut command)
}

fn token_of(login: &Response) -> String {
    let token = login.json()["data"]["token"].clone();
    token.as_str().expect("a token").to_owned()
}

/// Waits until a session is over, which takes a second at most.
fn wait_for_the_end(profile: impl Fn() -> Response) {
    let watch = Stopwatch::start();
    while profile().status != 401 {
        assert!(watch.elapsed() < Duration::from_secs(10), "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn users_come_from_a_login_over_http() {
    let home = Home::new();
    let url = portal();
    let server = Server::start_with(&home, |command| of_portal(command, &url));
    log_in(&server, WRONG_PASSWORD).expect(401);
    let token = token_of(&log_in(&server, PASSWORD).expect(200));
    let profile = || server.get("/api/profile").bearer(&token).send();
    assert_eq!(
        profile().expect(200).json()["data"],
        json!({
            "username": "ada",
            "name": "Ada",
            "kulliyyah": "KICT",
            "cookies": {"MOD_AUTH_CAS": "ticket-of-ada"},
        })
    );

    portal_command(&home, &url, &["user", "logout", "--username", "ada"]).success();
    wait_for_the_end(profile);
}

#[test]
fn a_user_of_a_portal_is_no_user_of_the_store() {
    let home = Home::new();
    let url = portal();
    let server = Server::start_with(&home, |command| of_portal(command, &url));
    log_in(&server, PASSWORD).expect(200);
    let listed = portal_command(&home, &url, &["user", "list", "--json"]).success();
    assert_eq!(listed.json()["users"], json!([]));
    portal_command(&home, &url, &["user", "show", "--username", "ada"])
        .failure(1, "there is no such user");
}

#[test]
fn what_a_portal_is_told_and_tells_is_in_no_log_and_no_file() {
    let home = Home::new();
    let url = portal();
    let server = Server::start_with(&home, |command| {
        of_portal(command, &url);
        command.env("SEALGATE_LOG_LEVEL", "trace");
    });
    log_in(&server, WRONG_PASSWORD).expect(401);
    let token = token_of(&log_in(&server, PASSWORD).expect(200));
    let profile = server.get("/api/profile").bearer(&token).send();
    profile.expect(200);
    let (_, log) = server.stop();
    assert!(log.contains("/api/auth/login"), "{log}");

    let audit = home.run(&["logs", "--limit", "1000", "--json"]).success();
    for recorded in ["login.failed", "directory_refused", "session.started"] {
        assert!(audit.stdout.contains(recorded), "{recorded}: {audit:?}");
    }
    let mut places = vec![log, audit.stdout];
    for entry in std::fs::read_dir(home.data_dir()).expect("the data directory") {
        let bytes = std::fs::read(entry.expect("a file").path()).expect("its bytes");
        places.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for secret in [PASSWORD, WRONG_PASSWORD, "ticket-of-ada", "KICT", &token] {
        assert!(places.iter().all(|text| !text.contains(secret)), "{secret}");
    }
}

#[test]
fn users_of_the_store_are_made_with_a_warning_where_nobody_logs_in_as_them() {
    let home = Home::new();
    let url = portal();
    let mut add = home.command(&["user", "add", "--username", "eve", "--password-stdin"]);
    of_portal(&mut add, &url);
    let ran = Ran::with_input(&mut add, PASSWORD).success();
    let warning = "identity.backend names another directory: nobody logs in as a user of this one";
    assert!(ran.stderr.contains(warning), "{ran:?}");
    for arguments in [
        &["user", "list"][..],
        &["user", "update", "--username", "eve", "--role", "tutor"],
        &["user", "disable", "--username", "eve"],
        &["user", "delete", "--username", "eve"],
    ] {
        let ran = portal_command(&home, &url, arguments).success();
        assert!(ran.stderr.contains(warning), "{ran:?}");
    }
}

#[test]
fn users_come_from_a_directory_over_ldaps() {
    let (home, slapd) = (Home::new(), Slapd::start());
    let password = "correct horse";
    write_ldap_settings(&home, &slapd.ldaps(), &slapd.ca_file());
    let server = Server::start(&home);
    let attempt = |username: &str, password: &str| {
        let body = json!({"username": username, "password": password});
        server.post("/api/auth/login").json(&body).send()
    };
    for (username, password) in [("ada", "correct horsf"), ("nobody", password)] {
        let refused = attempt(username, password).expect(401).json();
        assert_eq!(refused["error"], "invalid_credentials", "{username}");
    }
    let token = token_of(&attempt("ada", password).expect(200));
    let profile = || server.get("/api/profile").bearer(&token).send();
    assert_eq!(
        profile().expect(200).json()["data"],
        json!({
            "username": "ada",
            "dn": "uid=ada,ou=people,dc=example,dc=org",
            "attributes": {
                "cn": ["Ada Lovelace", "Augusta Ada King"],
                "mail": ["ada@example.org"],
            },
        })
    );

    home.run(&["user", "logout", "--username", "ada"]).success();
    wait_for_the_end(profile);
    attempt("ada", password).expect(200);
}

#[test]
fn a_directory_whose_certificate_somebody_else_signed_is_told_no_password() {
    let (home, slapd) = (Home::new(), Slapd::start());
    write_ldap_settings(&home, &slapd.ldaps(), &slapd.other_ca_file());
    let server = Server::start(&home);
    let away = log_in(&server, "correct horse").expect(503).json();
    assert_eq!(away["error"], "directory_unavailable");
}

/// Settings by which users come from a directory, where an account that may read searches for them.
fn write_ldap_settings(home: &Home, url: &str, ca_file: &Path) {
    home.write("ldap-password", "reads users\n");
    let ca_file = ca_file.display();
    home.write(
        "sealgate.toml",
        &format!(
            r#"
[identity]
backend = "ldap"

[identity.ldap]
url = "{url}"
ca_file = "{ca_file}"
search_base = "ou=people,dc=example,dc=org"
bind_dn = "cn=reader,dc=example,dc=org"
bind_password_file = "ldap-password"
attributes = ["cn", "mail"]
"#
        ),
    );
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
fn doctor_tries_a_login_that_nobody_has() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let careless = careless_portal();
    let portals = [
        (portal(), "ok", "it refuses a login that nobody has"),
        (careless, "fail", "lets everybody in"),
        (
            "http://127.0.0.1:1/login".to_owned(),
            "warn",
            "nobody can log in",
        ),
    ];
    for (url, level, message) in portals {
        let mut command = home.command(&["doctor", "--json"]);
        of_portal(&mut command, &url);
        let ran = Ran::of(&mut command);
        let findings = ran.json()["findings"].as_array().expect("findings").clone();
        let found = findings.iter().find(|found| found["check"] == "directory");
        let found = found.expect("a finding about the directory");
        assert_eq!(found["level"], level, "{found}");
        assert!(found["message"].to_string().contains(message), "{found}");
    }
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
