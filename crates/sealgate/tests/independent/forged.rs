//! Tokens that the server did not issue, made by `pyseto`: with the right signing key, which a test
//! knows because it was imported, and with others.

use serde_json::{Map, Value, json};

use super::pyseto::Pyseto;
use super::{ANOTHER_SEAL_KEY, PUBLIC_KEY, SEAL_KEY, SIGNING_KEY, Scene, text};

/// A server whose signing key is known, and what is in a token of each of two users.
struct Forger {
    scene: Scene,
    aisyahs: Map<String, Value>,
    hakims: Map<String, Value>,
    footer: Value,
}

impl Forger {
    fn new() -> Self {
        let scene = Scene::with_known_key();
        let python = Pyseto::new(&scene.home);
        let [aisyahs, hakims] = ["aisyah", "hakim"].map(|name| {
            let token = scene.log_in(name, SEAL_KEY);
            python.open(&token, PUBLIC_KEY, SEAL_KEY)
        });
        let claims = |opened: &Value| opened["claims"].as_object().expect("claims").clone();
        Self {
            aisyahs: claims(&aisyahs),
            hakims: claims(&hakims),
            footer: aisyahs["footer"].clone(),
            scene,
        }
    }

    /// The question for a token of these claims by the right key.
    fn sign(&self, claims: &Map<String, Value>) -> Value {
        json!({"ask": "sign", "secret": SIGNING_KEY, "claims": claims, "footer": self.footer})
    }

    /// Aisyah's claims with one of them replaced.
    fn with(&self, name: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.aisyahs.clone();
        claims.insert(name.to_owned(), value.into());
        self.sign(&claims)
    }

    /// Aisyah's claims with some of them so many seconds later.
    fn shifted(&self, shift: Value) -> Value {
        let mut question = self.sign(&self.aisyahs);
        question["shift"] = shift;
        question
    }

    /// Has tokens made, and shows each to the server.
    #[track_caller]
    fn expect(&self, status: u16, named: &[(&str, Value)]) {
        let questions: Vec<Value> = named.iter().map(|(_, asked)| asked.clone()).collect();
        let tokens = Pyseto::new(&self.scene.home).tokens(&questions);
        for ((name, _), token) in named.iter().zip(tokens) {
            let answer = self.scene.profile(&token, SEAL_KEY);
            assert_eq!(answer.status, status, "{name}: {answer:?}");
        }
    }
}

#[test]
fn a_token_of_pysetos_by_the_right_key_is_as_good_as_ours() {
    let forger = Forger::new();
    let leeway = 30 - 10;
    forger.expect(
        200,
        &[
            ("as it was", forger.sign(&forger.aisyahs)),
            (
                "a clock that is ahead",
                forger.shifted(json!({"iat": leeway, "nbf": leeway})),
            ),
            ("a shorter life", forger.shifted(json!({"exp": -28_000}))),
        ],
    );
}

#[test]
fn data_that_pyseto_sealed_is_opened() {
    let forger = Forger::new();
    let python = Pyseto::new(&forger.scene.home);
    let data = json!({"username": "aisyah", "from": "Kuantan · كوانتن"});
    let inner = python.tokens(&[json!({
        "ask": "seal",
        "seal_key": SEAL_KEY,
        "assertion": forger.aisyahs["jti"],
        "data": data,
    })]);
    let outer = python.tokens(&[forger.with("data", inner[0].as_str())]);
    let answer = forger.scene.profile(&outer[0], SEAL_KEY).expect(200).json();
    assert_eq!(answer["data"], data);
}

#[test]
fn data_of_another_token_or_under_another_key_does_not_open() {
    let forger = Forger::new();
    let seal = |key: &str, assertion: &Value| json!({"ask": "seal", "seal_key": key, "assertion": assertion, "data": {"username": "x"}});
    let (own, others) = (&forger.aisyahs["jti"], &forger.hakims["jti"]);
    let inner = Pyseto::new(&forger.scene.home).tokens(&[
        seal(ANOTHER_SEAL_KEY, own),
        seal(SEAL_KEY, others),
        seal(SEAL_KEY, &json!("")),
    ]);
    let swapped = forger.hakims["data"].clone();
    forger.expect(
        500,
        &[
            ("another user's data", forger.with("data", swapped)),
            ("another token's id", forger.with("jti", others.clone())),
            ("under another key", forger.with("data", inner[0].as_str())),
            (
                "bound to another token",
                forger.with("data", inner[1].as_str()),
            ),
            ("bound to nothing", forger.with("data", inner[2].as_str())),
            ("no data", forger.with("data", "")),
            ("no token", forger.with("data", "v4.local.AAAA")),
        ],
    );
    let token = forger.scene.log_in("aisyah", SEAL_KEY);
    let answer = forger.scene.profile(&token, ANOTHER_SEAL_KEY).expect(500);
    assert_eq!(
        answer.json()["message"],
        "Failed to decrypt data with API key"
    );
}

#[test]
fn claims_that_are_not_as_they_have_to_be_are_refused_whoever_signed_them() {
    let forger = Forger::new();
    forger.expect(
        401,
        &[
            ("for somebody else", forger.with("aud", "another")),
            ("of another issuer", forger.with("iss", "another")),
            ("expired", forger.shifted(over(-1))),
            ("expires this moment", forger.shifted(over(0))),
            ("not yet", forger.shifted(json!({"nbf": 3_600}))),
            (
                "issued in the future",
                forger.shifted(json!({"iat": 3_600})),
            ),
            ("a time as a number", forger.with("exp", 4_000_000_000_i64)),
            ("a time that is none", forger.with("exp", "tomorrow")),
            ("an epoch as a text", forger.with("epoch", "0")),
            ("an id that is none", forger.with("jti", "1")),
            ("a session that is none", forger.with("sid", "1")),
            ("a claim more", forger.with("admin", true)),
            ("nobody", forger.with("sub", Value::Null)),
        ],
    );
}

/// As if everything had happened so long ago that the end is so many seconds after the login.
fn over(seconds: i64) -> Value {
    let ago = -28_800 + seconds;
    json!({"iat": ago, "nbf": ago, "auth_time": ago, "exp": ago})
}

#[test]
fn a_token_without_any_one_of_its_claims_is_refused() {
    const CLAIMS: &[&str] = &[
        "aud",
        "auth_time",
        "data",
        "epoch",
        "exp",
        "iat",
        "iss",
        "jti",
        "nbf",
        "sid",
        "sub",
    ];
    let forger = Forger::new();
    assert_eq!(forger.aisyahs.keys().collect::<Vec<_>>(), CLAIMS);
    let without = forger.aisyahs.keys().map(|name| {
        let mut claims = forger.aisyahs.clone();
        claims.remove(name);
        (name.as_str(), forger.sign(&claims))
    });
    let without: Vec<(&str, Value)> = without.collect();
    forger.expect(401, &without);
}

#[test]
fn a_token_by_another_key_is_refused_also_under_our_keys_id() {
    // Test vector 4-S-1 of PASETO signs with the imported key; this one is of RFC 8032 section 7.1.
    const ANOTHER_KEY: &str = "k4.secret.\
        nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL_tPJZAc6DuFy89qmIyWvAhpo9wdRGg";
    let forger = Forger::new();
    let with_footer = |footer: Value| {
        let mut question = forger.sign(&forger.aisyahs);
        question["footer"] = footer;
        question
    };
    let mut others = forger.sign(&forger.aisyahs);
    others["secret"] = ANOTHER_KEY.into();
    forger.expect(
        401,
        &[
            ("by another key", others),
            ("without a footer", with_footer(Value::Null)),
            ("without a key's id", with_footer(json!({"key": "mine"}))),
            (
                "of an unknown key",
                with_footer(json!({"kid": "k4.pid.unknown"})),
            ),
            (
                "of two ids",
                with_footer(json!({"kid": forger.footer["kid"], "x": 1})),
            ),
        ],
    );
}

#[test]
fn a_token_of_another_version_or_purpose_is_refused() {
    const KINDS: &[&str] = &[
        "v1.local",
        "v2.local",
        "v3.local",
        "v4.local",
        "v2.public",
        "v3.public",
        "v4.public",
    ];
    let forger = Forger::new();
    let of_kind = |kind: &&'static str| {
        let mut question = forger.sign(&forger.aisyahs);
        question["version"] = (*kind).into();
        (*kind, question)
    };
    let tokens: Vec<(&str, Value)> = KINDS.iter().map(of_kind).collect();
    forger.expect(401, &tokens);
    // The inner token alone, and a good token that calls itself something else.
    let good = forger.scene.log_in("aisyah", SEAL_KEY);
    let (_, rest) = good.split_once("public.").expect("a public token");
    let inner = text(&forger.aisyahs["data"]);
    for token in [
        &inner,
        &format!("v3.public.{rest}"),
        &format!("v4.local.{rest}"),
    ] {
        forger.scene.profile(token, SEAL_KEY).expect(401);
    }
}
