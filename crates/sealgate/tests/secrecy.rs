//! A secret planted in every input comes out nowhere: not in the log at its most talkative, not in
//! an answer, not in what a command says, not in the store's files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;

use crate::support::{Home, Key, Request, Server};

/// What must never be seen again: pieces long enough to be no accident, short enough to show where
/// a secret was cut.
fn pieces(secret: &str) -> Vec<&str> {
    let body = secret.split_once('.').map_or(secret, |(_, after)| after);
    (0..body.len() - 16)
        .step_by(8)
        .map(|start| &body[start..start + 16])
        .collect()
}

#[track_caller]
fn nowhere(secrets: &[String], place: &str, text: &str) {
    for secret in secrets {
        for piece in pieces(secret) {
            assert!(
                !text.contains(piece),
                "{piece} of a secret is in {place}: {text}"
            );
        }
    }
}

#[test]
fn a_secret_in_any_place_comes_out_nowhere() {
    let home = Home::new();
    let admin = home.create_key(&["--name", "Admin", "--admin"]);
    let revoked = home.create_key(&["--name", "revoked"]);
    home.run(&["revoke", "--id", &revoked.id]).success();
    let server = talkative(&home, |_| ());
    let issued = server
        .post("/api/auth/token")
        .api_key(&admin.api_key)
        .send()
        .expect(200);
    let token = issued.json()["token"]
        .as_str()
        .expect("as the test set it up")
        .to_owned();
    let secrets = vec![admin.api_key.clone(), revoked.api_key.clone(), token];

    for secret in &secrets {
        for answer in planted_answers(&server, &admin, secret) {
            nowhere(&secrets, "an answer", &answer);
        }
        for ran in planted_commands(&home, secret) {
            nowhere(&secrets, "what a command said", &ran);
        }
    }
    let log = log_of(server);
    assert!(log.len() > 10_000, "the log was not talkative: {log}");
    nowhere(&secrets, "the log", &log);
    let audit = nowhere_at_rest(&secrets, &home);
    assert!(
        audit.contains("[redacted]"),
        "nothing was planted in a record"
    );
}

/// A server whose log is at its most talkative.
fn talkative(home: &Home, adjust: impl FnOnce(&mut Command)) -> Server {
    Server::start_with(home, |command| {
        command
            .env("SEALGATE_LOG_LEVEL", "trace")
            .env("SEALGATE_LOG_FORMAT", "json");
        adjust(command);
    })
}

/// Stops a server after it has written its refusals and counts, which takes a second or so.
fn log_of(server: Server) -> String {
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let (_, log) = server.stop();
    log
}

/// Checks the audit log, which it gives, and the store's files.
#[track_caller]
fn nowhere_at_rest(secrets: &[String], home: &Home) -> String {
    let audit = home.run(&["logs", "--limit", "1000", "--json"]).success();
    nowhere(secrets, "the audit log", &audit.stdout);
    for entry in std::fs::read_dir(home.data_dir()).expect("the data directory") {
        let path = entry.expect("a file of it").path();
        let bytes = std::fs::read(&path).expect("its bytes");
        let text = String::from_utf8_lossy(&bytes);
        nowhere(secrets, &path.display().to_string(), &text);
    }
    audit.stdout
}

/// Requests with the secret in one place each, and what was answered.
fn planted_answers(server: &Server, admin: &Key, secret: &str) -> Vec<String> {
    let requests = [
        planted_in_paths(server, admin, secret),
        planted_in_headers(server, secret),
        planted_in_bodies(server, admin, secret),
    ];
    let asked = requests.into_iter().flatten();
    let asked = asked.map(|request| format!("{:?}", request.send()));
    asked
        .chain(planted_in_what_is_no_request(server, secret))
        .collect()
}

fn planted_in_paths(server: &Server, admin: &Key, secret: &str) -> Vec<Request> {
    let mut requests = Vec::new();
    for path in [
        "",
        "/",
        "/api/",
        "/api/auth/keys/",
        "/api/auth/keys?q=",
        "/api/auth/keys?cursor=",
    ] {
        let ask = || server.get(&format!("{path}{secret}"));
        requests.extend([ask().api_key(&admin.api_key), ask()]);
    }
    let ask = server.get(&format!("/api/auth/keys?{secret}=1"));
    requests.push(ask.api_key(&admin.api_key));
    requests
}

fn planted_in_headers(server: &Server, secret: &str) -> Vec<Request> {
    let mut requests = Vec::new();
    for header in [
        "User-Agent",
        "Referer",
        "Cookie",
        "Origin",
        "X-Request-Id",
        "X-Forwarded-For",
    ] {
        requests.push(server.get("/nowhere").header(header, secret));
        let ask = server.get("/api/encrypt");
        requests.push(ask.header(header, &format!("x {secret}")));
    }
    for credential in [
        secret.to_owned(),
        format!("{secret}x"),
        format!("Basic {secret}"),
    ] {
        let ask = || server.get("/api/auth/keys/nonsense");
        requests.extend([ask().api_key(&credential), ask().bearer(&credential)]);
        let ask = server.get("/nowhere");
        requests.push(ask.header("Authorization", &credential));
    }
    requests
}

fn planted_in_bodies(server: &Server, admin: &Key, secret: &str) -> Vec<Request> {
    let made = [
        json!({"name": secret}),
        json!({"name": "x", "description": format!("key {secret}")}),
        json!({"name": "x", "permissions": secret}),
        json!({"name": "x", "allowed_ips": [secret]}),
        json!({"name": "x", "environment": secret}),
        json!({"name": "x", "rate_limit": secret}),
        json!({"name": "x", "api_key": secret}),
        json!({secret: "x"}),
    ];
    let keys = "/api/auth/keys";
    let mut bodies: Vec<_> = made.map(|body| (keys.to_owned(), body)).into();
    for change in ["revoke", "rotate"] {
        let path = format!("{keys}/{}/{change}", admin.id);
        bodies.push((path, json!({"reason": secret})));
    }
    bodies.push(("/api/decrypt".to_owned(), json!({"ciphertext": secret})));
    let ask = |(path, body): (String, _)| server.post(&path).api_key(&admin.api_key).json(&body);
    bodies.into_iter().map(ask).collect()
}

/// What is answered to what is no HTTP.
fn planted_in_what_is_no_request(server: &Server, secret: &str) -> Vec<String> {
    let answer = |raw: String| {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.write_all(raw.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    [
        format!("GET /{secret} HTTP/9.9\r\n\r\n"),
        format!("{secret} / HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: {secret}\0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{secret}\r\n\r\n"),
    ]
    .map(answer)
    .into()
}

/// Commands with the secret in one place each, and what they said.
fn planted_commands(home: &Home, secret: &str) -> Vec<String> {
    let arguments: [&[&str]; 9] = [
        &["revoke", "--id", secret],
        &["rotate", "--id", secret],
        &["logs", "--id", secret],
        &["show", "--id", secret],
        &["create", "--name", secret],
        &["create", "--name", "x", "--permissions", secret],
        &["create", "--name", "x", "--allow-ip", secret],
        &["create", "--name", "x", "--environment", secret],
        &[secret],
    ];
    let mut said = Vec::new();
    for arguments in arguments {
        for format in [None, Some("--json")] {
            let arguments: Vec<&str> = arguments.iter().copied().chain(format).collect();
            let ran = home.run(&arguments);
            assert_ne!(ran.code, Some(0), "{ran:?}");
            said.push(format!("{} {}", ran.stdout, ran.stderr));
        }
    }
    let line = json!({"name": secret, secret: 1}).to_string();
    let ran = home.run_with_input(&["create", "--from", "-"], &line);
    said.push(format!("{} {}", ran.stdout, ran.stderr));
    said
}

const PASSWORD: &str = "a password with a length to be found again by";
const DEFAULT_KEY: &str = "our own default key, secret";

/// What users type and send: a password, seal keys of every kind, a session token. A password is no
/// credential of a form that could be known again, so that nothing may hold it but its place.
#[test]
fn a_password_or_a_seal_key_in_any_place_of_a_login_comes_out_nowhere() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, PASSWORD).success();
    let managed = home.create_key(&["--name", "Web", "--permissions", "session:seal"]);
    let server = talkative(&home, |command| {
        command.env("SEALGATE_SESSIONS_DEFAULT_KEY", DEFAULT_KEY);
    });
    let generated = server.post("/api/key/generate").send().expect(200).json();
    let generated = generated["api_key"].as_str().expect("a key");
    let hex = "0123456789abcdef9876543210fedcba0a1b2c3d4e5f";

    let mut secrets = vec![PASSWORD.to_owned(), DEFAULT_KEY.to_owned()];
    for seal_key in [generated, hex, &managed.api_key] {
        secrets.extend(secrets_of_session(&server, seal_key));
    }
    for body in [
        json!({"username": PASSWORD, "password": "x"}),
        json!({"username": "ada", "password": format!("{PASSWORD}!")}),
        json!({"username": "ada", PASSWORD: PASSWORD}),
        json!({"username": ["ada"], "password": [PASSWORD]}),
    ] {
        server.post("/api/auth/login").json(&body).send();
    }
    nowhere(&secrets, "the log", &log_of(server));
    nowhere_at_rest(&secrets, &home);
}

/// Logs in with a seal key, and sends it where it belongs and where it does not; gives what of it and
/// of the token is secret.
fn secrets_of_session(server: &Server, seal_key: &str) -> [String; 2] {
    let body = json!({"username": "ada", "password": PASSWORD});
    let login = server.post("/api/auth/login").json(&body);
    let answer = login.header("x-gomaluum-key", seal_key).send().expect(200);
    let answer = answer.json();
    let token = answer["data"]["token"].as_str().expect("a token");
    let ask = |key: &str| {
        let ask = server.get("/api/profile").bearer(token);
        ask.header("x-gomaluum-key", key).send()
    };
    ask(seal_key).expect(200);
    ask(&format!("{seal_key}0"));
    ask("gml_1_0000000000000000000000000000000000000000").expect(500);
    server.get(&format!("/{seal_key}")).send().expect(404);
    let digits = seal_key.rsplit(['_', '.']).next().expect("a part");
    let payload = token.split('.').nth(2).expect("a payload");
    [digits, payload].map(str::to_owned)
}
