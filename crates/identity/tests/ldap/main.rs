//! LDAP, against a real server on this machine: `slapd`, of the package of that name.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod slapd;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use sealgate_core::identity::{IdentityProvider as _, NotIdentified};
use sealgate_core::secret::SecretText;
use sealgate_identity::{Ldap, LdapOptions, UserLookup};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use slapd::Slapd;

const PASSWORD: &str = "correct horse";
const PEOPLE: &str = "ou=people,dc=example,dc=org";

/// Each way to find a user, by what it is called when a test fails.
fn lookups() -> [(&'static str, UserLookup); 2] {
    [
        ("template", template()),
        ("search", search("(uid={username})")),
    ]
}

#[tokio::test]
async fn a_right_password_tells_who_the_user_is() {
    let slapd = Slapd::start();
    for (way, user) in lookups() {
        let ldap = ldap(&slapd, user);
        assert_eq!(
            identify(&ldap, "ada", PASSWORD).await.unwrap(),
            json!({
                "username": "ada",
                "dn": "uid=ada,ou=people,dc=example,dc=org",
                // The photo is not text, and a title there is none.
                "attributes": {
                    "CN": ["Ada Lovelace", "Augusta Ada King"],
                    "mail": ["ada@example.org"],
                },
            }),
            "{way}"
        );
    }
}

#[tokio::test]
async fn attributes_that_are_not_asked_for_are_not_read() {
    let slapd = Slapd::start();
    let ldap = with(&slapd, |options| options.attributes.clear());
    let data = identify(&ldap, "ada", PASSWORD).await.unwrap();
    assert_eq!(data["attributes"], json!({}));
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_one_without_password_are_refused() {
    let slapd = Slapd::start();
    for (way, user) in lookups() {
        let ldap = ldap(&slapd, user);
        for (name, password) in [
            ("ada", "correct horsf"),
            ("ada", " correct horse"),
            ("ada", "{SSHA}EgTk6qCUK2snxttncqocY1O0yhSXefD3"),
            ("ada", "bob's own"),
            ("nobody", PASSWORD),
            ("nopassword", PASSWORD),
        ] {
            assert_refused(&ldap, name, password, way).await;
        }
    }
}

#[tokio::test]
async fn an_empty_password_is_refused_although_the_server_says_yes() {
    let slapd = Slapd::start();
    for (way, user) in lookups() {
        let ldap = ldap(&slapd, user);
        for password in ["", "\0", "\0correct horse", "correct horse\0"] {
            assert_refused(&ldap, "ada", password, way).await;
        }
    }
}

#[tokio::test]
async fn a_name_that_means_something_to_a_directory_is_just_a_name() {
    let slapd = Slapd::start();
    for (way, user) in lookups() {
        let ldap = ldap(&slapd, user);
        for name in [
            "*",
            "a*",
            "*)(uid=*",
            "ada)(uid=ada",
            "ada)(|(uid=*",
            r"\2a",
            r"ad\61",
            "ada,ou=people",
            "ada,ou=people,dc=example,dc=org",
            "ada+cn=Ada Lovelace",
            "#04036164 61",
            "",
            " ada",
            "ada ",
            "ada\0",
            "a\u{ad}da",
            "\u{ff41}da",
        ] {
            assert_refused(&ldap, name, PASSWORD, way).await;
        }
        let odd = r"eve*(1), jr\";
        let data = identify(&ldap, odd, "eve's own").await.unwrap();
        assert_eq!(data["username"], odd, "{way}");
    }
}

#[tokio::test]
async fn a_search_has_to_find_one_entry() {
    let slapd = Slapd::start();
    let by_mail = ldap(&slapd, search("(mail={username})"));
    let data = identify(&by_mail, "ada@example.org", PASSWORD).await;
    assert_eq!(data.unwrap()["dn"], format!("uid=ada,{PEOPLE}"));
    let text = unavailable(&by_mail, "shared@example.org", "bob's own").await;
    assert!(text.contains("more than one"), "{text}");
    // As many that the server stops.
    let everybody = ldap(&slapd, search("(|(uid={username})(objectClass=person))"));
    let text = unavailable(&everybody, "ada", PASSWORD).await;
    assert!(text.contains("more than one"), "{text}");
}

#[tokio::test]
async fn a_search_can_be_anonymous() {
    let slapd = Slapd::start();
    let ldap = ldap(&slapd, searching("(uid={username})", PEOPLE, "", ""));
    assert!(identify(&ldap, "ada", PASSWORD).await.is_ok());
    assert_refused(&ldap, "ada", "wrong", "anonymous").await;
}

#[tokio::test]
async fn a_wrong_setting_does_not_look_like_a_wrong_password() {
    let slapd = Slapd::start();
    let reader = "cn=reader,dc=example,dc=org";
    for (user, told) in [
        (
            searching("(uid={username})", PEOPLE, reader, "hunter2"),
            "rc=49",
        ),
        (
            searching("(uid={username})", PEOPLE, "cn=nobody", "hunter2"),
            "rc=49",
        ),
        (
            searching("(uid={username})", "dc=elsewhere", reader, "reads users"),
            "rc=32",
        ),
        (
            UserLookup::Template {
                dn: "{username}".to_owned(),
            },
            "rc=34",
        ),
    ] {
        let ldap = ldap(&slapd, user);
        let text = unavailable(&ldap, "ada", PASSWORD).await;
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn a_user_who_may_not_read_their_own_entry_is_told_of() {
    let slapd = Slapd::start();
    let text = unavailable(&ldap(&slapd, template()), "hidden", "hidden's own").await;
    assert!(text.contains("attributes"), "{text}");
}

#[tokio::test]
async fn tls_is_spoken_with_who_the_file_vouches_for() {
    let slapd = Slapd::start();
    for start_tls in [false, true] {
        let tls = |ca_file| {
            with(&slapd, |options| {
                options.url = if start_tls {
                    slapd.ldap()
                } else {
                    slapd.ldaps()
                };
                options.start_tls = start_tls;
                options.ca_file = ca_file;
            })
        };
        let trusting = tls(Some(slapd.ca_file()));
        assert!(identify(&trusting, "ada", PASSWORD).await.is_ok());
        assert_refused(&trusting, "ada", "wrong", "TLS").await;
        for ca_file in [Some(slapd.other_ca_file()), None] {
            let text = unavailable(&tls(ca_file), "ada", PASSWORD).await;
            assert!(text.contains("certificate"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let slapd = Slapd::start();
    let ldap = with(&slapd, |options| {
        options.url = slapd.ldaps().replace("127.0.0.1", "localhost");
        options.ca_file = Some(slapd.ca_file());
    });
    let text = unavailable(&ldap, "ada", PASSWORD).await;
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn many_logins_at_once_do_not_disturb_each_other() {
    let slapd = Slapd::start();
    let ldap = &ldap(&slapd, search("(uid={username})"));
    let logins = (0..20).map(|number| async move {
        let (name, password) =
            [("ada", PASSWORD), ("bob", "bob's own"), ("ada", "wrong")][number % 3];
        let data = identify(ldap, name, password).await;
        assert_eq!(data.is_ok(), password != "wrong");
        assert!(data.is_ok_and(|data| data["username"] == name) || password == "wrong");
    });
    futures_util::future::join_all(logins).await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_told() {
    let slapd = Slapd::start();
    let ldap = ldap(&slapd, template());
    assert!(identify(&ldap, "ada", PASSWORD).await.is_ok());
    drop(slapd);
    let text = unavailable(&ldap, "ada", PASSWORD).await;
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_no_more_than_the_timeout() {
    // Connections wait for somebody to accept them.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = silent.local_addr().unwrap().port();
    for (scheme, start_tls) in [("ldap", false), ("ldap", true), ("ldaps", false)] {
        let ldap = Ldap::new(LdapOptions {
            start_tls,
            timeout: Duration::from_millis(200),
            ..options(format!("{scheme}://127.0.0.1:{port}"), template())
        })
        .unwrap();
        let text = unavailable(&ldap, "ada", PASSWORD).await;
        assert!(text.contains("no answer within 200ms"), "{text}");
        // Nothing of the login goes on: the connection is at its end.
        let (mut connection, _) = silent.accept().await.unwrap();
        connection.read_to_end(&mut Vec::new()).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_is_malformed_is_told() {
    for answer in [
        // An answer to the bind without a result, one that says nothing, another protocol's.
        &b"\x30\x05\x02\x01\x01\x61\x00"[..],
        b"\x30\x03\x02\x01\x01",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ] {
        let server = AnswersOnce::with(answer.into());
        let ldap = Ldap::new(options(server.url(), template())).unwrap();
        assert!(!unavailable(&ldap, "ada", PASSWORD).await.is_empty());
    }
}

#[tokio::test]
async fn a_result_of_a_users_bind_is_a_refusal_or_a_failure() {
    for (code, refused) in [
        (19, true),
        (32, true),
        (48, true),
        (49, true),
        (53, true),
        (1, false),
        (8, false),
        (10, false),
        (14, false),
        (34, false),
        (51, false),
        (52, false),
        (80, false),
    ] {
        let server = AnswersOnce::with(result(BIND_RESPONSE, code));
        let ldap = Ldap::new(options(server.url(), template())).unwrap();
        let outcome = identify(&ldap, "ada", PASSWORD).await;
        assert_eq!(outcome == Err(NotIdentified::Refused), refused, "{code}");
        assert!(outcome.is_err(), "{code}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_told_the_password() {
    let server = AnswersOnce::with(result(EXTENDED_RESPONSE, 2));
    let ldap = Ldap::new(LdapOptions {
        start_tls: true,
        ..options(server.url(), template())
    })
    .unwrap();
    let text = unavailable(&ldap, "ada", PASSWORD).await;
    assert!(text.contains("rc=2"), "{text}");
    let heard = String::from_utf8_lossy(&server.heard()).into_owned();
    assert!(
        !heard.contains(PASSWORD) && !heard.contains("ada"),
        "{heard}"
    );
}

/// The tags of answers (RFC 4511 appendix B).
const BIND_RESPONSE: u8 = 0x61;
const EXTENDED_RESPONSE: u8 = 0x78;

/// The answer to the first request of a connection, with this result code and no text.
fn result(tag: u8, code: u8) -> Vec<u8> {
    vec![0x30, 12, 2, 1, 1, tag, 7, 0x0a, 1, code, 4, 0, 4, 0]
}

/// A server that answers the first request of its first client, and then only listens.
struct AnswersOnce {
    port: u16,
    thread: JoinHandle<Vec<u8>>,
}

impl AnswersOnce {
    fn with(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; 1024];
            let length = stream.read(&mut heard).unwrap();
            heard.truncate(length);
            stream.write_all(&answer).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // A client that goes away early has said what it has said.
            let _ = stream.read_to_end(&mut heard);
            heard
        });
        Self { port, thread }
    }

    fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// All that the client said until it went away.
    fn heard(self) -> Vec<u8> {
        self.thread.join().unwrap()
    }
}

fn template() -> UserLookup {
    UserLookup::Template {
        dn: format!("uid={{username}},{PEOPLE}"),
    }
}

fn search(filter: &str) -> UserLookup {
    searching(filter, PEOPLE, "cn=reader,dc=example,dc=org", "reads users")
}

fn searching(filter: &str, base: &str, bind_dn: &str, bind_password: &str) -> UserLookup {
    UserLookup::Search {
        base: base.to_owned(),
        filter: filter.to_owned(),
        bind_dn: bind_dn.to_owned(),
        bind_password: SecretText::new(bind_password.to_owned()),
    }
}

fn options(url: String, user: UserLookup) -> LdapOptions {
    LdapOptions {
        url,
        start_tls: false,
        allow_plaintext: false,
        ca_file: None,
        user,
        attributes: ["CN", "mail", "jpegPhoto", "title"]
            .map(String::from)
            .into(),
        timeout: Duration::from_secs(20),
    }
}

fn ldap(slapd: &Slapd, user: UserLookup) -> Ldap {
    Ldap::new(options(slapd.ldap(), user)).unwrap()
}

fn with(slapd: &Slapd, change: impl FnOnce(&mut LdapOptions)) -> Ldap {
    let mut options = options(slapd.ldap(), template());
    change(&mut options);
    Ldap::new(options).unwrap()
}

async fn identify(ldap: &Ldap, name: &str, password: &str) -> Result<Value, NotIdentified> {
    let password = SecretText::new(password.to_owned());
    let data = ldap.identify(name, &password).await?;
    Ok(Value::Object(data.0))
}

async fn assert_refused(ldap: &Ldap, name: &str, password: &str, way: &str) {
    let outcome = identify(ldap, name, password).await;
    assert_eq!(
        outcome,
        Err(NotIdentified::Refused),
        "{way}: {name:?} {password:?}"
    );
}

/// Why the directory cannot be used; it never has a password in it.
async fn unavailable(ldap: &Ldap, name: &str, password: &str) -> String {
    match identify(ldap, name, password).await {
        Err(NotIdentified::Unavailable(text)) => {
            for secret in [password, "hunter2", "reads users"] {
                assert!(!text.contains(secret), "{text}");
            }
            text
        }
        other => panic!("{other:?}"),
    }
}
