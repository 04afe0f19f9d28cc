//! A service behind a real Envoy, set up as `docs/examples/envoy.yaml` says, which asks Sealgate over gRPC.

mod site;

use std::collections::BTreeSet;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use self::site::{Site, free_address, seen};
use crate::store_gone::Hold;
use crate::support::{Home, Ran, Request, Response, Server, Stopwatch, asked_until};

const PASSWORD: &str = "correct horse battery staple";
const RULES: &str = "\
[[routes]]
path = \"/status\"
anonymous = true

[[routes]]
path = \"/admin/*\"
permissions = \"admin:all\"

[[routes]]
path = \"/portal/*\"
credentials = [\"key\"]
inject = \"X-Portal-User: {subject}\"
";
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What makes Envoy clean headers itself, switched off: Sealgate's answer has to do it alone.
const CARELESS: [(&str, &str); 7] = [
    ("action: DROP_HEADER", "action: ALLOW"),
    ("- remove: x-auth-kind", "- remove: x-nothing"),
    ("- remove: x-auth-key-id", "- remove: x-nothing"),
    ("- remove: x-auth-subject", "- remove: x-nothing"),
    ("- remove: x-auth-permissions", "- remove: x-nothing"),
    ("- remove: x-auth-environment", "- remove: x-nothing"),
    ("encode_raw_headers: true", "encode_raw_headers: false"),
];

/// As `docs/envoy.md` shows it.
const UPSTREAM_TLS: &str = r#"      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: localhost
          common_tls_context:
            alpn_protocols: [h2]
            validation_context:
              trusted_ca: { filename: /etc/envoy/sealgate.pem }
              match_typed_subject_alt_names:
                - { san_type: DNS, matcher: { exact: localhost } }
"#;

#[track_caller]
fn assert_identity(response: &Response, expected: [&str; 5]) {
    let seen = seen(response);
    let looks_like_identity = |line: &&String| line.replace('_', "-").starts_with("x-auth");
    let identity = seen.iter().filter(looks_like_identity);
    let mut identity: Vec<&str> = identity.map(String::as_str).collect();
    identity.sort_unstable();
    let names = ["environment", "key-id", "kind", "permissions", "subject"];
    let lines = names.iter().zip(expected);
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("x-auth-{name}: {value}"))
        .collect();
    assert_eq!(identity, lines, "{seen:#?}");
    for credential in ["x-api-key", "authorization", "x-gomaluum-key"] {
        let leaked = |line: &String| line.replace('_', "-").starts_with(credential);
        assert!(!seen.iter().any(leaked), "{seen:#?}");
    }
}

/// The service has a body for everybody, and Sealgate none.
#[track_caller]
fn assert_stopped(response: &Response) {
    assert_eq!(response.body, "", "{response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert!(response.header("x-request-id").is_some(), "{response:?}");
}

#[test]
fn envoy_lets_a_good_key_through_and_the_service_hears_who_calls() {
    let site = Site::start();
    let key = site.key("api:read api:write");
    let id = key.id.as_str();
    for method in ["GET", "POST", "DELETE"] {
        let answer = site.ask(method).api_key(&key.api_key).send().expect(200);
        let line = format!("{method} /orders?of=today HTTP/1.1");
        assert_eq!(seen(&answer)[0], line);
        let expected = ["production", id, "key", "api:read api:write", id];
        assert_identity(&answer, expected);
    }
    let exchange = site.server.post("/api/auth/token").api_key(&key.api_key);
    let token = exchange.send().expect(200).json();
    let token = token["token"].as_str().expect("a token");
    let answer = site.ask("GET").bearer(token).send().expect(200);
    let expected = ["production", id, "token", "api:read api:write", id];
    assert_identity(&answer, expected);
}

#[test]
fn envoy_lets_a_user_through_who_is_logged_in_and_sends_the_seal_key() {
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

    let with_key = || site.ask("POST").header("x-gomaluum-key", seal_key);
    let answer = with_key().bearer(token).send().expect(200);
    assert_identity(&answer, ["production", "-", "session", "-", "ada"]);
    assert_stopped(&site.ask("GET").bearer(token).send().expect(401));
    let twice = with_key().header("x-gomaluum-key", seal_key);
    assert_stopped(&twice.bearer(token).send().expect(401));
}

#[test]
fn envoy_stops_what_is_not_honoured_with_the_answer_of_sealgate() {
    let site = Site::start();
    let reader = site.key("api:read");
    let missing = site.ask("GET").send().expect(401);
    assert_stopped(&missing);
    let challenges = missing.headers.iter();
    let challenges = challenges.filter(|(name, _)| name == "www-authenticate");
    assert_eq!(challenges.count(), 2, "{missing:?}");
    let good = |method: &str| site.ask(method).api_key(&reader.api_key);
    for (request, status) in [
        (site.ask("GET").api_key("nonsense"), 401),
        (site.ask("GET").api_key(""), 401),
        (site.ask("GET").api_key("caf\u{e9}"), 401),
        (site.ask("GET").api_key(&"a".repeat(20_000)), 401),
        (good("GET").api_key(&reader.api_key), 401),
        (good("GET").bearer("nonsense"), 401),
        (good("GET").header("Authorization", "Basic YTpi"), 401),
        (good("POST"), 403),
        (good("PROPFIND"), 403),
    ] {
        assert_stopped(&request.send().expect(status));
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        good(method).send().expect(200);
    }
    let metrics = site.server.get("/metrics").send().expect(200).body;
    for (method, status, count) in [("HEAD", 200, 1), ("POST", 403, 1), ("GET", 401, 8)] {
        let labels = format!(r#"method="{method}",route="ext_authz",status="{status}""#);
        let line = format!("sealgate_requests_total{{{labels}}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[test]
fn through_envoy_what_a_client_forges_never_arrives() {
    for site in [Site::start(), Site::start_with(Home::new(), &CARELESS, &[])] {
        let reader = site.key("api:read");
        let id = reader.id.as_str();
        let forged = |method: &str| {
            let names = ["Kind", "Key-Id", "Subject", "Permissions", "Environment"];
            let request = site.ask(method).api_key(&reader.api_key);
            let request = names.iter().fold(request, |request, name| {
                let underscored = format!("X_Auth_{}", name.replace('-', "_"));
                let mixed = format!("x-AUTH_{name}");
                let request = request.header(&format!("X-Auth-{name}"), "forged");
                let request = request.header(&underscored, "forged");
                let request = request.header(&mixed, "forged");
                request.header(&format!("x-auth-{}", name.to_lowercase()), "forged")
            });
            request
                .header("X_API_Key", "forged")
                .header("X-Forwarded-Method", "GET")
                .header("X-Original-Method", "GET")
                .header("X-HTTP-Method-Override", "GET")
        };
        let answer = forged("GET").send().expect(200);
        assert_identity(&answer, ["production", id, "key", "api:read", id]);
        assert!(!answer.body.contains("forged"), "{answer:?}");
        forged("POST").send().expect(403);

        // Two lines of a credential are not one, however Envoy hands them on.
        let twice = site.ask("GET").api_key(&reader.api_key);
        assert_stopped(&twice.api_key(&reader.api_key).send().expect(401));
    }
}

#[test]
fn behind_envoy_a_key_is_bound_to_the_address_of_the_connection_whatever_the_client_tells() {
    let site = Site::start();
    for (network, status) in [("127.0.0.1", 200), ("203.0.113.9", 401)] {
        let arguments = ["--name", "bound", "--allow-ip", network];
        let key = site.home.create_key(&arguments);
        let request = site.ask("GET").api_key(&key.api_key);
        let request = request.header("X-Forwarded-For", "203.0.113.9");
        request.send().expect(status);
    }
}

#[test]
fn envoy_stops_a_revoked_key_within_a_second() {
    let site = Site::start();
    let key = site.key("api:read");
    let ask = || site.ask("GET").api_key(&key.api_key).send().status;
    assert_eq!(ask(), 200);
    site.home.run(&["revoke", "--id", &key.id]).success();
    let stopwatch = Stopwatch::start();
    while ask() != 401 {
        assert!(stopwatch.elapsed() < PATIENCE, "never stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(stopwatch.elapsed() < Duration::from_secs(1));
}

#[test]
fn through_envoy_a_client_hears_what_is_left_of_its_limit_and_when_to_come_back() {
    let site = Site::start();
    let arguments = ["--name", "limited", "--rate-limit", "1"];
    let key = site.home.create_key(&arguments);
    let answer = site.ask("GET").api_key(&key.api_key).send().expect(200);
    assert_eq!(answer.header("ratelimit-limit"), Some("1"), "{answer:?}");
    let told_to_service = seen(&answer);
    let is_limit = |line: &String| line.starts_with("ratelimit");
    assert!(!told_to_service.iter().any(is_limit), "{answer:?}");
    let answer = site.ask("GET").api_key(&key.api_key).send().expect(429);
    assert_stopped(&answer);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
}

#[test]
fn without_sealgate_envoy_lets_nothing_through() {
    let site = Site::start();
    let key = site.key("api:read");
    site.ask("GET").api_key(&key.api_key).send().expect(200);
    let Site {
        home,
        server,
        envoy,
    } = site;
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    let answer = Request::new(envoy.address, "GET", "/").api_key(&key.api_key);
    assert_eq!(answer.send().expect(503).body, "");
    drop(home);
}

#[test]
fn without_the_store_envoy_lets_nobody_through_once_the_last_news_are_too_old() {
    let site = Site::start_adjusted(Home::new(), &[], |command| {
        command.env("SEALGATE_STORE_MAX_STALENESS_MS", "1000");
    });
    let key = site.key("api:read");
    let ask = || site.ask("GET").api_key(&key.api_key).send();
    ask().expect(200);
    let hold = Hold::of(&site.home);
    let refused = asked_until(503, Duration::from_secs(30), ask);
    assert!(!refused.body.contains("GET /orders"), "{refused:?}");
    drop(hold);
    asked_until(200, Duration::from_secs(30), ask);
}

#[test]
fn envoy_asks_by_tls_where_sealgate_has_a_certificate() {
    const UNSECURED: &str = "    - name: sealgate\n      connect_timeout: 1s\n";
    let page = include_str!("../../../docs/envoy.md");
    assert!(page.contains(UPSTREAM_TLS));
    for alpn in ["", "alpn_protocols: [h2]\n            "] {
        let home = Home::new();
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned()];
        let certificate = CertificateParams::new(names).expect("a name");
        let certificate = certificate.self_signed(&key).expect("a certificate");
        let cert = home.write("cert.pem", &certificate.pem());
        let key = home.write("key.pem", &key.serialize_pem());
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let secured = UPSTREAM_TLS.replace("/etc/envoy/sealgate.pem", &cert);
        let secured = secured.replace("alpn_protocols: [h2]\n            ", alpn);
        let secured = format!("{UNSECURED}{secured}");
        let changes = [(UNSECURED, secured.as_str())];
        let site = Site::start_with(home, &changes, &["--tls-cert", &cert, "--tls-key", &key]);
        let key = site.key("api:read");
        site.ask("GET").api_key(&key.api_key).send().expect(200);
        assert_stopped(&site.ask("POST").api_key(&key.api_key).send().expect(403));
    }
}

#[test]
fn who_lets_others_than_envoy_ask_in_the_clear_is_warned() {
    let home = Home::new();
    let port = free_address().port();
    let anywhere = format!("0.0.0.0:{port}");
    let server = Server::start_with(&home, |command| {
        command.args(["--ext-authz-listen", &anywhere]);
    });
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
    let warnings = log.lines().filter(|line| line.contains("WARN"));
    let warning = warnings.filter(|line| line.contains(&anywhere));
    assert_eq!(warning.count(), 1, "{log}");

    let mut doctor = home.command(&["doctor"]);
    doctor.env("SEALGATE_EXT_AUTHZ_LISTEN", &anywhere);
    let ran = Ran::of(&mut doctor);
    assert!(
        ran.stdout.contains("the keys of Envoy's clients"),
        "{ran:?}"
    );
}

#[test]
fn a_body_arrives_as_it_was_sent() {
    let site = Site::start();
    let writer = site.key("api:write");
    let body = json!({"text": "é\u{0}\n".repeat(100_000)});
    let sent = body.to_string();
    let request = site.ask("POST").api_key(&writer.api_key).json(&body);
    let answer = request.send().expect(200);
    let (_, arrived) = answer.body.split_once("\r\n\r\n").expect("a body");
    assert!(arrived == sent, "{} bytes", arrived.len());
}

#[test]
fn what_sealgate_decides_about_is_the_path_that_the_service_gets() {
    let site = Site::start();
    let reader = site.key("api:read");
    let send = |target: &[u8], key: &str| {
        let head = format!(" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n");
        site.send_raw(&[b"GET ", target, head.as_bytes()].concat())
    };
    let mut arrived = BTreeSet::new();
    for (target, path) in [
        (&b"/dots/../b?c=/../d"[..], "/b"),
        (b"//slashes///b", "/slashes/b"),
        (b"/encoded/%2e%2E/dots", "/dots"),
        (b"/caf%C3%A9/%41;x=1/%25", "/caf%C3%A9/A;x=1/%25"),
        (b"http://elsewhere/absolute/./b", "/absolute/b"),
    ] {
        let answer = send(target, &reader.api_key);
        let line = answer.lines().find_map(|line| line.strip_prefix("GET "));
        let seen = line.and_then(|line| line.split([' ', '?']).next());
        assert_eq!(seen, Some(path), "{answer}");
        arrived.insert(path.to_owned());
        let refused = send(target, "nonsense");
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    }
    for target in [&b"/a%2Fb"[..], b"/a%5Cb", b"/caf\xe9", b"/a#b", b"/a%00b"] {
        let answer = send(target, &reader.api_key);
        let is_stopped = answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 503");
        assert!(is_stopped, "{target:?}: {answer}");
    }
    // The audit log has the refusals with the paths that were decided about.
    let stopwatch = Stopwatch::start();
    while refused_paths(&site) != arrived {
        assert!(stopwatch.elapsed() < PATIENCE, "{:?}", refused_paths(&site));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn behind_envoy_the_rules_of_the_policy_decide_and_add_their_headers() {
    let home = Home::new();
    home.write("sealgate.toml", RULES);
    let site = Site::start_with(home, &[], &[]);
    let reader = site.key("api:read");
    let asked = |path: &str| Request::new(site.envoy.address, "GET", path);

    let answer = asked("/status").header("X-Auth-Subject", "forged").send();
    assert_identity(
        &answer.expect(200),
        ["production", "-", "anonymous", "-", "-"],
    );
    let keyed = |path: &str| asked(path).api_key(&reader.api_key);
    for path in [
        "/admin/users",
        "/x/../admin/users",
        "//admin/users",
        "/%61dmin/users",
    ] {
        assert_stopped(&keyed(path).send().expect(403));
    }
    let forged = |path: &str| {
        let request = keyed(path).header("X-Portal-User", "forged");
        seen(&request.header("X_Portal_User", "forged").send().expect(200))
    };
    let portal = |lines: &[String]| -> Vec<String> {
        let lines = lines
            .iter()
            .filter(|line| line.replace('_', "-").starts_with("x-portal"));
        lines.cloned().collect()
    };
    let told = forged("/portal/timetable");
    assert_eq!(portal(&told), [format!("x-portal-user: {}", reader.id)]);
    let told = forged("/orders");
    assert!(portal(&told).is_empty(), "{told:#?}");
}

fn refused_paths(site: &Site) -> BTreeSet<String> {
    let log = site.home.json(&["logs", "--limit", "100"]);
    let events = log["events"].as_array().expect("events").iter();
    let refused = events.filter(|event| event["action"] == "request.refused");
    let paths = refused.filter_map(|event| event["path"].as_str());
    paths.map(str::to_owned).collect()
}
