//! A service behind a real nginx, set up as `docs/examples/nginx.conf` says, which asks Sealgate.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Home, Key, Request, Response, Server, Stopwatch};

const PASSWORD: &str = "correct horse battery staple";
/// How long nginx may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sealgate, nginx, and a service behind it that answers with what it was sent.
struct Site {
    home: Home,
    server: Server,
    nginx: Nginx,
}

impl Site {
    fn start() -> Self {
        let home = Home::new();
        let server = Server::start_with(&home, |command| {
            command.env("SEALGATE_TRUSTED_PROXIES", "127.0.0.1");
        });
        let nginx = Nginx::start(&home, server.address(), start_service());
        Self {
            home,
            server,
            nginx,
        }
    }

    fn ask(&self, method: &str) -> Request {
        Request::new(self.nginx.address, method, "/orders?of=today")
    }

    fn key(&self, permissions: &str) -> Key {
        let arguments = ["--name", "client", "--permissions", permissions];
        self.home.create_key(&arguments)
    }
}

/// What the service was sent: the lines of a request's head, names in lower case.
fn seen(response: &Response) -> Vec<String> {
    let lines = response.body.lines();
    let lines = lines.map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    });
    lines.collect()
}

#[track_caller]
fn assert_identity(response: &Response, expected: [&str; 5]) {
    let seen = seen(response);
    let identity = seen.iter().filter(|line| line.starts_with("x-auth"));
    let mut identity: Vec<&str> = identity.map(String::as_str).collect();
    identity.sort_unstable();
    let names = ["environment", "key-id", "kind", "permissions", "subject"];
    let lines = names.iter().zip(expected);
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("x-auth-{name}: {value}"))
        .collect();
    assert_eq!(identity, lines, "{seen:#?}");
    for credential in ["x-api-key", "authorization", "x-gomaluum-key"] {
        let leaked = seen.iter().any(|line| line.starts_with(credential));
        assert!(!leaked, "{seen:#?}");
    }
}

#[test]
fn a_good_key_passes_and_the_service_hears_who_calls() {
    let site = Site::start();
    let key = site.key("api:read api:write");
    let id = key.id.as_str();
    for method in ["GET", "POST", "DELETE"] {
        let answer = site.ask(method).api_key(&key.api_key).send().expect(200);
        assert_eq!(
            seen(&answer)[0],
            format!("{method} /orders?of=today HTTP/1.0")
        );
        let expected = ["production", id, "key", "api:read api:write", id];
        assert_identity(&answer, expected);
    }
    let exchange = site.server.post("/api/auth/token").api_key(&key.api_key);
    let token = exchange.send().expect(200).json();
    let token = token["token"].as_str().expect("a token");
    let answer = site.ask("GET").bearer(token).send().expect(200);
    assert_identity(
        &answer,
        ["production", id, "token", "api:read api:write", id],
    );
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

    let with_key = site.ask("POST").header("x-gomaluum-key", seal_key);
    let answer = with_key.bearer(token).send().expect(200);
    assert_identity(&answer, ["production", "-", "session", "-", "ada"]);
    site.ask("GET").bearer(token).send().expect(401);
}

#[test]
fn what_is_not_honoured_is_stopped() {
    let site = Site::start();
    let reader = site.key("api:read");
    let long = "a".repeat(6_000);
    let missing = site.ask("GET").send().expect(401);
    assert!(missing.header("www-authenticate").is_some(), "{missing:?}");
    for (request, status) in [
        (site.ask("GET").api_key("nonsense"), 401),
        (site.ask("GET").api_key(&long), 401),
        (
            site.ask("GET").api_key(&reader.api_key).bearer("nonsense"),
            401,
        ),
        (site.ask("POST").api_key(&reader.api_key), 403),
        (site.ask("GET").api_key(&reader.api_key), 200),
        (site.ask("HEAD").api_key(&reader.api_key), 200),
    ] {
        let answer = request.send().expect(status);
        assert!(
            status == 200 || seen(&answer)[0].starts_with('<'),
            "{answer:?}"
        );
    }
}

#[test]
fn what_a_client_forges_never_arrives() {
    let site = Site::start();
    let reader = site.key("api:read");
    let id = reader.id.as_str();
    let forged = |method: &str| {
        let names = ["Kind", "Key-Id", "Subject", "Permissions", "Environment"];
        let request = site.ask(method).api_key(&reader.api_key);
        let request = names.iter().fold(request, |request, name| {
            let underscored = format!("X_Auth_{}", name.replace('-', "_"));
            let request = request.header(&format!("X-Auth-{name}"), "forged");
            let request = request.header(&underscored, "forged");
            request.header(&format!("x-auth-{}", name.to_lowercase()), "forged")
        });
        request
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Uri", "/")
            .header("X-Original-Method", "GET")
            .header("X-Original-URI", "/")
    };
    let answer = forged("GET").send().expect(200);
    assert_identity(&answer, ["production", id, "key", "api:read", id]);
    assert!(!answer.body.contains("forged"), "{answer:?}");
    forged("POST").send().expect(403);
    Request::new(site.nginx.address, "GET", "/_verify")
        .api_key(&reader.api_key)
        .send()
        .expect(404);
}

#[test]
fn a_key_is_bound_to_the_address_that_nginx_tells_whatever_the_client_tells() {
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
fn a_revoked_key_is_stopped_within_a_second() {
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
fn what_nginx_does_not_know_reaches_the_client_all_the_same() {
    let site = Site::start();
    let arguments = ["--name", "limited", "--rate-limit", "1"];
    let key = site.home.create_key(&arguments);
    site.ask("GET").api_key(&key.api_key).send().expect(200);
    let answer = site.ask("GET").api_key(&key.api_key).send().expect(429);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");

    let Site {
        home,
        server,
        nginx,
    } = site;
    server.stop();
    let answer = Request::new(nginx.address, "GET", "/").api_key(&key.api_key);
    answer.send().expect(503);
    drop(home);
}

#[test]
fn an_answer_has_no_body_and_a_head_that_is_too_large_is_an_error_like_any_other() {
    let home = Home::new();
    let server = Server::start(&home);
    let key = home.create_key(&["--name", "client"]);
    let verify = |method: &str| server.request(method, "/api/auth/verify");
    for method in ["GET", "PUT", "DELETE", "TRACE", "PROPFIND"] {
        let refused = verify(method).send().expect(401);
        let good = verify(method).header("X-Original-Method", "GET");
        let passed = good.api_key(&key.api_key).send().expect(200);
        for answer in [refused, passed] {
            assert_eq!(
                (answer.body.as_str(), answer.header("content-length")),
                ("", Some("0"))
            );
            assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        }
    }
    let long = "a".repeat(20_000);
    let answer = verify("GET").header("X-Original-URI", &long).send();
    assert_eq!(answer.expect(431).json()["error"], "headers_too_large");
}

/// A running nginx. It ends with this value, also when a test fails.
struct Nginx {
    process: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(home: &Home, sealgate: SocketAddr, service: SocketAddr) -> Self {
        // Another program can take a port between its choice and its use.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("an address");
            drop(listener);
            let config = write_config(home.path(), sealgate, service, address);
            let process = program(home.path(), &config).spawn().expect("nginx starts");
            let mut nginx = Self { process, address };
            if nginx.is_up() {
                return nginx;
            }
        }
        panic!("nginx does not start");
    }

    fn is_up(&mut self) -> bool {
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < PATIENCE {
            if self.process.try_wait().expect("a process").is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One process, in the foreground, which writes nothing outside the directory.
fn program(directory: &Path, config: &Path) -> Command {
    // Where only root looks for programs.
    let path = Path::new("/usr/sbin/nginx");
    let program = if path.exists() {
        path
    } else {
        "nginx".as_ref()
    };
    let found = Command::new(program)
        .arg("-v")
        .stderr(Stdio::null())
        .status();
    assert!(
        found.is_ok(),
        "nginx is missing: these tests run a real one. Install it (Debian and its relatives: \
         apt-get install nginx)"
    );
    let mut command = Command::new(program);
    command
        .args(["-g", "daemon off; master_process off; pid nginx.pid;"])
        .args(["-e", "stderr", "-p"])
        .arg(directory)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null());
    command
}

/// The example with the addresses of this test, and with its files in a directory of the test's.
fn write_config(
    directory: &Path,
    sealgate: SocketAddr,
    service: SocketAddr,
    nginx: SocketAddr,
) -> PathBuf {
    let mut config = include_str!("../../../docs/examples/nginx.conf").to_owned();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let files = kinds.map(|kind| format!("    {kind}_temp_path {kind};\n"));
    let files = format!("http {{\n    access_log off;\n{}", files.concat());
    for (written, here) in [
        ("http {\n", files),
        ("127.0.0.1:8080", sealgate.to_string()),
        ("127.0.0.1:3000", service.to_string()),
        ("listen 80;", format!("listen {nginx};")),
    ] {
        assert_eq!(config.matches(written).count(), 1, "{written}");
        config = config.replace(written, &here);
    }
    let path = directory.join("nginx.conf");
    fs::write(&path, config).expect("the configuration is written");
    path
}

/// A service that answers each request with the head of it.
fn start_service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer(&stream));
        }
    });
    address
}

/// Answers one request; nothing, if it ends early.
fn answer(mut stream: &TcpStream) {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.take(65_536));
    while !head.ends_with("\r\n\r\n") {
        match lines.read_line(&mut head) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let length = head.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    // Who has gone away needs no answer.
    let _ = stream.write_all(&[answer.as_bytes(), head.as_bytes()].concat());
}
