//! Which headers a service gets.

use serde_json::json;

use super::Site;
use super::service::{Service, header, headers};

const PASSWORD: &str = "correct horse battery staple";

/// What a head says who calls.
fn identity(head: &str) -> Vec<String> {
    let found = headers(head).filter(|(name, _)| name.starts_with("x-auth"));
    let mut lines: Vec<String> = found
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort_unstable();
    lines
}

#[track_caller]
fn assert_identity(head: &str, expected: [&str; 5]) {
    let names = ["environment", "key-id", "kind", "permissions", "subject"];
    let lines = names.iter().zip(expected);
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("x-auth-{name}: {value}"))
        .collect();
    assert_eq!(identity(head), lines, "{head}");
    for credential in ["x-api-key", "authorization", "x-gomaluum-key"] {
        assert_eq!(header(head, credential), None, "{head}");
    }
}

#[test]
fn a_good_key_passes_and_the_service_hears_who_calls_and_not_the_credential() {
    let site = Site::start();
    let id = site.key.id.as_str();
    for method in ["GET", "POST", "DELETE", "PROPFIND"] {
        let answer = site.request(method, "/orders?of=today").send().expect(200);
        let head = site.service.head();
        assert_eq!(answer.body, head);
        assert!(head.starts_with(&format!("{method} /orders?of=today HTTP/1.1\r\n")));
        assert_identity(&head, ["production", id, "key", "api:read api:write", id]);
        assert_eq!(header(&head, "host"), Some(&*site.address().to_string()));
    }
    let exchange = site
        .server
        .post("/api/auth/token")
        .api_key(&site.key.api_key);
    let token = exchange.send().expect(200).json();
    let token = token["token"].as_str().expect("a token");
    site.server.get("/orders").bearer(token).send().expect(200);
    let head = site.service.head();
    assert_identity(&head, ["production", id, "token", "api:read api:write", id]);
}

#[test]
fn a_user_who_is_logged_in_passes_with_the_seal_key_of_the_login() {
    let site = Site::start();
    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    site.home.run_with_input(&add, PASSWORD).success();
    let generate = site.server.post("/api/key/generate").send().expect(200);
    let generate = generate.json();
    let seal_key = generate["api_key"].as_str().expect("a seal key");
    let login = site.server.post("/api/auth/login");
    let login = login.header("x-gomaluum-key", seal_key);
    let login = login.json(&json!({"username": "ada", "password": PASSWORD}));
    let answer = login.send().expect(200).json();
    let token = answer["data"]["token"].as_str().expect("a token");

    let request = site.server.post("/orders").bearer(token);
    request
        .header("x-gomaluum-key", seal_key)
        .send()
        .expect(200);
    assert_identity(
        &site.service.head(),
        ["production", "-", "session", "-", "ada"],
    );
    site.server.get("/orders").bearer(token).send().expect(401);
    assert!(site.service.heads().is_empty());
}

#[test]
fn what_a_client_forges_never_arrives() {
    let site = Site::start();
    let id = site.key.id.as_str();
    let mut request = site.request("GET", "/");
    for name in [
        "X-Auth-Subject",
        "x_auth_subject",
        "X_Auth-Subject",
        "X.Auth.Subject",
        "X-Auth_Kind",
        "X-Auth-Permissions",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X_Method_Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "X_Forwarded_For",
        "Forwarded",
        "Proxy",
        "X_API_Key",
        "Content_Length",
        "Transfer_Encoding",
    ] {
        request = request.header(name, "forged");
    }
    request = request.header("X-Custom_Name", "kept");
    request.send().expect(200);
    let head = site.service.head();
    assert!(!head.contains("forged"), "{head}");
    assert!(head.contains("x-custom_name: kept"), "{head}");
    assert_identity(&head, ["production", id, "key", "api:read api:write", id]);
}

#[test]
fn what_the_gate_says_cannot_be_called_a_matter_of_the_connection() {
    let site = Site::start();
    let id = site.key.id.as_str();
    let options = "Connection: X-Auth-Subject, x-auth-kind, X-Forwarded-For, Host, Content-Length\r\n\
        Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n";
    let mut client = site.open("POST /orders HTTP/1.1", options);
    client.write(b"ok");
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let head = site.service.head();
    assert_identity(&head, ["production", id, "key", "api:read api:write", id]);
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "content-length"), Some("2"));
    assert_eq!(header(&head, "host"), Some("app"));
    for gone in [
        "x-mine",
        "keep-alive",
        "te",
        "upgrade",
        "http2-settings",
        "connection",
    ] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
}

#[test]
fn the_service_hears_of_the_client_what_the_connection_says() {
    let site = Site::start();
    let request = site
        .request("GET", "/")
        .header("X-Forwarded-For", "6.6.6.6");
    let request = request.header("Via", "1.1 made-up");
    request
        .header("X-Forwarded-Proto", "https")
        .send()
        .expect(200);
    let head = site.service.head();
    let host = site.address().to_string();
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-forwarded-host"), Some(&*host));
    assert_eq!(header(&head, "via"), Some("1.1 sealgate"));
    let forwarded = format!("for=127.0.0.1;proto=http;host=\"{host}\"");
    assert_eq!(header(&head, "forwarded"), Some(&*forwarded));
}

#[test]
fn what_a_trusted_proxy_says_of_the_client_is_passed_on() {
    let site = Site::with(Service::echo(), |command| {
        command.env("SEALGATE_TRUSTED_PROXIES", "127.0.0.1");
    });
    let request = site.request("GET", "/");
    let request = request.header("X-Forwarded-For", "192.0.2.7");
    let request = request.header("X-Forwarded-Proto", "https");
    let request = request.header("X_Forwarded_Proto", "gopher");
    let request = request.header("X-Forwarded-Host", "shop.example");
    let request = request.header("X-Auth-Subject", "forged");
    request.header("Via", "1.1 edge").send().expect(200);
    let head = site.service.head();
    assert_eq!(
        header(&head, "x-forwarded-for"),
        Some("192.0.2.7, 127.0.0.1")
    );
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("shop.example"));
    assert_eq!(header(&head, "via"), Some("1.1 edge, 1.1 sealgate"));
    assert!(
        !head.contains("gopher") && !head.contains("forged"),
        "{head}"
    );
}

#[test]
fn the_credential_and_the_services_own_host_if_it_is_asked_for() {
    let site = Site::with(Service::echo(), |command| {
        command.env("SEALGATE_GATEWAY_KEEP_CREDENTIALS", "true");
        command.env("SEALGATE_GATEWAY_PRESERVE_HOST", "false");
    });
    let request = site.request("GET", "/").header("X_API_Key", "another");
    request.send().expect(200);
    let head = site.service.head();
    assert_eq!(header(&head, "x-api-key"), Some(&*site.key.api_key));
    assert!(!head.contains("another"), "{head}");
    assert_eq!(
        header(&head, "host"),
        Some(&*site.service.address().to_string())
    );
    let host = site.address().to_string();
    assert_eq!(header(&head, "x-forwarded-host"), Some(&*host));
}

#[test]
fn what_a_limited_key_has_left_is_told_unless_the_service_tells_of_a_limit() {
    let site = Site::of(Service::start(|connection, head| {
        let own = if head.contains("/own") {
            "RateLimit: \"mine\";r=5\r\n"
        } else {
            ""
        };
        connection.answer(200, own, b"")
    }));
    let limited = [
        "--name",
        "limited",
        "--permissions",
        "api:read",
        "--rate-limit",
        "100",
    ];
    let limited = site.home.create_key(&limited);
    let answer = site
        .server
        .get("/")
        .api_key(&limited.api_key)
        .send()
        .expect(200);
    assert_eq!(answer.header("ratelimit-limit"), Some("100"));
    let answer = site
        .server
        .get("/own")
        .api_key(&limited.api_key)
        .send()
        .expect(200);
    assert_eq!(answer.header("ratelimit"), Some("\"mine\";r=5"));
    assert_eq!(answer.header("ratelimit-limit"), None);
    let answer = site.request("GET", "/").send().expect(200);
    assert_eq!(answer.header("ratelimit-limit"), None);
}

#[test]
fn headers_of_one_connection_do_not_come_back() {
    let site = Site::of(Service::start(|connection, _| {
        let of_connection = "Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
            Proxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n";
        connection.answer(201, of_connection, b"made")
    }));
    let answer = site.request("POST", "/").send().expect(201);
    for gone in ["x-mine", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{answer:?}");
    }
    assert_eq!(answer.header("x-kept"), Some("yes"));
    let cookies = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);
    assert_eq!(answer.body, "made");
}

#[test]
fn names_that_were_chosen_for_who_calls_are_the_ones_that_nobody_forges() {
    let settings = "[identity_headers]\nsubject = \"X-Caller\"\nkind = \"X-Caller-Kind\"\n";
    let site = Site::ruled(Service::echo(), settings);
    let request = site.request("GET", "/").header("X-Caller", "forged");
    let request = request.header("X.Caller", "forged");
    let request = request.header("X_Caller_Kind", "forged");
    let request = request.header("X-Auth-Subject", "a name like any other");
    request.send().expect(200);
    let head = site.service.head();
    assert_eq!(header(&head, "x-caller"), Some(&*site.key.id));
    assert_eq!(header(&head, "x-caller-kind"), Some("key"));
    assert!(!head.contains("forged"), "{head}");
    let old = header(&head, "x-auth-subject");
    assert_eq!(old, Some("a name like any other"));
}
