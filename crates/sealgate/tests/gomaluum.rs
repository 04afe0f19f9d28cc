//! The `GoMaluum` guide, followed with the real binary: its examples are taken out of the page and run
//! as they stand.
//!
//! The user is called `your_username` and the password is `your_password`, and the seal key is the
//! guide's, so none of these is replaced. What has to be filled in is listed beside each example as
//! pairs of texts ([`guide::Block::filled_in`]).

mod examples;
mod guide;

use std::process::Command;

use serde_json::{Value, json};

use self::guide::{Block, GUIDE, GUIDE_SHA256};
use crate::support::{Home, Ran, Response, Server};

/// The seal key of the guide's examples.
const SEAL_KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";
const USERNAME: &str = "your_username";
const PASSWORD: &str = "your_password";
const ADD_USER: &str = "user add --username your_username --password-stdin \
    --display-name Yourself --email you@example.edu --role student --attribute year=2";

/// A server, and the user of the guide's examples.
struct Scene {
    home: Home,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        let arguments: Vec<&str> = ADD_USER.split_whitespace().collect();
        home.run_with_input(&arguments, PASSWORD).success();
        let server = Server::start(&home);
        Self { home, server }
    }

    /// What stands where the guide has its server.
    fn base(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn port(&self) -> String {
        self.server.address().port().to_string()
    }

    /// What was sealed at login.
    fn user_data() -> Value {
        json!({
            "username": USERNAME,
            "display_name": "Yourself",
            "email": "you@example.edu",
            "roles": ["student"],
            "attributes": {"year": 2},
        })
    }

    fn log_in(&self, seal_key: Option<&str>) -> Response {
        let body = json!({"username": USERNAME, "password": PASSWORD});
        let request = self.server.post("/api/auth/login").json(&body);
        match seal_key {
            Some(key) => request.header("x-gomaluum-key", key).send(),
            None => request.send(),
        }
    }

    fn token(&self, seal_key: Option<&str>) -> String {
        let answer = self.log_in(seal_key).expect(200).json();
        answer["data"]["token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    fn profile(&self, token: &str, seal_key: Option<&str>) -> Response {
        let request = self.server.get("/api/profile").bearer(token);
        match seal_key {
            Some(key) => request.header("x-gomaluum-key", key).send(),
            None => request.send(),
        }
    }
}

/// Checks that an answer has the members of the guide's example, at every depth, and no others.
#[track_caller]
fn assert_same_shape(answer: &Value, example: &Value) {
    assert_eq!(members(answer), members(example), "{answer:#}");
}

/// The paths of all members that are no objects.
fn members(value: &Value) -> Vec<String> {
    let Some(object) = value.as_object() else {
        return vec![String::new()];
    };
    let paths = object.iter().flat_map(|(name, value)| {
        let below = members(value).into_iter();
        below.map(move |path| format!("/{name}{path}"))
    });
    paths.collect()
}

#[track_caller]
fn assert_profile(answer: &Value) {
    let expected = json!({
        "message": "Profile retrieved successfully",
        "data": Scene::user_data(),
    });
    assert_eq!(answer, &expected);
}

/// What `sha256sum` says of a file.
fn sha256(path: &str) -> String {
    let ran = Ran::of(Command::new("sha256sum").arg(path)).success();
    let digest = ran.stdout.split_whitespace().next();
    digest.expect("a digest").to_owned()
}

#[test]
fn the_guide_is_the_one_that_was_handed_over() {
    assert_eq!(sha256(guide::PATH), GUIDE_SHA256);
}

#[test]
fn every_example_of_the_guide_is_one_that_a_test_runs_or_compares() {
    let blocks = guide::blocks();
    let found: Vec<(&str, &str)> = blocks.iter().map(|b| (b.heading, b.language)).collect();
    let expected = [
        ("1. Generate an API Key", "bash"),
        ("1. Generate an API Key", "json"),
        ("2. Login with API Key", "bash"),
        ("2. Login with API Key", "json"),
        ("3. Use Token with API Key", "bash"),
        // The two drawings of the flow: `independent.rs` takes a token apart along them.
        ("Encryption Flow", ""),
        ("Encryption Flow", ""),
        ("Error Handling", "json"),
        ("Error Handling", "json"),
        ("Node.js/JavaScript", "javascript"),
        ("Python", "python"),
        ("Go", "go"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_login_without_a_key_is_sealed_with_the_documented_default_key() {
    const DEFAULT_KEY: &str = "gomaluum-default-key-2024";
    let documented = format!("- The system uses a default key: `{DEFAULT_KEY}`");
    assert!(GUIDE.contains(&documented));
    let scene = Scene::new();
    let token = scene.token(None);
    for same in [None, Some(DEFAULT_KEY)] {
        assert_profile(&scene.profile(&token, same).expect(200).json());
    }
    scene.profile(&token, Some(SEAL_KEY)).expect(500);
    let token = scene.token(Some(SEAL_KEY));
    scene.profile(&token, None).expect(500);
}

#[test]
fn both_formats_of_a_key_are_taken_and_a_hex_key_is_a_number() {
    let scene = Scene::new();
    // As the guide writes them, without the dots that stand for more.
    let hex = GUIDE
        .split("- **Hex keys**: `")
        .nth(1)
        .and_then(|rest| rest.split("...`").next())
        .expect("the guide's hex key");
    let token = scene.token(Some(hex));
    for spelling in [hex.to_owned(), hex.to_ascii_uppercase()] {
        assert_profile(&scene.profile(&token, Some(&spelling)).expect(200).json());
    }
    let token = scene.token(Some(SEAL_KEY));
    assert_profile(&scene.profile(&token, Some(SEAL_KEY)).expect(200).json());
}

#[test]
fn every_error_that_the_guide_documents_is_answered_as_documented() {
    let scene = Scene::new();
    let token = scene.token(Some(SEAL_KEY));
    let another = "gml_1703123456_ffffffffffffffffffffffffffffffffffffffff";
    let answers = [
        scene.log_in(Some("gml_1703123456_a1b2c3")),
        scene.profile(&token, Some(another)),
    ];
    let examples = Block::all("Error Handling", "json");
    assert_eq!(examples.len(), answers.len());
    for (answer, example) in answers.iter().zip(examples) {
        let example = example.json();
        assert_eq!(Value::from(answer.status), example["status_code"]);
        for (member, value) in example.as_object().expect("an object") {
            assert_eq!(&answer.json()[member], value, "{answer:?}");
        }
    }
    // A malformed key is found out wherever it comes.
    let answer = scene.profile(&token, Some("not a key")).expect(401).json();
    assert_eq!(answer["message"], "Invalid API key");
}

#[test]
fn the_log_says_that_a_key_was_used_and_never_which() {
    let scene = Scene::new();
    let token = scene.token(Some(SEAL_KEY));
    scene.profile(&token, Some(SEAL_KEY)).expect(200);
    let (_, server_log) = scene.server.stop();
    let audit_log = scene.home.run(&["logs", "--json"]).success().stdout;
    assert!(
        audit_log.contains(r#""seal_key":"generated""#),
        "{audit_log}"
    );
    for log in [server_log, audit_log] {
        for secret in [SEAL_KEY, PASSWORD, token.as_str()] {
            assert!(!log.contains(secret), "{secret} is in {log}");
        }
    }
}
