//! A secret planted in every input comes out nowhere: not in the log at its most talkative, not in
//! an answer, not in what a command says, not in the store's files.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{Home, Key, Server};

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
    let server = Server::start_with(&home, |command| {
        command
            .env("SEALGATE_LOG_LEVEL", "trace")
            .env("SEALGATE_LOG_FORMAT", "json");
    });
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
    // Refusals and counts are written within a second or so.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let (_, log) = server.stop();
    assert!(log.len() > 10_000, "the log was not talkative: {log}");
    nowhere(&secrets, "the log", &log);
    let read_back = home
        .run(&["logs", "--limit", "1000", "--json"])
        .success()
        .stdout;
    assert!(
        read_back.contains("[redacted]"),
        "nothing was planted in a record"
    );
    nowhere(&secrets, "the audit log", &read_back);
    for entry in std::fs::read_dir(home.data_dir()).expect("as the test set it up") {
        let path = entry.expect("as the test set it up").path();
        let bytes = std::fs::read(&path).expect("as the test set it up");
        nowhere(
            &secrets,
            &path.display().to_string(),
            &String::from_utf8_lossy(&bytes),
        );
    }
}

/// Requests with the secret in one place each, and what was answered.
fn planted_answers(server: &Server, admin: &Key, secret: &str) -> Vec<String> {
    let mut answers = Vec::new();
    let mut ask = |request: crate::support::Request| answers.push(format!("{:?}", request.send()));
    for path in [
        "",
        "/api/",
        "/api/auth/keys/",
        "/api/auth/keys?q=",
        "/api/auth/keys?cursor=",
    ] {
        ask(server
            .get(&format!("{path}{secret}"))
            .api_key(&admin.api_key));
        ask(server.get(&format!("{path}{secret}")));
    }
    ask(server
        .get(&format!("/api/auth/keys?{secret}=1"))
        .api_key(&admin.api_key));
    for header in [
        "User-Agent",
        "Referer",
        "Cookie",
        "Origin",
        "X-Request-Id",
        "X-Forwarded-For",
    ] {
        ask(server.get("/nowhere").header(header, secret));
        ask(server
            .get("/api/encrypt")
            .header(header, &format!("x {secret}")));
    }
    for credential in [
        secret.to_owned(),
        format!("{secret}x"),
        format!("Basic {secret}"),
    ] {
        ask(server.get("/api/auth/keys/nonsense").api_key(&credential));
        ask(server.get("/api/auth/keys/nonsense").bearer(&credential));
        ask(server.get("/nowhere").header("Authorization", &credential));
    }
    let bodies: [Value; 8] = [
        json!({"name": secret}),
        json!({"name": "x", "description": format!("key {secret}")}),
        json!({"name": "x", "permissions": secret}),
        json!({"name": "x", "allowed_ips": [secret]}),
        json!({"name": "x", "environment": secret}),
        json!({"name": "x", "rate_limit": secret}),
        json!({"name": "x", "api_key": secret}),
        json!({secret: "x"}),
    ];
    for body in &bodies {
        ask(server
            .post("/api/auth/keys")
            .api_key(&admin.api_key)
            .json(body));
    }
    let id = &admin.id;
    for path in [
        format!("/api/auth/keys/{id}/revoke"),
        format!("/api/auth/keys/{id}/rotate"),
    ] {
        ask(server
            .post(&path)
            .api_key(&admin.api_key)
            .json(&json!({"reason": secret})));
    }
    ask(server
        .post("/api/decrypt")
        .api_key(&admin.api_key)
        .json(&json!({"ciphertext": secret})));
    for raw in [
        format!("GET /{secret} HTTP/9.9\r\n\r\n"),
        format!("{secret} / HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: {secret}\0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{secret}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(server.address()).expect("as the test set it up");
        stream
            .write_all(raw.as_bytes())
            .expect("as the test set it up");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("as the test set it up");
        answers.push(answer);
    }
    answers
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

/// What users type and send: a password, seal keys of every kind, a session token. A password is no
/// credential of a form that could be known again, so that nothing may hold it but its place.
#[test]
fn a_password_or_a_seal_key_in_any_place_of_a_login_comes_out_nowhere() {
    let home = Home::new();
    let password = "a password with a length to be found again by";
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, password).success();
    let managed = home.create_key(&["--name", "Web", "--permissions", "session:seal"]);
    let server = Server::start_with(&home, |command| {
        command
            .env("SEALGATE_LOG_LEVEL", "trace")
            .env("SEALGATE_LOG_FORMAT", "json")
            .env(
                "SEALGATE_SESSIONS_DEFAULT_KEY",
                "our own default key, secret",
            );
    });
    let generated = server.post("/api/key/generate").send().expect(200);
    let generated = generated.json()["api_key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let hex = "0123456789abcdef9876543210fedcba0a1b2c3d4e5f".to_owned();
    let mut secrets = vec![
        password.to_owned(),
        "our own default key, secret".to_owned(),
    ];
    let body = json!({"username": "ada", "password": password});
    for seal_key in [&generated, &hex, &managed.api_key] {
        let login = server.post("/api/auth/login").json(&body);
        let answer = login.header("x-gomaluum-key", seal_key).send().expect(200);
        let token = answer.json()["data"]["token"]
            .as_str()
            .expect("a token")
            .to_owned();
        let payload = token.split('.').nth(2).expect("a payload").to_owned();
        let ask = |key: &str| {
            let ask = server.get("/api/profile").bearer(&token);
            ask.header("x-gomaluum-key", key).send()
        };
        ask(seal_key).expect(200);
        ask(&format!("{seal_key}0"));
        ask("gml_1_0000000000000000000000000000000000000000").expect(500);
        server.get(&format!("/{seal_key}")).send().expect(404);
        secrets.push(
            seal_key
                .rsplit(['_', '.'])
                .next()
                .expect("a part")
                .to_owned(),
        );
        secrets.push(payload);
    }
    for body in [
        json!({"username": password, "password": "x"}),
        json!({"username": "ada", "password": format!("{password}!")}),
        json!({"username": "ada", password: password}),
        json!({"username": ["ada"], "password": [password]}),
    ] {
        server.post("/api/auth/login").json(&body).send();
    }
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let (_, log) = server.stop();
    nowhere(&secrets, "the log", &log);
    let read_back = home.run(&["logs", "--limit", "1000", "--json"]).success();
    nowhere(&secrets, "the audit log", &read_back.stdout);
    for entry in std::fs::read_dir(home.data_dir()).expect("as the test set it up") {
        let path = entry.expect("as the test set it up").path();
        let bytes = std::fs::read(&path).expect("as the test set it up");
        let text = String::from_utf8_lossy(&bytes);
        nowhere(&secrets, &path.display().to_string(), &text);
    }
}
