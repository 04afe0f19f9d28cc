//! `sealgate signing-key`: the keys that sign session tokens.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};

use crate::support::{Home, Ran, Response, Server};

/// A seed and its public key, as in the test vectors of PASETO version 4, and the PASERK of both.
const SEED: &str = "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774";
const PUBLIC: &str = "1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2";
const PASERK_PUBLIC: &str = "k4.public.Hrnbu7wEfAP9cGBOAHHwmH4Wsot1ciXBHwBBXQ4gsaI";
const PASERK_SECRET: &str = "k4.secret.tMv7Q99M4hByfZU-SnEzB_oZu32fhQQUONnhG5QqN3Qeudu7vAR8A_1wYE4AcfCYfhayi3VyJcEfAEFdDiCxog";

/// The names of the members of an object, sorted.
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

fn kids(home: &Home) -> Vec<String> {
    let listed = home.json(&["signing-key", "list"]);
    let keys = listed["keys"].as_array().expect("keys");
    let kids = keys.iter().map(|key| key["kid"].as_str());
    kids.map(|kid| kid.expect("a kid").to_owned()).collect()
}

fn user(home: &Home) {
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, "correct horse\n").success();
}

fn log_in(server: &Server) -> String {
    let body = json!({"username": "ada", "password": "correct horse"});
    let answer = server.post("/api/auth/login").json(&body).send();
    let answer = answer.expect(200).json();
    let token = answer["data"]["token"].as_str();
    token.expect("a token").to_owned()
}

fn profile(server: &Server, token: &str) -> Response {
    server.get("/api/profile").bearer(token).send()
}

#[test]
fn a_rotation_leaves_sessions_and_publishes_the_new_key() {
    let home = Home::new();
    user(&home);
    let server = Server::start(&home);
    let session = log_in(&server);
    let before = kids(&home);
    assert_eq!(before.len(), 1);

    let made = home.json(&["signing-key", "rotate"]);
    let after = kids(&home);
    assert_eq!(after.len(), 2);
    assert_eq!(made["key"]["kid"], *after[0]);
    assert_eq!(made["key"]["verify_until"], Value::Null);
    assert_eq!(made["key"]["state"], "published");
    assert_eq!(after[1], before[0]);
    profile(&server, &session).expect(200);

    let restarted = Server::start(&home);
    let later = log_in(&restarted);
    // A server that has not heard of the key asks the store for it.
    profile(&server, &later).expect(200);
    profile(&restarted, &session).expect(200);
    let published = restarted.get("/.well-known/paseto-keys.json").send();
    assert_eq!(
        published.expect(200).json(),
        home.json(&["signing-key", "list"])
    );
}

#[test]
fn without_a_lead_the_new_key_signs_at_once() {
    let home = Home::new();
    user(&home);
    let server = Server::start(&home);
    let old = log_in(&server);
    let mut rotate = home.command(&["signing-key", "rotate", "--json"]);
    rotate.env("SEALGATE_TOKENS_PUBLISH_LEAD_SECONDS", "0");
    let made = Ran::of(&mut rotate).success().json();
    assert_eq!(made["key"]["state"], "signing");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let signer = |token: &str| token.rsplit('.').next().expect("a footer").to_owned();
    let new = log_in(&server);
    assert_ne!(signer(&old), signer(&new));
    for session in [&old, &new] {
        profile(&server, session).expect(200);
    }
}

#[test]
fn server_keys_are_listed_and_rotated_beside_those_of_sessions() {
    let home = Home::new();
    let eddsa = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("SEALGATE_TOKENS_ALGORITHM", "EdDSA");
        Ran::of(&mut command).success()
    };
    eddsa(&["create", "--name", "client", "--quiet"]);
    let sessions = kids(&home);
    let of_tokens = ["signing-key", "list", "--of", "tokens", "--json"];
    let states = || {
        let keys = home.run(&of_tokens).success().json()["keys"].clone();
        let keys = keys.as_array().expect("keys").iter();
        keys.map(|key| key["state"].as_str().expect("a state").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["signing"]);
    // The settings of this process are others than those of the one that made it.
    let rotate = ["signing-key", "rotate", "--of", "tokens", "--json"];
    let made = home.run(&rotate).success().json();
    assert_eq!(made["keys"][0]["algorithm"], "EdDSA");
    assert_eq!(
        members(&made["keys"][0]),
        [
            "algorithm",
            "created_at",
            "kid",
            "purpose",
            "signs_from",
            "state",
            "verify_until"
        ]
    );
    assert_eq!(states(), ["published", "signing"]);
    home.run(&[
        "signing-key",
        "rotate",
        "--of",
        "tokens",
        "--now",
        "--force",
    ])
    .success();
    assert_eq!(states(), ["signing"]);
    assert_eq!(kids(&home), sessions, "those of sessions are as they were");
    let shown = home
        .run(&["signing-key", "list", "--of", "tokens"])
        .success();
    assert!(shown.stdout.contains("it signs"), "{shown:?}");
}

#[test]
fn a_rotation_at_once_ends_every_session() {
    let home = Home::new();
    user(&home);
    let server = Server::start(&home);
    let session = log_in(&server);
    profile(&server, &session).expect(200);
    let before = kids(&home);
    home.run(&["signing-key", "rotate", "--now"]).success();
    let after = kids(&home);
    assert_eq!(after.len(), 1);
    assert_ne!(before, after);
    std::thread::sleep(std::time::Duration::from_secs(1));
    profile(&server, &session).expect(401);
    profile(&server, &log_in(&server)).expect(200);
}

#[test]
fn a_key_is_imported_in_either_form_and_signs() {
    for input in [
        format!("{PASERK_SECRET}\n"),
        format!("{SEED}{PUBLIC}\n{PUBLIC}\n"),
        format!("{SEED}\n{PUBLIC}\n"),
    ] {
        let home = Home::new();
        user(&home);
        let import = ["signing-key", "import", "--json"];
        let made = home.run_with_input(&import, &input).success().json();
        assert_eq!(made["key"]["paserk"], PASERK_PUBLIC);
        home.run_with_input(&import, &input)
            .failure(1, "is here already");
        let server = Server::start(&home);
        let session = log_in(&server);
        profile(&server, &session).expect(200);
        let footer = session.rsplit('.').next().expect("a footer");
        assert_eq!(session.split('.').count(), 4, "{footer}");
    }
}

#[test]
fn a_key_is_imported_from_the_variables_of_gomaluum() {
    let home = Home::new();
    let import = |adjust: &dyn Fn(&mut std::process::Command)| {
        let mut command = home.command(&["signing-key", "import", "--from-env", "--json"]);
        adjust(&mut command);
        Ran::of(&mut command)
    };
    let ran = import(&|command| {
        command
            .env("PASETO_SECRET_KEY", format!("{SEED}{PUBLIC}"))
            .env("PASETO_PUBLIC_KEY", PUBLIC);
    });
    assert_eq!(ran.success().json()["key"]["paserk"], PASERK_PUBLIC);
}

#[test]
fn a_variable_that_is_missing_or_wrong_is_named_and_nothing_is_said_of_standard_input() {
    let home = Home::new();
    let (good, zeros) = (format!("{SEED}{PUBLIC}"), "0".repeat(64));
    let not_utf8 = OsStr::from_bytes(b"\xff");
    for (secret, public, says) in [
        (
            "",
            "",
            "PASETO_SECRET_KEY and PASETO_PUBLIC_KEY are not set",
        ),
        ("", PUBLIC, "error: PASETO_SECRET_KEY is not set"),
        (&good, "", "error: PASETO_PUBLIC_KEY is not set"),
        ("x", PUBLIC, "error: PASETO_SECRET_KEY: the secret key"),
        (&good, "x", "error: PASETO_PUBLIC_KEY: the public key"),
        (
            &good,
            &zeros,
            "error: PASETO_SECRET_KEY and PASETO_PUBLIC_KEY: ",
        ),
    ]
    .map(|(secret, public, says): (&str, &str, _)| (OsStr::new(secret), OsStr::new(public), says))
    .into_iter()
    .chain([(
        not_utf8,
        OsStr::new(PUBLIC),
        "PASETO_SECRET_KEY: it is not UTF-8",
    )]) {
        let mut command = home.command(&["signing-key", "import", "--from-env"]);
        command.env("PASETO_SECRET_KEY", secret);
        command.env("PASETO_PUBLIC_KEY", public);
        let ran = Ran::of(&mut command).failure(2, says);
        assert!(!ran.stderr.contains("hint"), "{ran:?}");
        assert!(!ran.stderr.contains(&SEED[..16]), "{ran:?}");
    }
    assert!(!home.database().exists());
}

#[test]
fn what_is_no_signing_key_is_refused_and_not_shown() {
    let home = Home::new();
    let wrong_public = "0".repeat(64);
    for input in [
        String::new(),
        SEED.to_owned(),
        format!("{SEED}\n{wrong_public}"),
        format!("{SEED} {PUBLIC} {PUBLIC}"),
        PASERK_SECRET.replace("secret", "local"),
        format!("{PASERK_SECRET}AA"),
        PASERK_PUBLIC.to_owned(),
    ] {
        let ran = home.run_with_input(&["signing-key", "import"], &input);
        let ran = ran.failure(2, "");
        assert!(!ran.stderr.contains(&SEED[..16]), "{ran:?}");
        assert!(!ran.stderr.contains("tMv7Q99M4hByf"), "{ran:?}");
    }
    assert!(!home.database().exists());
}
