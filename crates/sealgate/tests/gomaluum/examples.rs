//! Each example of the guide, run by the language it is written in.

use serde_json::Value;

use super::guide::Block;
use super::{SEAL_KEY, Scene, assert_profile, assert_same_shape};
use crate::tools;

/// The token of the guide's examples.
const TOKEN: &str = "v4.public.eyJhdWQiOiJnb21hbHV1bSIs...";

/// What an example was answered.
struct Answer {
    status: u64,
    body: Value,
}

/// The answers that an example printed, one a line.
fn answers(printed: &str) -> Vec<Answer> {
    let answers = printed.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("an answer as JSON");
        Answer {
            status: line["status"].as_u64().expect("a status"),
            body: line["body"].clone(),
        }
    });
    answers.collect()
}

/// Runs commands of the guide; their answer.
fn curl(scene: &Scene, commands: &str) -> Answer {
    // What curl prints besides the body it is told in its own file, not on the guide's line.
    let settings = "silent\nshow-error\nwrite-out = \"\\n%{http_code}\"\n";
    std::fs::write(scene.home.path().join(".curlrc"), settings).expect("curl's settings");
    let mut bash = tools::program(&scene.home, "bash");
    let printed = tools::run(bash.args(["-euo", "pipefail", "-c", commands]), "");
    let (body, status) = printed.rsplit_once('\n').expect("a body and a status");
    Answer {
        status: status.parse().expect("a status"),
        body: serde_json::from_str(body).expect("a body of JSON"),
    }
}

/// Checks that these are the answers to a login and to a request for the profile.
fn assert_both(printed: &str) {
    let answers = answers(printed);
    let [login, profile] = &answers[..] else {
        panic!("{} answers", answers.len());
    };
    assert_eq!((login.status, profile.status), (200, 200));
    assert_login(&login.body);
    assert_profile(&profile.body);
}

fn assert_login(answer: &Value) {
    let example = Block::only("2. Login with API Key", "json").json();
    assert_same_shape(answer, &example);
    assert_eq!(answer["message"], example["message"]);
    assert_eq!(answer["data"]["username"], example["data"]["username"]);
    let token = answer["data"]["token"].as_str().expect("a token");
    let shown = example["data"]["token"].as_str().expect("a token");
    assert!(token.starts_with(shown.trim_end_matches('.')), "{token}");
}

fn assert_generated(answer: &Value) {
    let example = Block::only("1. Generate an API Key", "json").json();
    assert_same_shape(answer, &example);
    for same in ["message", "created_at"] {
        assert_eq!(answer[same], example[same], "{same}");
    }
    let form = |value: &Value| -> Vec<String> {
        let key = value["api_key"].as_str().expect("a key");
        key.split('_').map(str::to_owned).collect()
    };
    let (made, shown) = (form(answer), form(&example));
    assert_eq!((made.len(), &made[0]), (shown.len(), &shown[0]), "{made:?}");
    assert_eq!(made[1].len(), shown[1].len(), "seconds since 1970");
    assert!(made[1].bytes().all(|byte| byte.is_ascii_digit()));
    assert!(made[2].len() >= shown[2].len());
    assert!(
        made[2]
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    );
}

/// Replaced: the port.
#[test]
fn the_commands_of_the_guide_work_in_its_order() {
    let scene = Scene::new();
    let port = scene.port();

    let generate = Block::only("1. Generate an API Key", "bash");
    let generated = curl(&scene, &generate.filled_in(&[("8080", &port)]));
    assert_eq!(generated.status, 200);
    assert_generated(&generated.body);

    let login = Block::only("2. Login with API Key", "bash");
    let logged_in = curl(&scene, &login.filled_in(&[("8080", &port)]));
    assert_eq!(logged_in.status, 200);
    assert_login(&logged_in.body);

    // The token that was just answered, for the beginning of one that the guide shows.
    let token = logged_in.body["data"]["token"].as_str().expect("a token");
    let profile = Block::only("3. Use Token with API Key", "bash");
    let answer = curl(
        &scene,
        &profile.filled_in(&[("8080", &port), (TOKEN, token)]),
    );
    assert_eq!(answer.status, 200);
    assert_profile(&answer.body);
}

/// Replaced: the port, and the guide's key by the one that its first command makes.
#[test]
fn a_key_that_was_just_generated_seals_a_session() {
    let scene = Scene::new();
    let port = scene.port();
    let generate = Block::only("1. Generate an API Key", "bash");
    let generated = curl(&scene, &generate.filled_in(&[("8080", &port)]));
    let key = generated.body["api_key"].as_str().expect("a key");

    let login = Block::only("2. Login with API Key", "bash");
    let logged_in = curl(
        &scene,
        &login.filled_in(&[("8080", &port), (SEAL_KEY, key)]),
    );
    assert_login(&logged_in.body);
    let token = logged_in.body["data"]["token"].as_str().expect("a token");

    let profile = Block::only("3. Use Token with API Key", "bash");
    let pairs = [("8080", port.as_str()), (TOKEN, token), (SEAL_KEY, key)];
    assert_profile(&curl(&scene, &profile.filled_in(&pairs)).body);
    // With the guide's own key, as it stands, the session does not open.
    let refused = curl(&scene, &profile.filled_in(&pairs[..2]));
    assert_eq!(refused.status, 500);
    assert_eq!(
        refused.body["message"],
        "Failed to decrypt data with API key"
    );
}

/// Replaced: the paths by whole addresses, since a program has no page that they are relative to.
/// Put in: `token`, which the guide does not declare. Put at the end: that the answers are printed.
#[test]
fn the_javascript_of_the_guide_runs_in_node() {
    let scene = Scene::new();
    let (login, profile) = addresses(&scene, '\'');
    let program = Block::only("Node.js/JavaScript", "javascript").filled_in(&[
        ("'/api/auth/login'", &login),
        ("'/api/profile'", &profile),
        (
            "// Use API\n",
            "const loginAnswer = await loginResponse.json();\n\
             const token = loginAnswer.data.token;\n\
             // Use API\n",
        ),
    ]);
    let prints = r"
const answers = [
  { status: loginResponse.status, body: loginAnswer },
  { status: profileResponse.status, body: await profileResponse.json() },
];
for (const answer of answers) console.log(JSON.stringify(answer));
";
    let file = scene.home.write("guide.mjs", &(program + prints));
    let mut node = tools::program(&scene.home, "node");
    assert_both(&tools::run(node.arg(file), ""));
}

/// Replaced: the paths by whole addresses. Put at the end: that the answers are printed.
#[test]
fn the_python_of_the_guide_runs() {
    let scene = Scene::new();
    let (login, profile) = addresses(&scene, '\'');
    let program = Block::only("Python", "python")
        .filled_in(&[("'/api/auth/login'", &login), ("'/api/profile'", &profile)]);
    let prints = r"
import json

for response in (login_response, profile_response):
    print(json.dumps({'status': response.status_code, 'body': response.json()}))
";
    let file = scene.home.write("guide.py", &(program + prints));
    let mut python = tools::python(&scene.home);
    assert_both(&tools::run(python.arg(file), ""));
}

/// Replaced: the paths by whole addresses. Put in: that the two requests, which the guide only makes,
/// are sent, and that the answer to the first has the `token`, which the guide does not declare.
#[test]
fn the_go_of_the_guide_runs() {
    const SEND: &str = include_str!("send.go");
    let scene = Scene::new();
    let (login, profile) = addresses(&scene, '"');
    let program = Block::only("Go", "go").filled_in(&[
        ("\"/api/auth/login\"", &login),
        ("\"/api/profile\"", &profile),
        (
            "    // Use API\n",
            "    token := send(req)\n    // Use API\n",
        ),
        (
            "    req2.Header.Set(\"x-gomaluum-key\", apiKey)\n",
            "    req2.Header.Set(\"x-gomaluum-key\", apiKey)\n    send(req2)\n",
        ),
    ]);
    let files = [
        scene.home.write("guide.go", &program),
        scene.home.write("send.go", SEND),
    ];
    let mut go = tools::go(&scene.home);
    assert_both(&tools::run(go.arg("run").args(files), ""));
}

/// Where the examples go, as string literals.
fn addresses(scene: &Scene, quote: char) -> (String, String) {
    let base = scene.base();
    let address = |path: &str| format!("{quote}{base}{path}{quote}");
    (address("/api/auth/login"), address("/api/profile"))
}
