//! Session tokens seen by another implementation, `pyseto`: it opens what the server issues, and
//! the server opens what it makes, unless something about it is wrong.

mod altered;
mod documented;
mod forged;
mod pyseto;

use serde_json::{Value, json};

use self::pyseto::Pyseto;
use crate::support::{Home, Response, Server};

/// The key that signs: that of the official test vectors of PASETO, which everybody knows.
const SIGNING_KEY: &str = "k4.secret.\
    tMv7Q99M4hByfZU-SnEzB_oZu32fhQQUONnhG5QqN3Qeudu7vAR8A_1wYE4AcfCYfhayi3VyJcEfAEFdDiCxog";
const PUBLIC_KEY: &str = "k4.public.Hrnbu7wEfAP9cGBOAHHwmH4Wsot1ciXBHwBBXQ4gsaI";
const SEAL_KEY: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";
const ANOTHER_SEAL_KEY: &str = "gml_1703123456_ffffffffffffffffffffffffffffffffffffffff";
const PASSWORD: &str = "correct horse battery staple";

/// A server with two users, whose signing key is its own or one that was imported.
struct Scene {
    home: Home,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        Self::after(|_| ())
    }

    /// With the key that [`Pyseto`] can sign with too.
    fn with_known_key() -> Self {
        Self::after(|home| {
            let import = ["signing-key", "import"];
            home.run_with_input(&import, SIGNING_KEY).success();
        })
    }

    fn after(prepare: impl FnOnce(&Home)) -> Self {
        let home = Home::new();
        for name in ["aisyah", "hakim"] {
            let add = ["user", "add", "--username", name, "--password-stdin"];
            home.run_with_input(&add, PASSWORD).success();
        }
        prepare(&home);
        let server = Server::start(&home);
        Self { home, server }
    }

    fn log_in(&self, username: &str, seal_key: &str) -> String {
        let login = self.server.post("/api/auth/login");
        let body = json!({"username": username, "password": PASSWORD});
        let answer = login.header("x-gomaluum-key", seal_key).json(&body).send();
        text(&answer.expect(200).json()["data"]["token"])
    }

    fn profile(&self, token: &str, seal_key: &str) -> Response {
        let request = self.server.get("/api/profile").bearer(token);
        request.header("x-gomaluum-key", seal_key).send()
    }

    /// The keys that are published, newest first.
    fn published_keys(&self) -> Vec<Value> {
        let request = self.server.get("/.well-known/paseto-keys.json");
        let answer = request.send().expect(200).json();
        answer["keys"].as_array().expect("keys").clone()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[test]
fn pyseto_verifies_the_token_by_the_published_key_and_opens_its_data() {
    let scene = Scene::new();
    let python = Pyseto::new(&scene.home);
    let token = scene.log_in("aisyah", SEAL_KEY);
    let keys = scene.published_keys();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    let opened = python.open(&token, &text(&key["paserk"]), SEAL_KEY);

    // The id is the one that pyseto computes from the published key.
    assert_eq!(opened["kid"], key["kid"]);
    assert_eq!(opened["footer"], json!({"kid": key["kid"]}));
    assert!(token.starts_with("v4.public.eyJhdWQiOiJnb21hbHV1bSIs"));

    let claims = &opened["claims"];
    assert_eq!(claims["aud"], "gomaluum");
    assert_eq!(claims["iss"], "gomaluum");
    assert_eq!(claims["sub"], "aisyah");
    let data = text(&claims["data"]);
    assert!(
        data.starts_with("v4.local.") && !data[9..].contains('.'),
        "{data}"
    );

    let profile = scene.profile(&token, SEAL_KEY).expect(200).json();
    assert_eq!(opened["data"], profile["data"]);
    assert_eq!(profile["data"]["username"], "aisyah");
}

#[test]
fn pyseto_opens_nothing_with_another_seal_key_or_by_another_public_key() {
    let scene = Scene::new();
    let python = Pyseto::new(&scene.home);
    let token = scene.log_in("aisyah", SEAL_KEY);
    let published = text(&scene.published_keys()[0]["paserk"]);
    let refused = python.open(&token, &published, ANOTHER_SEAL_KEY);
    assert_eq!(refused["refused"], "data", "{refused}");
    let refused = python.open(&token, PUBLIC_KEY, SEAL_KEY);
    assert_eq!(refused["refused"], "token", "{refused}");
}

#[test]
fn an_imported_key_signs_and_is_published_under_the_id_that_pyseto_gives_it() {
    let scene = Scene::with_known_key();
    let python = Pyseto::new(&scene.home);
    let token = scene.log_in("aisyah", SEAL_KEY);
    let opened = python.open(&token, PUBLIC_KEY, SEAL_KEY);
    assert_eq!(opened["data"]["username"], "aisyah", "{opened}");
    let keys = scene.published_keys();
    let ids: Vec<&Value> = keys.iter().map(|key| &key["kid"]).collect();
    assert!(ids.contains(&&opened["kid"]), "{keys:?}");
}
