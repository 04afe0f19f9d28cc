//! The list of revocations as a verifier sees it that is not ours: `PyJWT`, in the program that
//! `docs/revocations.md` shows.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, Response, Server};
use crate::tools;

const LIST: &str = "/.well-known/sealgate-revocations";
const PROMISE: Duration = Duration::from_secs(1);

/// A verifier: the program of the page, asked by what it has fetched.
struct Verifier<'a> {
    home: &'a Home,
    server: &'a Server,
}

impl<'a> Verifier<'a> {
    fn new(home: &'a Home, server: &'a Server) -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/revocations.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let (_, program) = page.split_once("```python revocations.py\n").expect("it");
        let (program, _) = program.split_once("```").expect("its end");
        home.write("revocations.py", program);
        home.write(
            "ask.py",
            "import json, sys\n\
             from revocations import Revocations\n\
             asked = json.load(sys.stdin)\n\
             listed = Revocations(asked['list'], asked['jwks'])\n\
             print(json.dumps({\n\
             \x20   'claims': listed.claims,\n\
             \x20   'users': [listed.refuses_user(*user) for user in asked['users']],\n\
             }))\n",
        );
        Self { home, server }
    }

    /// The claims of the list of now, and whether it refuses these users' epochs.
    fn read(&self, users: &[(&str, i64)]) -> (Value, Vec<bool>) {
        let list = self.server.get(LIST).send().expect(200).body;
        let jwks = self.server.get("/.well-known/jwks.json").send();
        let asked = json!({"list": list, "jwks": jwks.expect(200).body, "users": users});
        let mut python = tools::python(self.home);
        let printed = tools::run(python.arg("ask.py"), &asked.to_string());
        let answer: Value = serde_json::from_str(&printed).expect("JSON");
        let refused = answer["users"].as_array().expect("users").iter();
        let refused = refused.map(|refused| refused == true).collect();
        (answer["claims"].clone(), refused)
    }
}

fn etag(answer: &Response) -> String {
    answer.header("etag").expect("an ETag").to_owned()
}

/// Asks as a verifier does until there is another list; says how long that took.
#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn time_to_change(server: &Server, tag: &str) -> Duration {
    let start = Instant::now();
    while server.get(LIST).header("If-None-Match", tag).send().status == 304 {
        assert!(start.elapsed() < 10 * PROMISE, "never told");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

fn with_algorithm(home: &Home, algorithm: &str) -> Server {
    Server::start_with(home, |command| {
        command.env("SEALGATE_TOKENS_ALGORITHM", algorithm);
        command.env_remove("SEALGATE_STORE_MAX_STALENESS_MS");
    })
}

#[test]
fn a_key_revoked_on_the_command_line_is_on_the_list_within_a_second_by_every_algorithm() {
    for algorithm in ["HS256", "EdDSA", "ES256"] {
        let home = Home::new();
        let server = with_algorithm(&home, algorithm);
        let verifier = Verifier::new(&home, &server);
        let key = home.create_key(&["--name", "short-lived"]);
        let (claims, _) = verifier.read(&[]);
        assert_eq!(claims["keys"], json!({}));
        assert_eq!(claims["ttl"], 2);

        let first = server.get(LIST).send().expect(200);
        assert_eq!(
            first.header("content-type"),
            Some("application/sealgate-revocations+jwt")
        );
        assert_eq!(
            first.header("cache-control"),
            Some("public, max-age=2, must-revalidate")
        );
        let tag = etag(&first);
        let again = server.get(LIST).header("If-None-Match", &tag).send();
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(etag(&again), tag);

        home.run(&["revoke", "--id", &key.id]).success();
        let elapsed = time_to_change(&server, &tag);
        assert!(elapsed < PROMISE, "{algorithm}: {elapsed:?}");
        let (claims, _) = verifier.read(&[]);
        let keys = claims["keys"].as_object().expect("keys");
        assert!(keys.len() == 1 && keys.contains_key(&key.id), "{keys:?}");
    }
}

#[test]
fn ended_sessions_users_and_access_tokens_are_on_the_list_at_once() {
    let home = Home::new();
    for name in ["ada", "bob"] {
        let add = ["user", "add", "--username", name, "--password-stdin"];
        home.run_with_input(&add, "correct horse\n").success();
    }
    let server = with_algorithm(&home, "EdDSA");
    let verifier = Verifier::new(&home, &server);
    let log_in = |name: &str| {
        let body = json!({"username": name, "password": "correct horse"});
        let answer = server.post("/api/auth/login").json(&body).send();
        let token = answer.expect(200).json()["data"]["token"].clone();
        token.as_str().expect("a token").to_owned()
    };
    let session = log_in("bob");
    let key = home.create_key(&["--name", "client"]);
    let exchange = server.post("/api/auth/token").api_key(&key.api_key);
    let token = exchange.send().expect(200).json()["token"].clone();
    for token in [&session, token.as_str().expect("a token")] {
        server
            .post("/api/auth/logout")
            .bearer(token)
            .send()
            .expect(200);
    }
    let (claims, _) = verifier.read(&[]);
    assert_eq!(claims["jtis"].as_array().expect("jtis").len(), 2);
    assert_eq!(claims["users"], json!({}));

    log_in("ada");
    let tag = etag(&server.get(LIST).send());
    home.run(&["user", "logout", "--username", "ada"]).success();
    assert!(time_to_change(&server, &tag) < PROMISE);
    let (claims, refused) = verifier.read(&[("Ada", 1), ("bob", 1), ("ada", i64::MAX)]);
    assert_eq!(refused, [true, false, false]);
    assert!(!claims.to_string().contains("ada"), "a name in clear text");
}

#[test]
fn a_key_that_signed_and_was_replaced_at_once_is_no_signer_within_a_second() {
    let home = Home::new();
    let server = with_algorithm(&home, "EdDSA");
    let verifier = Verifier::new(&home, &server);
    let kid = |set: &str| {
        let keys = server.get(set).send().expect(200).json();
        keys["keys"][0]["kid"].as_str().expect("a kid").to_owned()
    };
    let sets = ["/.well-known/jwks.json", "/.well-known/paseto-keys.json"];
    let before = sets.map(kid);
    let (claims, _) = verifier.read(&[]);
    assert_eq!(claims["signers"], json!(before));
    for of in ["tokens", "sessions"] {
        let tag = etag(&server.get(LIST).send());
        let rotate = ["signing-key", "rotate", "--of", of, "--now", "--force"];
        home.run(&rotate).success();
        assert!(time_to_change(&server, &tag) < PROMISE);
    }
    let (claims, _) = verifier.read(&[]);
    let after = sets.map(kid);
    assert_eq!(claims["signers"], json!(after));
    assert!(before.iter().all(|kid| !after.contains(kid)));
}
