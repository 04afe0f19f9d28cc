//! Rules about paths, and what they put into requests.

use serde_json::json;

use super::Site;
use super::service::{Service, header};

const PASSWORD: &str = "correct horse battery staple";
const GUARDED: &str = "\
[[routes]]
path = \"/admin/*\"
permissions = \"admin:all\"

[[routes]]
path = \"/open\"
anonymous = true
";
const PORTAL: &str = "\
[identity]
backend = \"http\"

[identity.http]
url = \"http://LOGIN/login\"

[[routes]]
path = \"/portal/*\"
inject = [\"Cookie: portal={session.cookie}\", \"X-Portal-User: {subject}\"]
";

#[test]
fn a_rule_guards_its_path_in_whatever_way_that_is_spelled() {
    let site = Site::ruled(Service::echo(), GUARDED);
    for path in [
        "/admin",
        "/admin/users",
        "/%61dmin/users",
        "//admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x%2f..%2fadmin",
        "/admin%2fusers",
        "/%2561dmin",
        "/x\\..\\admin",
        "/admin;x/users",
    ] {
        let answer = site.request("GET", path).send();
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        assert!(site.service.heads().is_empty(), "{path}");
    }
    site.request("GET", "/admin").send().expect(403);
    site.request("GET", "/x/../admin").send().expect(400);
    site.request("GET", "/orders").send().expect(200);
    site.service.head();

    let open = site.server.get("/open").header("X-Auth-Subject", "forged");
    open.send().expect(200);
    let head = site.service.head();
    assert_eq!(header(&head, "x-auth-kind"), Some("anonymous"));
    assert_eq!(header(&head, "x-auth-subject"), Some("-"));
}

#[test]
fn a_portals_cookie_lives_in_the_session_and_reaches_the_portal() {
    let login = Service::start(|connection, head| {
        connection.read_body(head);
        let user = br#"{"username":"ada","cookie":"s3cr3t-of-ada"}"#;
        connection.answer(200, "Content-Type: application/json\r\n", user)
    });
    let settings = PORTAL.replace("LOGIN", &login.address().to_string());
    let site = Site::ruled(Service::echo(), &settings);
    let seal_key = site.server.post("/api/key/generate").send();
    let seal_key = seal_key.expect(200).json();
    let seal_key = seal_key["api_key"].as_str().expect("a seal key");
    let request = site.server.post("/api/auth/login");
    let request = request.header("x-gomaluum-key", seal_key);
    let request = request.json(&json!({"username": "ada", "password": PASSWORD}));
    let session = request.send().expect(200).json();
    let token = session["data"]["token"].as_str().expect("a token");

    let request = site.server.get("/portal/timetable").bearer(token);
    let request = request.header("x-gomaluum-key", seal_key);
    let request = request.header("X_Portal_User", "forged");
    let request = request.header("X-Portal-User", "forged");
    let request = request.header("Cookie", "theme=dark; portal=forged");
    request.send().expect(200);
    let head = site.service.head();
    let cookies = "theme=dark; portal=s3cr3t-of-ada";
    assert_eq!(header(&head, "cookie"), Some(cookies));
    assert_eq!(header(&head, "x-portal-user"), Some("ada"));
    assert_eq!(header(&head, "x-auth-subject"), Some("ada"));
    assert!(!head.contains("forged"), "{head}");

    // Elsewhere nobody says what the rule says, and a key has no such cookie.
    let request = site.request("GET", "/orders");
    let request = request.header("X-Portal-User", "forged");
    let request = request.header("X.Portal_User", "forged");
    let request = request.header("Cookie", "theme=dark; portal=forged");
    request.send().expect(200);
    let head = site.service.head();
    assert_eq!(header(&head, "cookie"), Some("theme=dark"));
    assert_eq!(header(&head, "x-portal-user"), None);
    assert!(!head.contains("forged"), "{head}");
    let request = site.request("GET", "/orders");
    request.header("Cookie", "portal=forged").send().expect(200);
    assert_eq!(header(&site.service.head(), "cookie"), None);
    site.request("GET", "/portal/timetable").send().expect(403);
    assert!(site.service.heads().is_empty());
    let (_, log) = site.server.stop();
    assert!(!log.contains("s3cr3t"), "{log}");
}
