//! The Quantonium authentication guide, followed with the real binary.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Home, Key, Server};

const GUIDE: &str = include_str!("../../../docs/guides/quantonium-authentication-guide.md");

/// Every `python -m auth.cli …` of the guide, in its order.
fn commands() -> Vec<Vec<String>> {
    let lines = GUIDE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("python -m auth.cli "));
    lines.map(words).collect()
}

/// The words of a command as a shell takes them apart.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('"').enumerate();
    quoted
        .flat_map(|(n, part)| {
            let is_quoted = n % 2 == 1;
            let words: Vec<_> = if is_quoted {
                vec![part]
            } else {
                part.split_whitespace().collect()
            };
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

fn run(home: &Home, command: &[String], key: &Key) -> String {
    let arguments: Vec<&str> = command
        .iter()
        .map(|word| {
            if word == "KEY_ID" {
                key.id.as_str()
            } else {
                word.as_str()
            }
        })
        .collect();
    home.run(&arguments).success().stdout
}

fn key(home: &Home, name: &str) -> Key {
    home.create_key(&["--name", name, "--permissions", "api:read api:write"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn every_command_of_the_guide_works_as_it_stands() {
    let home = Home::new();
    let commands = commands();
    let verbs: BTreeSet<&str> = commands.iter().map(|command| command[0].as_str()).collect();
    assert_eq!(
        verbs,
        BTreeSet::from(["create", "list", "logs", "revoke", "rotate"])
    );
    for command in &commands {
        // A key that was revoked can be neither revoked again nor rotated: each its own.
        let made = key(&home, "Production API Key");
        let printed = run(&home, command, &made);
        let expected = match command[0].as_str() {
            "create" => &command[2],
            "list" => &made.prefix,
            "logs" => "key.created",
            _ => "Production API Key",
        };
        assert!(printed.contains(expected), "{command:?} printed {printed}");
    }
}

#[test]
fn both_methods_of_the_guide_open_a_protected_endpoint() {
    let home = Home::new();
    let made = key(&home, "client");
    let server = Server::start(&home);
    server
        .get("/api/encrypt")
        .api_key(&made.api_key)
        .send()
        .expect(200);
    let token = exchange(&server, &made);
    server.get("/api/encrypt").bearer(&token).send().expect(200);
    server.get("/api/encrypt").send().expect(401);
}

fn exchange(server: &Server, made: &Key) -> String {
    let answer = server.post("/api/auth/token").api_key(&made.api_key).send();
    text(&answer.expect(200).json()["token"])
}

#[test]
fn the_answer_to_an_exchange_has_the_members_the_guide_shows() {
    let example = GUIDE
        .split("```json")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let example: Value = serde_json::from_str(example.expect("an example")).unwrap();
    let home = Home::new();
    let made = key(&home, "client");
    let server = Server::start(&home);
    let answer = server.post("/api/auth/token").api_key(&made.api_key).send();
    let answer = answer.expect(200).json();
    let members = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(members(&answer), members(&example));
    for same in ["expires_in", "token_type", "permissions", "is_admin"] {
        assert_eq!(answer[same], example[same], "{same}");
    }
    assert_eq!(answer["key_id"], made.id);
    let beginning = text(&example["token"]);
    assert!(text(&answer["token"]).starts_with(beginning.trim_end_matches('.')));
}

#[test]
fn the_response_to_a_compromised_key_goes_as_the_guide_says() {
    let home = Home::new();
    let stolen = key(&home, "client");
    let server = Server::start(&home);
    as_thief(&server, &stolen).expect(200);
    let token = exchange(&server, &stolen);

    let (_, response) = GUIDE
        .split_once("## Responding to Compromised API Keys")
        .unwrap();
    let steps: Vec<_> = response
        .lines()
        .filter_map(|line| line.trim().strip_prefix("python -m auth.cli "))
        .map(words)
        .collect();
    let [revoke, replace, audit] = &steps[..] else {
        panic!("{steps:?}")
    };
    run(&home, revoke, &stolen);
    let replaced = run(&home, replace, &stolen);
    assert!(
        replaced.contains("Replacement for compromised key"),
        "{replaced}"
    );
    // The server hears of it within a second; what it still serves until then is on record too.
    wait_until_refused(&server, &stolen);
    server.get("/api/encrypt").bearer(&token).send().expect(401);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let log = run(&home, audit, &stolen);
    for told in [
        "key.revoked",
        "token.issued",
        "127.0.0.1",
        "request.refused",
        "thief/1.0",
    ] {
        assert!(log.contains(told), "no {told} in {log}");
    }
}

fn as_thief(server: &Server, stolen: &Key) -> crate::support::Response {
    let request = server.get("/api/encrypt").api_key(&stolen.api_key);
    request.header("User-Agent", "thief/1.0").send()
}

fn wait_until_refused(server: &Server, stolen: &Key) {
    for _ in 0..100 {
        if as_thief(server, stolen).status == 401 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("still served after a second");
}

#[test]
fn the_contacts_of_the_guide_are_published_when_set() {
    let home = Home::new();
    let settings = r#"
[security]
contact = [
    "mailto:security@quantonium-os.internal",
    "tel:+1-555-123-4567",
    "https://security.quantonium-os.internal",
]
"#;
    home.write("sealgate.toml", settings);
    let server = Server::start(&home);
    let file = server.get("/.well-known/security.txt").send().expect(200);
    assert!(
        file.header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    for line in [
        "Contact: mailto:security@quantonium-os.internal",
        "Contact: tel:+1-555-123-4567",
        "Contact: https://security.quantonium-os.internal",
        "Expires: 20",
    ] {
        assert!(file.body.contains(line), "{}", file.body);
    }
}
